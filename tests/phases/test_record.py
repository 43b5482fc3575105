"""Tests of `uses: record`."""

from dataclasses import replace

import pytest

from netra_loop.core.records import Authenticity, Batch, Child, CollectedTest, CollectionError, Evidence, Outcome
from netra_loop.core.spec import GoalSpec, PhaseSpec, TierSpec
from netra_loop.execution.base import Collection
from netra_loop.testing import Ends, FakeRunner

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED
REFUSED = Ends(FAILED, message="AssertionError: assert 'a' == 'b'", traceback="E   AssertionError: assert 'a' == 'b'")


async def findings(bench):
    return await bench.journal.findings(bench.session, bench.iteration)


async def test_every_test_passed_for_real_meets_the_goal(bench):
    await bench.executed(one=PASSED, two=PASSED)
    result = await bench.act("record")
    assert result.outcome == "met"
    judged = bench.state.judged_now()
    assert [(tier.name, tier.selected, tier.met) for tier in judged.tiers] == [("all", 2, True)]
    assert await findings(bench) == []


async def test_a_failure_is_a_finding_and_the_goal_unmet(bench):
    bench.change(tiers=(TierSpec(name="P1", impact="$120K"),))
    await bench.executed(one=PASSED, two=REFUSED)
    result = await bench.act("record")
    assert result.outcome == "unmet"
    (finding,) = await findings(bench)
    assert (finding.tests, finding.symptom, finding.impact) == (("tests/test_a.py::two",), "assertion", "$120K")
    assert bench.state.judged_now().signatures == {finding.signature}


@pytest.mark.parametrize(("fails_third", "outcome"), [("one", "stuck"), ("two", "unmet")])
async def test_only_the_same_test_brings_a_finding_back(bench, fails_third, outcome):
    other = Ends(FAILED, message="ValueError: other")
    for bench.iteration, (test, end) in enumerate((("one", REFUSED), ("three", other), (fails_third, REFUSED)), 1):
        await bench.executed(**{"one": PASSED, "two": PASSED, "three": PASSED, test: end})
        result = await bench.act("record")
    assert result.outcome == outcome


async def test_a_threshold_forgives_and_the_finding_stays(bench):
    bench.change(tiers=(TierSpec(name="P1", max_failures=0.5),))
    await bench.executed(one=PASSED, two=REFUSED)
    assert (await bench.act("record")).outcome == "met"
    assert len(await findings(bench)) == 1


async def test_a_pass_that_another_revision_answered_is_fake(bench):
    await bench.executed(one=PASSED)
    (result,) = await bench.journal.results(bench.session, 1)
    entry = bench.entry("", log="requests", revision="backend-00007-old", trace_id=result.trace_id)
    await bench.record(_entries(bench, entry))
    outcome = (await bench.act("record")).outcome
    (result,) = await bench.journal.results(bench.session, 1)
    assert (result.authenticity, result.reasons[0]) == (Authenticity.FAKE, "wrong-revision")
    assert outcome == "inconclusive"


def _entries(bench, *entries):
    return Batch(entries=tuple(replace(entry, iteration=bench.iteration) for entry in entries))


async def test_a_pass_without_contact_is_no_pass_unless_the_loop_says_so(bench):
    await bench.executed(one=Ends(PASSED))
    assert (await bench.act("record")).outcome == "unmet"
    bench.iteration = 2
    bench.change(goal=GoalSpec(authenticity="off"))
    await bench.executed(one=Ends(PASSED))
    assert (await bench.act("record")).outcome == "met"


async def test_a_failed_deploy_is_a_finding_with_its_place(bench):
    bench.cloud.fail_next("ContainerExited", "exit code 1")
    await bench.act("deploy")
    result = await bench.act("record")
    (finding,) = await findings(bench)
    assert (result.outcome, finding.symptom, finding.cause) == ("unmet", "deploy", "deploy")
    assert "exit code 1" in finding.whys[0]


async def test_what_cannot_be_collected_is_a_finding_and_never_a_pass(bench):
    await bench.deployed()
    runner = bench.tests(one=PASSED)
    error = CollectionError("tests/test_b.py", "E   ModuleNotFoundError: No module named 'x'")
    one = CollectedTest("tests/test_a.py::one", "tests/test_a.py", 1)
    runner._collection = Collection((one,), (error,))
    await bench.act("select")
    await bench.act("execute")
    result = await bench.act("record")
    assert result.outcome == "unmet"
    assert "tests/test_b.py" in result.summary
    assert [finding.tests for finding in await findings(bench)] == [("tests/test_b.py",)]


async def test_nothing_collected_is_inconclusive(bench):
    bench.tools.runner = FakeRunner({}, collection=Collection((), fatal="No module named pytest"))
    await bench.act("select")
    result = await bench.act("record")
    assert (result.outcome, "No module named pytest" in result.summary) == ("inconclusive", True)


async def test_no_test_at_all_is_inconclusive(bench):
    await bench.executed()
    assert (await bench.act("record")).outcome == "inconclusive"


async def test_passes_without_complete_logs_are_inconclusive_where_logs_are_collected(bench):
    bench.change(phases=(*bench.spec.phases, PhaseSpec(name="logs", uses="collect-logs")))
    await bench.executed(one=PASSED)
    assert (await bench.act("record")).outcome == "inconclusive"
    await bench.act("collect-logs", settle_s=5.0)
    assert (await bench.act("record", attempt=2)).outcome == "met"


async def test_an_exception_in_the_log_of_a_failing_test_is_its_root_cause(bench):
    failing = Ends(Outcome.TIMEOUT, message="no agent_completed")
    await bench.executed(one=failing)
    source = f"{bench.state.taken['backend'].folder}/service.py"
    (result,) = await bench.journal.results(bench.session, 1)
    place = f'File "{source}", line 7, in act\n    self.it.go()'
    trace = f"Traceback (most recent call last):\n  {place}\nAttributeError: it is None"
    entry = bench.entry(trace, severity="ERROR", trace_id=result.trace_id)
    await bench.record(_entries(bench, entry))
    await bench.act("record")
    (finding,) = await findings(bench)
    cause = finding.root_cause
    assert (cause.file, cause.line, cause.function, cause.exception) == ("service.py", 7, "act", "AttributeError")
    (stored,) = await bench.journal.entries(bench.session, 1)
    assert stored.tests == ("tests/test_a.py::one",)


async def test_what_was_found_and_is_gone_is_told_as_fixed(bench):
    await bench.executed(one=[REFUSED, bench.real(PASSED)])
    await bench.act("record")
    bench.iteration = 2
    bench.clock.advance(60)
    await bench.act("select")
    await bench.act("execute")
    await bench.act("record")
    assert [finding.state for finding in await findings(bench)] == ["fixed"]
    assert bench.state.judged_now().signatures == frozenset()


async def test_a_goal_to_hold_twice_starts_over_and_spends_no_fixer(bench):
    bench.change(goal=GoalSpec(consecutive=2))
    await bench.executed(one=PASSED)
    result = await bench.act("record")
    assert (result.outcome, result.again) == ("unmet", True)


async def test_recording_again_after_a_crash_says_the_same(bench):
    await bench.executed(one=PASSED, two=REFUSED)
    context = await bench.open("record")
    first = await bench.run(context)
    again = await bench.recover(context)
    assert (again.outcome, again.batch.findings) == (first.outcome, first.batch.findings)


async def started_curl(bench):
    """One test that started curl, and the request log's own words on it."""
    bench.change(phases=(*bench.spec.phases, PhaseSpec(name="logs", uses="collect-logs")))
    seen = Evidence(children=(Child("curl", bench.clock.now()),))
    await bench.executed(one=Ends(PASSED, 1.0, evidence=seen))
    (result,) = await bench.journal.results(bench.session, 1)
    return result


def asked(bench, result, trace_id):
    request = {"method": "GET", "url": "http://x/", "status": 200, "latency_s": 0.1, "user_agent": "curl/8"}
    bench.entry("GET / 200", -0.5, log="requests", trace_id=trace_id, request=request)


async def test_a_program_s_requests_that_bear_the_trace_make_its_test_real(bench):
    result = await started_curl(bench)
    assert result.authenticity is Authenticity.FAKE
    asked(bench, result, result.trace_id)
    await bench.act("collect-logs", settle_s=5.0)
    assert (await bench.act("record")).outcome == "met"
    (result,) = await bench.journal.results(bench.session, 1)
    assert (result.authenticity, result.symptom) == (Authenticity.REAL, None)


async def test_a_program_s_requests_that_bear_none_make_it_suspect(bench):
    result = await started_curl(bench)
    asked(bench, result, "f" * 32)
    await bench.act("collect-logs", settle_s=5.0)
    assert (await bench.act("record")).outcome == "met"
    (result,) = await bench.journal.results(bench.session, 1)
    assert (result.authenticity, result.symptom) == (Authenticity.SUSPECT, None)


async def test_a_program_that_asked_nobody_leaves_its_test_fake(bench):
    await started_curl(bench)
    await bench.act("collect-logs", settle_s=5.0)
    assert (await bench.act("record")).outcome == "unmet"
