"""Tests of `uses: execute`."""

import asyncio

import pytest

from netra_loop.cloud.base import DeployRequest
from netra_loop.core.records import Authenticity, Evidence, Exchange, Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import TestsSpec
from netra_loop.errors import Defect, ForeignChange
from netra_loop.execution.base import Finished, Notice
from netra_loop.testing import Ends, FakeRunner

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED


class Gone(BaseException):
    """The process died while a test ran."""


async def test_every_selected_test_gets_a_result(bench):
    result = await bench.executed(one=PASSED, two=FAILED, three=Outcome.SKIPPED)
    assert await bench.results() == [("one", 1, "passed"), ("two", 1, "failed"), ("three", 1, "skipped")]
    assert result.facts == {"selected": 3, "reported": 3, "passed": 1, "failed": 1, "skipped": 1}


async def test_a_result_says_where_it_comes_from(bench):
    await bench.executed(one=PASSED)
    (result,) = await bench.journal.results(bench.session, 1)
    assert (result.revision, result.worker, result.authenticity) == ("backend-00001-fak", "gw0", Authenticity.REAL)
    (attempt,) = await bench.journal.attempts(bench.session, 1)
    assert attempt.trace_id == result.trace_id


async def test_a_result_is_stored_before_anybody_sees_it(bench):
    await bench.deployed()
    bench.tests(one=PASSED, two=PASSED)
    await bench.act("select")
    stored_when_shown = []

    def finished(result):
        rows = bench.journal._sessions[bench.session].results
        stored_when_shown.append((1, result.id, result.attempt) in rows)

    bench.watcher.finished = finished
    await bench.act("execute")
    assert stored_when_shown == [True, True]


async def test_a_pass_on_retry_is_flaky_and_both_attempts_are_kept(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=1))
    await bench.executed(one=[FAILED, PASSED], two=PASSED)
    assert sorted(await bench.results()) == [("one", 1, "failed"), ("one", 2, "passed"), ("two", 1, "passed")]
    results = await bench.journal.results(bench.session, 1)
    assert {one.attempt: one.flaky for one in results if one.id.endswith("one")} == {1: False, 2: True}
    assert len({one.trace_id for one in results}) == 3


async def test_a_test_is_retried_as_often_as_the_loop_says_and_no_more(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=2))
    await bench.executed(one=FAILED)
    assert await bench.results() == [("one", 1, "failed"), ("one", 2, "failed"), ("one", 3, "failed")]


async def test_resume_keeps_what_finished_and_runs_the_rest(bench):
    await bench.deployed()
    runner = bench.tests(one=PASSED, two=[Gone(), PASSED], three=PASSED)
    await bench.act("select")
    context = await bench.open("execute")
    with pytest.raises(Gone):
        await bench.run(context)
    assert await bench.results() == [("one", 1, "passed")]
    await bench.recover(context)
    assert await bench.results() == [("one", 1, "passed"), ("two", 2, "passed"), ("three", 1, "passed")]
    assert {name.rpartition("::")[2]: times for name, times in runner.begun.items()} == {"one": 1, "two": 2, "three": 1}
    assert "one" in {one.id.rpartition("::")[2] for one in bench.watcher.shown}


async def test_resume_does_not_retry_more_often_than_the_loop_says(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=1))
    await bench.deployed()
    bench.tests(one=FAILED, two=[FAILED, Gone(), FAILED])
    await bench.act("select")
    context = await bench.open("execute")
    with pytest.raises(Gone):
        await bench.run(context)
    await bench.recover(context)
    assert sorted(await bench.results()) == [
        ("one", 1, "failed"),
        ("one", 2, "failed"),
        ("two", 1, "failed"),
        ("two", 3, "failed"),
    ]


async def test_a_resume_with_nothing_left_to_do_starts_nothing(bench):
    await bench.deployed()
    runner = bench.tests(one=PASSED)
    await bench.act("select")
    context = await bench.open("execute")
    await bench.run(context)
    bench.tools.asked.clear()
    result = await bench.recover(context)
    assert (runner.begun.total(), bench.tools.asked, result.summary) == (1, [], "1 passed")


async def test_a_second_visit_runs_everything_anew(bench):
    await bench.executed(one=PASSED)
    bench.clock.advance(1)
    await bench.act("execute", attempt=2)
    assert await bench.results() == [("one", 1, "passed"), ("one", 2, "passed")]


async def test_a_runner_that_loses_a_test_is_a_defect(bench):
    class Loses(FakeRunner):
        async def run(self, plan):
            async for event in super().run(plan[:-1]):
                yield event

    await bench.deployed()
    bench.tests(one=PASSED, two=PASSED)
    await bench.act("select")
    bench.tools.runner = Loses({"tests/test_a.py::one": PASSED})
    with pytest.raises(Defect, match=r"test_a\.py::two"):
        await bench.act("execute")
    assert await bench.results() == [("one", 1, "passed")]


async def test_an_interrupted_run_stores_what_was_still_said(bench):
    begun = asyncio.Event()

    class Says(FakeRunner):
        async def run(self, plan):
            now = bench.clock.now()
            begun.set()
            yield Finished(plan[0].id, 1, "gw0", now, 1.0, PASSED, plan[0].trace_id)
            await asyncio.Event().wait()

    await bench.deployed()
    bench.tests(one=PASSED, two=PASSED)
    await bench.act("select")
    bench.tools.runner = Says({})
    running = asyncio.create_task(bench.run(await bench.open("execute")))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await bench.results() == [("one", 1, "passed")]


async def test_what_a_test_said_is_redacted_before_it_is_stored(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    exchange = Exchange("GET", "http://x/?key=open-sesame", 403, bench.clock.now(), 0.1, body="open-sesame?")
    said = Ends(FAILED, 0.1, "no open-sesame", "in open-sesame", "with open-sesame", Evidence(exchanges=(exchange,)))
    await bench.executed(one=said)
    (result,) = await bench.journal.results(bench.session, 1)
    assert "open-sesame" not in str(result)
    assert result.message == "no [redacted]"


async def test_a_runner_s_notices_are_kept(bench):
    class Notices(FakeRunner):
        async def run(self, plan):
            yield Notice("workers are spawned: threads are alive")
            async for event in super().run(plan):
                yield event

    await bench.deployed()
    bench.tests(one=PASSED)
    await bench.act("select")
    bench.tools.runner = Notices({"tests/test_a.py::one": PASSED})
    await bench.act("execute")
    assert [event.text for event in await bench.events("noted")] == ["workers are spawned: threads are alive"]


async def test_nothing_runs_against_somebody_else_s_revision(bench):
    await bench.deployed()
    runner = bench.tests(one=PASSED)
    await bench.act("select")
    await bench.cloud.deploy(DeployRequest("backend", "somebody-else", 1, "/", ("serve",)), lambda _: None)
    with pytest.raises(ForeignChange, match="backend-00002-fak"):
        await bench.act("execute")
    assert runner.begun.total() == 0
