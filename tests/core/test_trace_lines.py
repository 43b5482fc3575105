"""Tests of stack traces that came as an entry for each line, among others."""

from __future__ import annotations

import itertools

import pytest

from netra_loop.core.stacktrace import Source
from netra_loop.core.trace_lines import TraceReader, thrown

SERVICE = {"backend": Source(root="/work/service")}
PYTHON = """Traceback (most recent call last):
  File "/work/service/a.py", line {line}, in run
    return value.{name}
           ^^^^^
AttributeError: no {name}"""
NODE = """TypeError [ERR_X]: {name} is undefined
    at {name} (/app/src/agent.js:{line}:5)
    at node:internal/main:1:1"""
JAVA = """java.lang.IllegalStateException: {name}
\tat java.base/java.lang.Thread.run(Thread.java:833)
\tat com.netra.App.{name}(App.java:{line})
\t... 5 more"""
GO = """panic: {name}

goroutine 1 [running]:
main.{name}(0x1)
\t/app/main.go:{line} +0x1d"""
FORMS = {"python": PYTHON, "node": NODE, "java": JAVA, "go": GO}


def lines(make, text, start=1.0, step=0.001, **more):
    return [make.entry(line, start + n * step, **{"log": "stderr", **more}) for n, line in enumerate(text.split("\n"))]


def alternating(make, one, other, **more):
    """Two texts written at the same moment, a line of each in turn."""
    merged = [
        line for pair in itertools.zip_longest(one.split("\n"), other.split("\n")) for line in pair if line is not None
    ]
    return lines(make, "\n".join(merged), **more)


def places(entries):
    return sorted((one.cause.exception, one.cause.line) for one in thrown(entries, SERVICE))


@pytest.mark.parametrize("form", FORMS)
def test_each_language_s_trace_is_put_together(make, form):
    entries = lines(make, FORMS[form].format(line=41, name="start"))
    (one,) = thrown(entries, SERVICE)
    assert one.cause.line in {41, 833}
    assert "start" in one.cause.message
    assert len(one.entries) == len(entries)


@pytest.mark.parametrize("form", FORMS)
def test_two_instances_that_write_at_once_do_not_disturb_each_other(make, form):
    text = FORMS[form].format(line=41, name="start")
    one, other = (lines(make, text, 1 + part, instance=name) for part, name in ((0, "a"), (0.0005, "b")))
    entries = sorted((*one, *other), key=lambda entry: entry.timestamp)
    assert len(thrown(entries, SERVICE)) == 2


def test_two_threads_that_write_line_by_line_are_told_apart(make):
    entries = alternating(make, PYTHON.format(line=1, name="a"), PYTHON.format(line=2, name="b"))
    assert places(entries) == [("AttributeError", 1), ("AttributeError", 2)]
    assert sorted(one.cause.message for one in thrown(entries, SERVICE)) == ["no a", "no b"]


def test_lines_of_other_loggers_between_belong_to_nobody(make):
    between = "\n".join(
        f"{line}\nINFO: served {n}" for n, line in enumerate(PYTHON.format(line=3, name="x").split("\n"))
    )
    (one,) = thrown(lines(make, between), SERVICE)
    assert all("INFO" not in entry.message for entry in one.entries)


def test_a_pause_ends_a_trace(make):
    text = PYTHON.format(line=3, name="x").split("\n")
    entries = [*lines(make, "\n".join(text[:2])), *lines(make, "\n".join(text[2:]), 2.0)]
    assert thrown(entries, SERVICE) == []


def test_a_line_goes_to_the_trace_of_its_request(make):
    one, other = (PYTHON.format(line=n, name="x").split("\n") for n in (1, 2))
    pairs = [(line, trace) for trace, text in (("t1", one), ("t2", other)) for line in text[:3]]
    pairs += [(one[4], "t1"), (other[4], "t2")]
    entries = [make.entry(line, 1 + n / 1000, trace_id=trace) for n, (line, trace) in enumerate(pairs)]
    assert sorted((found.trace_id, found.cause.line) for found in thrown(entries, SERVICE)) == [("t1", 1), ("t2", 2)]


def test_what_only_looks_like_a_beginning_is_given_back(make):
    reader = TraceReader(SERVICE)
    entry = make.entry("ValueError: bad input", 1)
    assert reader.take(entry)
    assert reader.rest() == [((entry,), None)]


def test_of_many_open_traces_the_oldest_is_closed_and_few_are_held(make):
    reader = TraceReader(SERVICE)
    for n in range(1000):
        reader.take(make.entry("Traceback (most recent call last):", 1 + n / 10_000))
    assert len(reader.closed()) > 900


def test_go_s_server_tells_of_a_panic_in_its_own_words(make):
    text = GO.format(line=9, name="f").replace(
        "panic: f", "2026/01/01 00:00:00 http: panic serving 10.0.0.1:80: nil map"
    )
    (one,) = thrown(lines(make, text), SERVICE)
    assert (one.cause.exception, one.cause.message, one.cause.line) == ("panic", "nil map", 9)


def test_a_node_trace_and_a_java_trace_in_one_stream_keep_their_own_frames(make):
    node, java = NODE.format(line=7, name="start"), JAVA.format(line=31, name="add")
    told = {("TypeError", 7), ("IllegalStateException", 31)}
    for entries in (alternating(make, node, java), alternating(make, java, node)):
        assert {(one.cause.exception, one.cause.line) for one in thrown(entries, SERVICE)} == told


def test_frames_of_go_and_python_are_none_of_node_s(make):
    node, go, python = (
        FORMS[form].format(line=line, name=form) for form, line in (("node", 7), ("go", 8), ("python", 9))
    )
    assert places(alternating(make, node, go)) == [("TypeError", 7), ("panic", 8)]
    assert places(alternating(make, go, node)) == [("TypeError", 7), ("panic", 8)]
    assert places(alternating(make, node, python)) == [("AttributeError", 9), ("TypeError", 7)]
    assert places(alternating(make, python, node)) == [("AttributeError", 9), ("TypeError", 7)]


def test_the_first_frame_tells_what_an_error_of_an_own_name_is(make):
    own = "CartError: empty\n    at add (/app/src/cart.js:{line}:5)"
    java = JAVA.format(line=31, name="add")
    assert places(alternating(make, own.format(line=12), java)) == [("CartError", 12), ("IllegalStateException", 31)]


@pytest.mark.parametrize("form", ["node", "java", "go"])
def test_a_frame_that_may_be_of_either_of_two_traces_is_nobody_s(make, form):
    one, other = (FORMS[form].format(line=line, name=name) for line, name in ((1, "a"), (2, "b")))
    right = {("a", 1), ("b", 2), ("a is undefined", 1), ("b is undefined", 2)}
    for woven in (alternating(make, one, other), lines(make, "\n".join(staggered(one, other)))):
        told = {(found.cause.message, found.cause.line) for found in thrown(woven, SERVICE)}
        assert told <= right


def staggered(one, other):
    first, second = one.split("\n"), other.split("\n")
    return [*first[:1], *second[:1], *first[1:], *second[1:]]


@pytest.mark.parametrize("form", ["node", "java", "go"])
def test_traces_one_after_another_are_each_told(make, form):
    one, other = (FORMS[form].format(line=line, name=name) for line, name in ((1, "a"), (2, "b")))
    entries = [*lines(make, one), *lines(make, other, 1.1)]
    found = {(each.cause.function.rpartition(".")[2], each.cause.line) for each in thrown(entries, SERVICE)}
    assert found == {("a", 1), ("b", 2)}


@pytest.mark.parametrize("form", ["node", "java"])
def test_an_error_that_is_logged_twice_is_told_twice(make, form):
    text = FORMS[form].format(line=41, name="start")
    assert len(places(lines(make, f"{text}\n{text}"))) == 2


def test_two_panics_of_go_are_not_one(make):
    one, other = GO.format(line=1, name="a"), GO.format(line=2, name="b")
    entries = alternating(make, one, other)
    reader = TraceReader(SERVICE)
    for entry in entries:
        reader.take(entry)
    assert [group[0].message for group, _ in reader.rest()] == ["panic: a", "panic: b"]
