"""Tests of `uses: execute`."""

import asyncio
from dataclasses import replace

import pytest

from netra_loop.cloud.base import DeployRequest
from netra_loop.core.events import PhaseStarted
from netra_loop.core.records import Authenticity, Batch, CollectedTest, Evidence, Exchange, Outcome, Sources
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import TestsSpec
from netra_loop.errors import Defect, ForeignChange
from netra_loop.execution.base import Collection, Finished, Notice
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


async def test_a_retry_that_skips_is_one_attempt_and_leaves_the_failure_standing(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=2))
    result = await bench.executed(one=[FAILED, Outcome.SKIPPED, Outcome.SKIPPED], two=[FAILED, Outcome.SKIPPED, PASSED])
    assert sorted(await bench.results()) == [
        ("one", 1, "failed"),
        ("one", 2, "skipped"),
        ("one", 3, "skipped"),
        ("two", 1, "failed"),
        ("two", 2, "skipped"),
        ("two", 3, "passed"),
    ]
    assert result.facts == {"selected": 2, "reported": 2, "passed": 1, "failed": 1}


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


# ------------------------------------------------------------------------------------------------------------- retries


async def begun(bench):
    attempts = await bench.journal.attempts(bench.session, bench.iteration)
    ordered = sorted(attempts, key=lambda one: (one.started_at, one.attempt))
    return [(one.id.rpartition("::")[2], one.attempt) for one in ordered]


async def test_retries_come_after_every_first_attempt_and_on_the_same_revision(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=1))
    await bench.executed(one=[FAILED, PASSED], two=PASSED, three=[FAILED, PASSED], four=PASSED)
    order = await begun(bench)
    assert {attempt for _, attempt in order[:4]} == {1}
    assert sorted(order[4:]) == [("one", 2), ("three", 2)]
    assert {one.revision for one in await bench.journal.results(bench.session, 1)} == {"backend-00001-fak"}


async def test_a_fake_pass_is_no_failure_to_retry(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=2))
    await bench.executed(one=Ends(PASSED))
    (result,) = await bench.journal.results(bench.session, 1)
    assert (result.attempt, result.authenticity, result.flaky) == (1, Authenticity.FAKE, False)


async def test_a_pass_on_retry_that_touched_nothing_is_flaky_and_fake(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=1))
    failure = Ends(FAILED, message="AssertionError: assert 1 == 2", evidence=bench.real(PASSED).evidence)
    await bench.executed(one=[failure, Ends(PASSED)])
    first, second = await bench.journal.results(bench.session, 1)
    assert (second.outcome, second.flaky, second.authenticity) == (PASSED, True, Authenticity.FAKE)
    assert (first.outcome, first.message) == (FAILED, failure.message)
    assert first.evidence == failure.evidence
    await bench.act("record")
    assert bench.state.judged_now().tiers[0].failures == 1
    assert (await bench.journal.results(bench.session, 1))[1].flaky


async def test_a_pass_on_retry_after_a_crash_of_ours_is_still_flaky(bench):
    bench.change(tests=TestsSpec(paths=("../tests",), retries=1))
    await bench.deployed()
    bench.tests(one=[FAILED, Gone(), bench.real(PASSED)])
    await bench.act("select")
    context = await bench.open("execute")
    with pytest.raises(Gone):
        await bench.run(context)
    await bench.recover(context)
    assert await bench.results() == [("one", 1, "failed"), ("one", 3, "passed")]
    assert (await bench.journal.results(bench.session, 1))[-1].flaky


# ----------------------------------------------------------------------------------------------------- changed sources


def runner(bench, sha256, *, path="tests/test_a.py", outcome=PASSED):
    """The tests as another process collected them."""
    test = CollectedTest(f"{path}::one", path, 1)
    sources = Sources({path: sha256, "conftest.py": "c"}, {path: ["conftest.py"]})
    made = FakeRunner(
        {test.id: bench.real(outcome)}, clock=bench.clock, collection=Collection((test,), sources=sources)
    )
    bench.tools.runner = made
    return made


async def judged(bench):
    result = (await bench.journal.results(bench.session, bench.iteration))[-1]
    return result.authenticity, result.reasons


SAID = ("its source changed since the session began: tests/test_a.py",)


async def test_a_test_that_was_edited_between_iterations_passes_as_suspect(bench):
    await bench.deployed()
    for bench.iteration, held in enumerate(("1", "2", "1"), start=1):
        runner(bench, held)
        await bench.act("select")
        await bench.act("execute")
        expected = (Authenticity.SUSPECT, SAID) if held == "2" else (Authenticity.REAL, ())
        assert await judged(bench) == expected


async def test_a_test_that_was_edited_while_the_session_was_down_passes_as_suspect(bench):
    await bench.deployed()
    runner(bench, "1")
    await bench.act("select")
    context = await bench.open("execute")
    runner(bench, "2")
    await bench.recover(context)
    assert await judged(bench) == (Authenticity.SUSPECT, SAID)


async def test_what_counts_is_what_the_process_that_ran_it_had_collected(bench):
    await bench.deployed()
    runner(bench, "1")
    await bench.act("select")
    renewed = runner(bench, "2")
    collected_first = Collection(renewed._collection.tests, sources=Sources({"tests/test_a.py": "1"}))

    async def collect():
        return collected_first

    renewed.collect = collect
    await bench.act("execute")
    assert (await judged(bench))[0] is Authenticity.SUSPECT


async def test_a_new_file_s_tests_have_not_changed(bench):
    await bench.deployed()
    runner(bench, "1")
    await bench.act("select")
    bench.iteration = 2
    runner(bench, "9", path="tests/test_new.py")
    await bench.act("select")
    await bench.act("execute")
    assert await judged(bench) == (Authenticity.REAL, ())


async def test_an_edited_test_that_fails_just_fails(bench):
    await bench.deployed()
    runner(bench, "1")
    await bench.act("select")
    runner(bench, "2", outcome=FAILED)
    await bench.act("execute")
    assert await judged(bench) == (Authenticity.NOT_APPLICABLE, ())


async def test_reasons_are_redacted_too(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    seen = Evidence(mocked=("httpx.get('open-sesame')",))
    await bench.executed(one=Ends(PASSED, evidence=seen))
    assert "open-sesame" not in str(await judged(bench))


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 86_400.0, -86_400.0])
async def test_which_results_are_this_attempt_s_is_told_by_their_order_not_by_the_clock(bench, jump_s):
    await bench.executed(one=PASSED, two=PASSED)
    bench.clock.advance(60)
    bench.clock.jump(jump_s)
    before = (await bench.journal.mark(bench.session)).results
    again = PhaseStarted(iteration=1, phase="execute", attempt=2, uses="execute", results=before)
    await bench.record(Batch(events=(again,)))
    first = (await bench.journal.results(bench.session, 1))[0]
    bench.clock.jump(-2 * jump_s)
    await bench.record(Batch(results=(replace(first, attempt=2, started_at=bench.clock.now()),)))

    runner = bench.tests(one=PASSED, two=PASSED)
    await bench.recover(bench.context("execute", 2))
    assert runner.begun == {"tests/test_a.py::two": 1}
    assert sorted(await bench.results()) == [(name, number, "passed") for name in ("one", "two") for number in (1, 2)]
