"""Tests of `uses: compare`, and of what `record` makes of it."""

from dataclasses import replace

import pytest

from netra_loop.cloud.base import Target
from netra_loop.core.records import Contact, Evidence, Outcome
from netra_loop.core.spec import GoalSpec, SelectSpec, ServiceSpec, TestsSpec, TierSpec
from netra_loop.errors import EnvironmentFailed
from netra_loop.phases.closing import close_session
from netra_loop.testing import Ends, FakeRunner
from tests.phases.conftest import full

RED = Ends(Outcome.FAILED, message="AssertionError: assert 'a' == 'b'", traceback="E   AssertionError: no")
REFUSED = Ends(Outcome.FAILED, message="ConnectionRefusedError: [Errno 111] Connect call failed")
SKIPPED = Ends(Outcome.SKIPPED)
GREEN = Ends(Outcome.PASSED)
FIRST, SECOND = "backend-00001-fak", "backend-00002-fak"
AT_FIRST, AT_TAG, AT_SECOND = f"{FIRST}.invalid", f"nl-abcd-1---{FIRST}.invalid", f"{SECOND}.invalid"


class Answered(FakeRunner):
    """Tests that talk to `host`, where `revision` answers, as the request log tells."""

    def __init__(self, bench, host, revision, **ends):
        self._bench, self._host, self._revision = bench, host, revision
        super().__init__({full(name): talked(bench, host, end) for name, end in ends.items()}, clock=bench.clock)

    async def run(self, plan):
        for planned in plan:
            request = {"method": "GET", "url": f"http://{self._host}/x", "status": 200}
            self._bench.entry(log="requests", revision=self._revision, trace_id=planned.trace_id, request=request)
        async for event in super().run(plan):
            yield event


def talked(bench, host, end):
    """`end`, having talked to `host`."""
    when = bench.clock.now()
    contact = Contact(host, 80, 9, 9, when, when)
    return replace(end, evidence=Evidence(contacts=(contact,))) if isinstance(end, Ends) else end


async def iterated(bench, iteration, host, **ends):
    bench.iteration = iteration
    await bench.executed(**{name: talked(bench, host, end) for name, end in ends.items()})


def sides(bench, before, now):
    """What the tests will come to against the two revisions."""
    bench.tools.beside["compare-before"] = Answered(bench, AT_TAG, FIRST, **before)
    bench.tools.beside["compare-now"] = Answered(bench, AT_SECOND, SECOND, **now)


@pytest.fixture
def compared(bench):
    """Two iterations, what the tests come to in each; then both revisions at once."""

    async def run(first, second, before, now, *, claims=False, **with_):
        await iterated(bench, 1, AT_FIRST, **first)
        await bench.act("record")
        if claims:
            await claim(bench)
        await iterated(bench, 2, AT_SECOND, **second)
        sides(bench, before, now)
        return await bench.act("compare", **with_)

    return run


async def claim(bench):
    """A fixer says that it mended all that is open."""
    ids = ", ".join(f'"{one.id}"' for one in await bench.journal.findings(bench.session))
    bench.tools.environ = {"PATH": "/usr/bin:/bin"}
    await bench.act("run", command=f"printf '[{ids}]' > \"$NETRA_LOOP_CLAIM\"")


def verdicts(bench):
    return {row["test"].rpartition("::")[2]: row["verdict"] for row in bench.state.compared.rows}


async def found(bench):
    """The only finding of the second iteration."""
    (one,) = await bench.journal.findings(bench.session, 2)
    return one


# ------------------------------------------------------------------------------------------------------------ compare


async def test_the_first_iteration_has_nothing_to_compare_with(bench):
    await iterated(bench, 1, AT_FIRST, one=RED)
    result = await bench.act("compare")
    assert result.outcome == "ok"
    assert result.summary == "nothing to compare with: no revision was tested before this one"
    assert bench.state.tags == frozenset()


async def test_what_passes_and_is_not_claimed_is_not_compared(bench, compared):
    result = await compared({"one": GREEN}, {"one": GREEN}, {}, {})
    assert (result.outcome, verdicts(bench)) == ("ok", {})
    assert "nothing was compared" in result.summary
    assert bench.state.tags == frozenset()


async def test_each_failure_is_run_on_both_sides_and_judged_by_the_table(bench, compared):
    result = await compared(
        {"mended": RED, "broken": RED, "flaky": GREEN, "worse": GREEN, "well": GREEN},
        {"mended": RED, "broken": RED, "flaky": RED, "worse": RED, "well": GREEN},
        {"mended": RED, "broken": RED, "flaky": GREEN, "worse": GREEN},
        {"mended": GREEN, "broken": RED, "flaky": GREEN, "worse": RED},
    )
    assert verdicts(bench) == {"mended": "fixed", "broken": "not-fixed", "flaky": "flake", "worse": "regression"}
    assert result.summary == (
        "4 tests compared with backend-00001-fak: 1 fixed, 1 not fixed, 1 flaky, 1 regressed; "
        "regressions: tests/test_a.py::worse"
    )
    assert len(await bench.results()) == 5  # the iteration's own


async def test_each_side_is_given_its_own_addresses_and_half_of_the_workers(bench, compared):
    bench.change(tests=TestsSpec(paths=("../tests",), env={"AT": "${services.backend.url}"}, workers=5))
    await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": RED})
    then, now = bench.tools.asked[-2:]
    assert (then.env["AT"], then.env["NETRA_LOOP_URL"]) == (f"http://{AT_TAG}",) * 2
    assert (now.env["AT"], now.env["NETRA_LOOP_URL"]) == (f"http://{AT_SECOND}",) * 2
    assert [side.env["NETRA_LOOP_REVISION"] for side in (then, now)] == [FIRST, SECOND]
    assert [(side.workers, side.first) for side in (then, now)] == [(2, 0), (2, 2)]
    assert then.testrun_uid != now.testrun_uid
    assert all(runner.closed for runner in bench.tools.beside.values())


async def test_the_traffic_stays_and_the_tag_goes_when_the_session_ends(bench, compared):
    await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": RED})
    targets = (await bench.cloud.standing("backend")).targets
    assert targets == (Target(None, 100), Target(FIRST, 0, "nl-abcd-1", f"http://{AT_TAG}"))
    assert await close_session(bench.context("record"), met=False)
    assert [one.tag for one in (await bench.cloud.standing("backend")).targets if one.tag] == []


async def test_a_service_that_is_tested_at_tags_is_compared_at_its_earlier_one(bench, compared):
    bench.change(services={"backend": ServiceSpec(command=("serve",), traffic="tagged")})
    await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": GREEN})
    assert bench.tools.asked[-2].env["NETRA_LOOP_URL"] == f"http://{AT_TAG}"
    assert await bench.events("revision_tagged") == []


async def test_after_a_crash_it_is_done_again_with_the_tag_that_is_there(bench, compared):
    with pytest.raises(EnvironmentFailed):
        await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": EnvironmentFailed("gone")})
    assert all(runner.closed for runner in bench.tools.beside.values())
    sides(bench, {"one": RED}, {"one": GREEN})
    assert (await bench.recover(bench.context("compare"))).outcome == "ok"
    assert verdicts(bench) == {"one": "fixed"}
    assert len(await bench.events("revision_tagged")) == 1
    assert await bench.results() == [("one", 1, "failed")]


async def test_a_revision_that_is_gone_can_be_compared_with_no_more(bench):
    await iterated(bench, 1, AT_FIRST, one=RED)
    await iterated(bench, 2, AT_SECOND, one=RED)
    bench.cloud._services["backend"].ready.remove(FIRST)
    result = await bench.act("compare")
    assert result.outcome == "failed"
    assert "backend-00001-fak cannot be compared with" in result.summary


async def test_a_revision_that_answers_nobody_is_no_comparison_and_no_test_is_begun(bench):
    await iterated(bench, 1, AT_FIRST, one=RED)
    await iterated(bench, 2, AT_SECOND, one=RED)
    sides(bench, {"one": RED}, {"one": RED})
    bench.tools.answering = False
    result = await bench.act("compare")
    assert result.outcome == "failed"
    assert "backend-00001-fak cannot be compared with: ProbePathNotAnswered" in result.summary
    assert [sum(runner.begun.values()) for runner in bench.tools.beside.values()] == [0, 0]
    assert all(runner.closed for runner in bench.tools.beside.values())


async def test_those_of_the_greatest_impact_come_first(bench, compared):
    first = TierSpec(name="P1", select=SelectSpec(keyword="two"))
    bench.change(tiers=(first, TierSpec(name="rest")))
    both = {"one": RED, "two": RED}
    result = await compared(both, both, both, both, tests=1)
    assert (len(verdicts(bench)), bench.state.compared.left_out) == (1, 1)
    assert result.summary.endswith("1 more were left out")


# ------------------------------------------------------------------------------------------------------------ doubts


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        ({"one": GREEN}, {"one": SKIPPED}, "was skipped against the revision under test"),
        ({}, {"one": RED}, "did not run against the revision before"),
    ],
)
async def test_what_says_nothing_on_a_side_is_not_judged(bench, compared, before, now, why):
    result = await compared({"one": RED}, {"one": RED}, before, now)
    assert verdicts(bench) == {"one": "unknown"}
    assert result.summary.endswith(f"not judged: tests/test_a.py::one: {why}")


@pytest.mark.parametrize(
    ("host", "revision", "why"),
    [
        (AT_SECOND, SECOND, "it talked to backend-00002-fak"),
        (AT_TAG, "backend-00007-fak", "it was answered by backend-00007-fak"),
    ],
)
async def test_what_the_other_side_answered_is_not_judged(bench, compared, host, revision, why):
    await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": RED})
    bench.tools.beside["compare-before"] = Answered(bench, host, revision, one=RED)
    await bench.act("compare", attempt=2)
    (row,) = bench.state.compared.rows
    assert (row["verdict"], row["told"]) == ("unknown", f"run against backend-00001-fak, {why}")


async def test_what_the_environment_lets_fail_on_both_sides_is_not_judged(bench, compared):
    result = await compared({"one": RED}, {"one": RED}, {"one": REFUSED}, {"one": REFUSED}, claims=True)
    assert verdicts(bench) == {"one": "unknown"}
    assert "the environment let it fail on both sides" in result.summary
    sides(bench, {"one": GREEN}, {"one": REFUSED})  # for the other revision it is well
    await bench.act("compare", attempt=2)
    assert verdicts(bench) == {"one": "regression"}


async def test_a_log_that_does_not_tell_who_answered_is_said(bench, compared):
    await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": RED})
    silent = FakeRunner({full("one"): talked(bench, AT_TAG, RED)}, clock=bench.clock)
    bench.tools.beside["compare-before"] = silent
    result = await bench.act("compare", attempt=2)
    assert verdicts(bench) == {"one": "not-fixed"}
    assert "the request log does not tell yet who answered 1 of them" in result.summary


# ------------------------------------------------------------------------------------------------------------ record


@pytest.mark.parametrize(
    ("just_now", "before", "now", "state"),
    [
        (RED, RED, GREEN, "fixed"),
        (RED, RED, RED, "persisting"),
        (RED, GREEN, GREEN, "flaky"),
        (RED, GREEN, RED, "regressed"),
        (GREEN, RED, GREEN, "fixed"),
        (GREEN, RED, RED, "persisting"),
        (GREEN, GREEN, GREEN, "flaky"),
        (GREEN, GREEN, RED, "regressed"),
    ],
)
async def test_the_table_decides_what_becomes_of_a_claimed_finding(bench, compared, just_now, before, now, state):
    await compared({"one": RED}, {"one": just_now}, {"one": before}, {"one": now}, claims=True)
    result = await bench.act("record")
    one = await found(bench)
    claims = {"fixed": "verified", "flaky": "claimed"}
    assert (one.state, one.claims[0].verdict) == (state, claims.get(state, "refuted"))
    assert (result.outcome == "met") is (just_now is GREEN and now is GREEN)
    assert any("backend-00001-fak" in why for why in one.whys)


async def test_what_was_compared_is_told_among_the_reasons_of_its_result(bench, compared):
    await compared({"one": GREEN}, {"one": RED}, {"one": GREEN}, {"one": RED})
    why = "it passes against backend-00001-fak at the same moment, and fails against backend-00002-fak"
    for attempt in (1, 2):
        await bench.act("record", attempt=attempt)
        (result,) = await bench.journal.results(bench.session, 2)
        assert result.reasons == (f"compared: regression: {why}",)


async def test_a_flake_is_no_regression_and_a_regression_blocks_what_the_tier_forgives(bench, compared):
    bench.change(tiers=(TierSpec(name="P1", max_failures=0.5),))
    first = {"one": GREEN, "two": GREEN}
    await compared(first, {"one": RED, "two": GREEN}, {"one": GREEN}, {"one": GREEN})
    assert (await bench.act("record")).outcome == "met"
    sides(bench, {"one": GREEN}, {"one": RED})
    await bench.act("compare", attempt=2)
    assert (await bench.act("record", attempt=2)).outcome == "unmet"
    assert bench.state.judged_now().regressed == {
        full("one"): "passed in iteration 1 against backend-00001-fak, fails now"
    }


async def test_a_regression_counts_though_the_test_never_passed_in_an_iteration(bench, compared):
    bench.change(tiers=(TierSpec(name="P1", max_failures=0.5),))
    first = {"one": RED, "two": GREEN}
    await compared(first, first, {"one": GREEN}, {"one": RED})
    assert (await bench.act("record")).outcome == "unmet"
    assert bench.state.judged_now().regressed == {full("one"): "passed against backend-00001-fak, fails now"}
    bench.change(goal=GoalSpec(allow_regressions=True))
    assert (await bench.act("record", attempt=2)).outcome == "met"


async def test_a_sick_environment_is_inconclusive_and_spends_no_fixer(bench, compared):
    await compared({"one": GREEN, "two": GREEN}, {"one": REFUSED, "two": GREEN}, {"one": GREEN}, {"one": GREEN})
    assert verdicts(bench) == {"one": "environment"}
    result = await bench.act("record")
    assert result.outcome == "inconclusive"
    assert result.summary.startswith("the environment was sick: 1 test failed")
    assert (await found(bench)).cause == "environment"


async def test_a_claim_is_not_judged_by_a_part_of_the_tests(bench, compared):
    bench.change(tiers=(TierSpec(name="P1"),))
    bench.only = "P1"
    await compared({"one": RED}, {"one": RED}, {"one": RED}, {"one": RED}, claims=True)
    await bench.act("record")
    assert (await found(bench)).claims[0].verdict == "claimed"


async def test_a_claim_whose_fix_is_on_both_sides_is_not_compared(bench):
    await iterated(bench, 1, AT_FIRST, one=RED)
    await bench.act("record")
    await claim(bench)
    await iterated(bench, 2, AT_SECOND, one=GREEN)  # and nothing is recorded of it
    await iterated(bench, 3, "backend-00003-fak.invalid", one=GREEN)
    assert "none is claimed" in (await bench.act("compare")).summary
    await bench.act("record")
    (one,) = await bench.journal.findings(bench.session, 3)
    assert (one.state, one.claims[0].verdict) == ("fixed", "verified")
