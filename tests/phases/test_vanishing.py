"""Tests of a cloud of the session's own that dies under its tests."""

from __future__ import annotations

import asyncio

import pytest

from netra_loop.core.goal import GONE
from netra_loop.core.records import Authenticity, Outcome
from netra_loop.core.spec import PhaseSpec
from netra_loop.errors import EnvironmentFailed
from netra_loop.execution.base import Finished
from netra_loop.report import phrases
from netra_loop.testing import FakeRunner

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED


class Dying(FakeRunner):
    """The cloud ends, once, while the test `under` runs, and those before it have been stored."""

    def __init__(self, bench, under, **ends):
        self.__dict__.update(bench.tests(**ends).__dict__)
        self.ended, self.under, self.shown = bench.tools.ended, under, bench.watcher.shown
        bench.tools.runner = self

    async def run(self, plan):
        async for event in super().run(plan):
            if isinstance(event, Finished) and event.id.endswith(f"::{self.under}") and event.attempt == 1:
                while len(self.shown) + 1 < self.finished.total():  # noqa: ASYNC110 - who is shown them tells nobody
                    await asyncio.sleep(0)
                self.ended.set()
            yield event


async def died(bench, under, **ends):
    """The context of the phase under which it ended, and what came of that: the phase's result, or its error."""
    await bench.deployed()
    Dying(bench, under, **ends)
    await bench.act("select")
    context = await bench.open("execute")
    try:
        came = await bench.run(context)
    except EnvironmentFailed as error:
        came = error
    bench.tools.ended.clear()  # a resume starts it again
    return context, came


def not_counting(results):
    return {result.id.rpartition("::")[2] for result in results if any(one.startswith(GONE) for one in result.reasons)}


async def judged(bench):
    await bench.act("collect-logs", settle_s=5.0)
    await bench.act("record")
    return bench.state.judged_now()


async def test_what_ended_after_the_cloud_says_so_whatever_it_came_to(bench):
    _, came = await died(bench, "one", one=PASSED, two=FAILED)
    assert isinstance(came, EnvironmentFailed)
    assert "process 17 (signal 9), ended while it was in use" in str(came)
    (result,) = [one for one in await bench.journal.results(bench.session, 1) if one.id.endswith("::one")]
    told = f"{GONE}: the embedded cloud, process 17 (signal 9), had ended before this test was over"
    assert result.reasons[0] == told
    assert result.authenticity is Authenticity.SUSPECT
    assert ", not counted: the environment had ended)" in phrases.result(result)


async def test_what_was_over_before_counts(bench):
    await died(bench, "two", one=PASSED, two=FAILED, three=FAILED)
    assert "one" not in not_counting(await bench.journal.results(bench.session, 1))


async def test_a_resume_runs_again_just_what_did_not_count(bench):
    context, _ = await died(bench, "two", one=PASSED, two=[FAILED, PASSED])
    begun = dict(bench.tools.runner.begun)
    await bench.recover(context)
    again = {name.rpartition("::")[2] for name, times in bench.tools.runner.begun.items() if times > begun[name]}
    assert again == {"two"}
    now = await judged(bench)
    assert now.verdict == "met"
    assert "on retry" not in now.reasons[0]
    assert await bench.journal.findings(bench.session) == []


async def test_what_fails_once_more_is_the_product_s(bench):
    context, _ = await died(bench, "two", one=PASSED, two=FAILED)
    await bench.recover(context)
    assert (await judged(bench)).verdict == "unmet"
    (finding,) = await bench.journal.findings(bench.session)
    assert finding.tests == ("tests/test_a.py::two",)


async def test_a_failure_while_the_cloud_is_there_counts_at_once(bench):
    await bench.executed(one=PASSED, two=FAILED)
    assert not_counting(await bench.journal.results(bench.session, 1)) == set()
    assert (await judged(bench)).verdict == "unmet"


async def test_not_even_a_loop_that_handles_inconclusive_goes_on_without_a_cloud(bench):
    record = PhaseSpec(name="record", uses="record", next={"inconclusive": "first"})
    bench.change(phases=(*bench.spec.phases, record))
    _, came = await died(bench, "one", one=FAILED)
    assert isinstance(came, EnvironmentFailed)


async def test_a_collection_that_it_died_under_is_none(bench):
    await bench.deployed()
    bench.tests(one=PASSED)
    bench.tools.ended.set()
    with pytest.raises(EnvironmentFailed, match="ended while it was in use"):
        await bench.act("select")
    assert await bench.journal.selection(bench.session, 1) == []


async def test_a_5xx_to_what_does_not_count_is_no_finding_either(bench):
    context, _ = await died(bench, "two", one=PASSED, two=[FAILED, PASSED])
    (first,) = [one for one in await bench.journal.results(bench.session, 1) if not_counting([one])]
    await bench.recover(context)
    answered = {"method": "GET", "url": "http://backend/slow", "status": 503, "latency_s": 0.1, "user_agent": "x"}
    bench.entry("GET /slow 503", log="requests", severity="ERROR", request=answered, trace_id=first.trace_id)
    assert (await judged(bench)).verdict == "met"
    assert await bench.journal.findings(bench.session) == []
