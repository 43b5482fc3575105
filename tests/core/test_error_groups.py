"""Tests of error groups, and of the one look at all entries that makes them."""

from __future__ import annotations

from netra_loop.core.error_groups import ErrorGroup, compared, told
from netra_loop.core.joining import footprint
from netra_loop.core.log_review import Review, reviewed
from netra_loop.core.stacktrace import Source

SOURCES = {"backend": Source(root="/work/service")}


def groups(entries):
    ordered = sorted(entries, key=lambda entry: entry.timestamp)
    return reviewed(ordered, SOURCES).groups()


def request(make, second, status, **more):
    asked = {"method": "GET", "url": f"http://b/items/{second}", "status": status, "user_agent": "x"}
    return make.entry(f"GET /items/{second} {status}", second, log="requests", severity="ERROR", request=asked, **more)


def test_exceptions_of_one_place_are_one_group(make):
    entries = [make.entry(make.TRACEBACK, n, tests=(f"t{n}",)) for n in (3, 1, 2)]
    (one,) = groups(entries)
    assert (one.count, one.first_at, one.last_at) == (3, make.at(1), make.at(3))
    assert one.place == "agent_backend/agent_service_core.py:544 in _execute"
    assert "Traceback" in one.example
    assert (one.revisions, one.tests) == (("backend-00001",), ("t1", "t2", "t3"))


def test_errors_that_differ_in_numbers_alone_are_one_group(make):
    (one,) = groups([make.entry(f"user {n} has no quota", n) for n in range(5)])
    assert (one.count, one.title) == (5, "user <n> has no quota")


def test_what_is_no_error_is_no_group(make):
    assert (
        groups([make.entry("fine", severity="INFO"), request(make, 1, 200), make.entry("slow", severity="WARNING")])
        == []
    )


def test_a_failed_request_counts_where_nothing_of_its_trace_explains_it(make):
    explained = [request(make, 1, 500, trace_id="t1"), make.entry(make.TRACEBACK, 2, trace_id="t1")]
    alone = [request(make, 3, 503, trace_id="t2"), request(make, 4, 503)]
    found = groups([*explained, *alone])
    assert sorted((one.title[:20], one.count) for one in found) == [
        ("AttributeError: 'Non", 1),
        ("GET /items/<n> answe", 2),
    ]


def test_a_group_written_down_is_the_same_group(make):
    (one,) = groups([make.entry("boom")])
    assert ErrorGroup.from_row(one.row()) == one
    assert one.id.startswith("E-")


def test_groups_are_new_where_the_revision_before_did_not_have_them(make):
    old, fresh = groups([make.entry("boom", 1), make.entry("bang", 2)])
    seen = {"backend": ("backend-00000", frozenset({old.signature}))}
    assert [(one.title, one.new, one.before) for one in compared([old, fresh], seen)] == [
        ("boom", False, "backend-00000"),
        ("bang", True, "backend-00000"),
    ]
    assert [one.new for one in compared([old, fresh], {})] == [None, None]


def test_groups_are_told_in_few_words():
    assert told([]) == ""
    assert told([{"new": None}]) == "1 error group"
    assert told([{"new": True}, {"new": False}], 1) == "3 error groups, 1 new in this revision"
    assert told([{"new": False}]) == "1 error group, none new in this revision"


def test_a_look_at_a_night_keeps_little(make):
    result = make.result()
    review = Review([footprint(result)], SOURCES)
    for n in range(3000):
        review.take(make.entry("step", n / 100, severity="INFO", payload={"message": "step"}))
        review.take(request(make, n / 100, 200, trace_id="somebody"))
    review.take(request(make, 31, 200, trace_id=result.trace_id))
    joined = review.finish()
    assert (joined.entries, len(review.requests), joined.total) == ((), 1, 6001)
    assert joined.were_read


def test_an_exception_without_a_trace_is_near_the_tests_of_its_time(make):
    result = make.result()
    review = Review([footprint(result)], SOURCES)
    review.take(make.entry(make.TRACEBACK, 3))
    joined = review.finish()
    assert [entry.tests for entry in joined.by_time(result)] == [(result.id,)]
    assert [one.cause.line for one in review.exceptions] == [544]
