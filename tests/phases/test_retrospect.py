"""Tests of what `record` keeps of results and log entries."""

from dataclasses import replace

import pytest

from netra_loop.core.records import Authenticity, Batch, Evidence, Frame, Outcome, Result, Symptom
from netra_loop.core.symptoms import look_at, looked_at
from netra_loop.phases.retrospect import assessed, reviewed
from netra_loop.testing import Ends
from netra_loop.testing.rows import T0, result

LONG = "def test():\n" + "    line\n" * 2000


@pytest.mark.parametrize(
    "traceback",
    [
        f"{LONG}E   ValueError: first\n{LONG}E   KeyError: last",
        f"{LONG}E   AssertionError: assert 1 == 2\n" + "x" * 1500,
        LONG + "Timeout >1 s E  not a line of its own" + "x" * 1490,
        LONG,
        "",
    ],
)
def test_a_failure_looks_the_same_by_the_part_that_is_kept(traceback: str):
    for outcome in (Outcome.FAILED, Outcome.TIMEOUT, Outcome.CRASHED):
        whole = result(outcome=outcome, message=None, traceback=traceback)
        kept = replace(whole, traceback=looked_at(traceback))
        assert look_at(kept) == look_at(whole)
        assert len(kept.traceback) < 1600


def of_many(number: int, size: int) -> list[Result]:
    """Passes, fake passes and failures in turn, each with a body of `size` characters and more."""
    close = Frame("ws://x", "close", "received", T0, code=1011)
    seen = Evidence(frames=(Frame("ws://x", "text", "sent", T0), close), mocked=("httpx",))
    base = result(output="x" * size, evidence=seen)
    kinds = (
        {"authenticity": Authenticity.REAL},
        {"authenticity": Authenticity.FAKE, "reasons": ("no-contact",)},
        {"outcome": Outcome.FAILED, "traceback": LONG, "message": "boom"},
    )
    return [replace(base, id=f"t[{n}]", trace_id=f"{n:032x}", **kinds[n % 3]) for n in range(number)]


@pytest.mark.parametrize("size", [1, 40_000])
async def test_of_many_results_each_keeps_what_its_finding_is_made_from(bench, size: int):
    whole = of_many(400 if size == 1 else 120, size)
    await bench.open("execute")
    await bench.record(Batch(results=tuple(whole)))
    stored = await bench.journal.results(bench.session, 1, bodies=False)
    kept = {one.id: one for one in await assessed(bench.context("record"), stored, [])}
    bare = {one.id: one for one in stored}
    for one in whole:
        if one.outcome.is_failure:
            lean = {"output": "", "traceback": looked_at(LONG), "symptom": Symptom.WEBSOCKET_CLOSE}
            assert kept[one.id] == replace(one, **lean)
        elif one.authenticity is Authenticity.FAKE:
            closed = Evidence(frames=one.evidence.frames[1:])
            assert kept[one.id] == replace(bare[one.id], evidence=closed, symptom=Symptom.FAKE_PASS)
        else:
            assert kept[one.id] is bare[one.id]
    assert list(kept) == list(bare)


async def test_what_was_learned_is_written_and_all_else_stays(bench):
    await bench.executed(
        one=Ends(Outcome.PASSED, output="said"), two=Ends(Outcome.FAILED, message="boom", traceback=LONG, output="x")
    )
    before = {one.id: one for one in await bench.journal.results(bench.session, 1)}
    entries = [
        bench.entry("loud", severity="ERROR", payload={"a": {"b": [1]}}, trace_id=one.trace_id)
        for one in before.values()
    ]
    requests = [bench.entry("GET /x 200", log="requests", request={"method": "GET", "url": "/x", "status": 200})]
    stored = [replace(one, iteration=1, insert_id=f"e{n}") for n, one in enumerate((*entries, *requests))]
    await bench.record(Batch(entries=tuple(stored)))
    await bench.act("record")
    for one in await bench.journal.results(bench.session, 1):
        old = before[one.id]
        judged = {"authenticity": one.authenticity, "reasons": one.reasons, "symptom": one.symptom}
        assert one == replace(old, **judged)
    kept = await bench.journal.entries(bench.session, 1)
    assert {one.insert_id: replace(one, tests=()) for one in kept} == {one.insert_id: one for one in stored}
    assert {one.tests for one in kept if one.trace_id} == {(test,) for test in before}


async def test_entries_were_read_though_no_error_can_be_in_any(bench):
    await bench.executed(one=Ends(Outcome.PASSED))
    (one,) = await bench.journal.results(bench.session, 1)
    quiet = bench.entry("done", payload={"message": "done"}, tests=(one.id,))
    await bench.record(Batch(entries=(replace(quiet, iteration=1),)))
    assert (await reviewed(bench.context("record"), [one])).finish().were_read


async def test_a_fake_pass_keeps_its_symptom(bench):
    await bench.executed(one=Ends(Outcome.PASSED))
    await bench.act("record")
    (one,) = await bench.journal.results(bench.session, 1)
    assert (one.authenticity, one.symptom) == (Authenticity.FAKE, Symptom.FAKE_PASS)
