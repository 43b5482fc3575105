"""Tests of the whys that source and history add, and of the question that is left."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from netra_loop.core.findings import Facts, make_findings
from netra_loop.core.joining import join
from netra_loop.core.records import Cause, FindingState, Outcome, RootCause, Symptom
from netra_loop.core.source_lines import Place, Touched
from netra_loop.core.whys import grounded, question, raised_at
from netra_loop.testing.rows import finding

MESSAGE = "'NoneType' object has no attribute 'execute'"
ROOT = RootCause("core.py", 61, "_execute", "AttributeError", MESSAGE, 3)
TOUCHED = Touched("0123456789abcdef", "Jane", datetime(2026, 11, 20, tzinfo=UTC), "Use the bridge's")
PLACE = Place("service/core.py", 61, "c" * 40, 60, ("o = f()", "return await orchestrator.execute(x)"), TOUCHED)


def deep(**more):
    return finding(root_cause=ROOT, whys=("1 test failed", raised_at(ROOT), "it is new"), **more)


def place(source: str) -> Place:
    return Place("core.py", 1, None, 1, (source,))


def test_the_source_stands_at_its_why_and_who_touched_it_after():
    told = grounded(deep(), PLACE).whys
    assert told == (
        "1 test failed",
        "it was raised at core.py:61 in _execute:\n  60 | o = f()\n> 61 | return await orchestrator.execute(x)",
        "line 61 was last touched by 0123456789ab (Jane, 2026-11-20): Use the bridge's",
        "it is new",
        "why is orchestrator None here? not known yet",
    )


def test_without_source_only_the_question_is_added():
    assert grounded(deep(), None).whys[-2:] == ("it is new", "why is it None here? not known yet")


def test_doing_it_again_adds_nothing():
    once = grounded(deep(), PLACE)
    assert grounded(once, PLACE) == once


def test_what_is_fixed_is_asked_nothing():
    assert grounded(deep(state=FindingState.FIXED), PLACE).whys == deep().whys
    asked = grounded(deep(), PLACE)
    assert grounded(replace(asked, state=FindingState.FIXED), PLACE).whys == asked.whys[:-1]


@pytest.mark.parametrize(
    ("exception", "message", "source", "asked"),
    [
        ("AttributeError", MESSAGE, "x = self._bridge.execute()", "why is self._bridge None here"),
        ("AttributeError", MESSAGE, "return await (await f()).execute(x)", "why is it None here"),
        ("AttributeError", MESSAGE, "a.execute(b.execute())", "why is it None here"),
        ("AttributeError", MESSAGE, "pool.get(key).execute()", "why is pool.get(key) None here"),
        ("AttributeError", MESSAGE, "pool.execute_all()", "why is it None here"),
        ("TypeError", "'NoneType' object is not subscriptable", "x = row['id']", "why is row None here"),
        ("TypeError", "'NoneType' object is not iterable", "for x in rows:", "why is it None here"),
        ("AttributeError", "'Bridge' object has no attribute 'make'", "b.make()", "why has b no make here"),
        ("KeyError", "'thread_id'", "", "why is the key 'thread_id' not there"),
        ("TimeoutError", "", "", "what does f wait for in vain"),
        ("RuntimeError", "no", "", "why does f raise RuntimeError here"),
    ],
)
def test_the_question_names_what_the_line_shows(exception, message, source, asked):
    root = RootCause("core.py", 1, "f", exception, message, 1)
    assert question(finding(root_cause=root), place(source)) == asked


def test_silence_asks_what_follows_and_nobody_asks_a_fixer_of_the_environment():
    assert question(finding(stage="agent_started")) == "why does nothing follow agent_started"
    assert question(finding(cause=Cause.ENVIRONMENT, stage="agent_started")) is None
    assert question(finding(state=FindingState.FLAKY, stage="agent_started")) is None
    assert question(finding(symptom=Symptom.ASSERTION)) is None


def found(results, entries=(), **more):
    (one,) = make_findings(
        Facts(iteration=more.pop("iteration", 1), results=results, joined=join(entries, results), **more)
    )
    return one


def silent(make, name: str, stage: str = "agent_started"):
    seen = make.evidence(make.frame("open"), make.event(stage, 0.5))
    return make.result(name, Outcome.TIMEOUT, evidence=seen, stage=stage, duration_s=8.0)


def test_of_a_silence_it_is_told_what_came_last(make):
    one = found([silent(make, "test_a"), silent(make, "test_b")])
    assert "the last that the server sent was agent_started (2), then nothing for 7.50 s" in one.whys


def test_where_no_exception_is_known_what_was_logged_speaks(make):
    results = [silent(make, "test_a"), silent(make, "test_b")]
    warned = {one.trace_id: make.entry("still waits after 3 s", severity="WARNING") for one in results}
    one = found(results, warned=warned)
    assert one.whys[-1] == "backend-00001 logged WARNING under the trace of 2 of 2 tests: still waits after 3 s"
    loud = make.entry("no pool", 3, trace_id=results[0].trace_id)
    assert (
        found(results[:1], [loud], warned=warned).whys[-1].endswith("logged ERROR under the trace of the test: no pool")
    )


def test_that_it_got_further_is_told(make):
    before = found([silent(make, "test_a", "connected")])
    now = found([silent(make, "test_a", "agent_started")], iteration=2, previous=[before])
    assert now.state is FindingState.MOVED
    assert "the run got as far as agent_started (1); the iteration before as far as connected" in now.whys
