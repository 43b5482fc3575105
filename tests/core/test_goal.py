from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from netra_loop.core.goal import Iteration, Judgement, final_results, judge, was_held
from netra_loop.core.records import Authenticity, Outcome, Selected, Symptom, Verdict
from netra_loop.core.spec import GoalSpec, LimitsSpec, TierSpec

P1 = TierSpec(name="P1", max_failures=0.0)
P2 = TierSpec(name="P2", max_failures=0.10)


@dataclass
class Earlier:
    verdict: Verdict
    signatures: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()
    iteration: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


def unmet(*signatures: str) -> Earlier:
    return Earlier(Verdict.UNMET, frozenset(signatures))


@pytest.fixture
def iterate(make):
    """An iteration of one tier whose tests ended with these outcomes; None for a test without a result."""

    def build(outcomes, *, tier="P1", **more) -> Iteration:
        results, selected = [], []
        for index, outcome in enumerate(outcomes):
            result = make.result(f"{tier}_{index}", outcome or Outcome.PASSED, tier=tier)
            selected.append(Selected(result.id, tier, index, "because"))
            if outcome is not None:
                results.append(result)
        return Iteration(**{"selected": selected, "results": results, "tiers": [P1], **more})

    return build


def verdict(now: Iteration, history=(), *, goal=None, limits=None) -> Judgement:
    return judge(now, goal or GoalSpec(), limits or LimitsSpec(), history)


PASSED, FAILED, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED


def test_everything_passed_is_met(iterate):
    said = verdict(iterate([PASSED] * 3))
    assert said.verdict is Verdict.MET
    assert (said.counts["selected"], said.counts["passed"]) == (3, 3)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ERROR, Outcome.TIMEOUT, Outcome.CRASHED, None])
def test_a_failure_or_a_missing_result_is_unmet(iterate, outcome):
    assert verdict(iterate([PASSED, outcome])).verdict is Verdict.UNMET


@pytest.mark.parametrize("outcome", [Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED])
def test_what_pytest_does_not_count_as_a_failure_is_none(iterate, outcome):
    assert verdict(iterate([PASSED, outcome])).verdict is Verdict.MET


@pytest.mark.parametrize(("failed", "expected"), [(1, Verdict.MET), (2, Verdict.UNMET)])
def test_a_threshold_is_inclusive(iterate, failed, expected):
    now = iterate([FAILED] * failed + [PASSED] * (10 - failed), tier="P2", tiers=[P2])
    said = verdict(now)
    assert said.verdict is expected
    assert said.tiers[0].failure_rate == pytest.approx(failed / 10)


def test_a_tier_without_tests_is_unmet(iterate):
    said = verdict(iterate([PASSED], tiers=[P1, P2]))
    assert said.verdict is Verdict.UNMET
    assert said.reasons == ("tier P2 has no test",)


def test_a_tier_whose_tests_were_all_skipped_is_unmet(iterate):
    first, second = iterate([PASSED]), iterate([SKIPPED, SKIPPED], tier="P2")
    both = Iteration(
        selected=[*first.selected, *second.selected], results=[*first.results, *second.results], tiers=[P1, P2]
    )
    said = verdict(both)
    assert said.verdict is Verdict.UNMET
    assert said.reasons == ("tier P2 was not judged: no test of it was seen to pass",)


def test_a_tier_of_expected_failures_alone_is_unmet(iterate):
    assert verdict(iterate([Outcome.XFAILED, Outcome.XFAILED])).verdict is Verdict.UNMET
    assert verdict(iterate([Outcome.XFAILED, PASSED])).verdict is Verdict.MET


def test_what_was_left_out_is_told_with_a_met_goal(iterate):
    said = verdict(replace(iterate([PASSED]), left_out=3))
    assert said.verdict is Verdict.MET
    assert said.reasons[1].startswith("3 collected but in no tier")


def test_without_tiers_nothing_may_fail(iterate):
    assert verdict(iterate([PASSED], tier=None, tiers=[])).verdict is Verdict.MET
    said = verdict(iterate([PASSED] * 99 + [FAILED], tier=None, tiers=[]))
    assert said.verdict is Verdict.UNMET
    assert said.tiers[0].name == "all"


def test_a_part_of_the_tests_can_never_meet_the_goal(iterate):
    said = verdict(iterate([PASSED], tiers=[P1, P2], full=False))
    assert said.verdict is Verdict.UNMET
    assert [tier.name for tier in said.tiers] == ["P1"]


def test_a_collection_error_prevents_met(iterate):
    said = verdict(iterate([PASSED], collection_errors=["tests/test_y.py"]))
    assert said.verdict is Verdict.UNMET
    assert said.reasons == ("collection failed: tests/test_y.py",)


@pytest.mark.parametrize(
    ("outcomes", "more", "reason"),
    [
        ([], {}, "no test was selected"),
        ([], {"collection_errors": ["tests/a.py"]}, "nothing could be collected: tests/a.py"),
        ([], {"collection_fatal": "\nImportError: no module"}, "nothing could be collected: ImportError: no module"),
        ([None, None], {}, "no test ran"),
        ([SKIPPED, SKIPPED], {}, "no test ran: every one was skipped"),
        ([PASSED], {"logs_complete": False}, "the logs never arrived completely, so nothing vouches for the passes"),
        ([PASSED, FAILED], {"revision": "other"}, "another revision answered than other"),
    ],
)
def test_where_nothing_could_be_judged_it_is_inconclusive(iterate, outcomes, more, reason):
    said = verdict(iterate(outcomes, **more))
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.reasons == (reason,)


def test_an_environment_that_answers_nobody_is_inconclusive_and_one_pass_makes_it_unmet(make, iterate):
    now = iterate([FAILED, FAILED])
    refused = [type(one)(**{**_fields(one), "symptom": Symptom.CONNECTION}) for one in now.results]
    assert verdict(Iteration(selected=now.selected, results=refused, tiers=[P1])).verdict is Verdict.INCONCLUSIVE
    passed = make.result("P1_1", PASSED)
    mixed = Iteration(selected=now.selected, results=[refused[0], passed], tiers=[P1])
    assert verdict(mixed).verdict is Verdict.UNMET


def _fields(record) -> dict:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_logs_that_never_arrived_do_not_soften_a_failure(iterate):
    assert verdict(iterate([PASSED, FAILED], logs_complete=False)).verdict is Verdict.UNMET
    assert verdict(iterate([PASSED], logs_complete=None)).verdict is Verdict.MET


def test_a_failed_deploy_is_unmet(iterate):
    said = verdict(iterate([], deploy_failed="HealthCheckContainerError"))
    assert said.verdict is Verdict.UNMET
    assert said.reasons == ("the deploy failed: HealthCheckContainerError",)


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        ("required", Authenticity.FAKE, Verdict.UNMET),
        ("report", Authenticity.FAKE, Verdict.MET),
        ("required", Authenticity.SUSPECT, Verdict.MET),
    ],
)
def test_a_fake_pass_counts_like_a_failure_where_authenticity_is_required(make, mode, kind, expected):
    result = make.result(outcome=PASSED, authenticity=kind)
    now = Iteration(selected=[Selected(result.id, "P1", 0, "")], results=[result], tiers=[P1])
    said = verdict(now, goal=GoalSpec(authenticity=mode))
    assert said.verdict is expected
    assert said.counts[kind.value] == 1


def test_passes_that_all_come_from_another_revision_judge_nothing(make):
    result = make.result(outcome=PASSED, authenticity=Authenticity.FAKE, reasons=("wrong-revision", "answered by x"))
    now = Iteration(selected=[Selected(result.id, "P1", 0, "")], results=[result], tiers=[P1])
    assert verdict(now).verdict is Verdict.INCONCLUSIVE


def test_the_last_attempt_counts_and_a_pass_after_a_failure_is_flaky(make):
    attempts = [make.result(attempt=2, outcome=PASSED), make.result(attempt=1, outcome=FAILED)]
    (final,) = final_results(attempts).values()
    assert (final.outcome, final.flaky) == (PASSED, True)
    now = Iteration(selected=[Selected(final.id, "P1", 0, "")], results=attempts, tiers=[P1])
    said = verdict(now)
    assert said.verdict is Verdict.MET
    assert (said.counts["flaky"], said.counts["failed"]) == (1, 0)


def test_a_failure_after_a_pass_is_a_failure(make):
    attempts = [make.result(attempt=1, outcome=PASSED), make.result(attempt=2, outcome=FAILED)]
    assert [one.outcome for one in final_results(attempts).values()] == [FAILED]


def test_consecutive_asks_for_a_row_which_only_an_unmet_iteration_breaks(iterate):
    goal = GoalSpec(consecutive=3)
    history: list[Earlier] = []
    verdicts = []
    for outcome in (PASSED, PASSED, FAILED, PASSED, PASSED, None, PASSED):
        said = verdict(iterate([outcome]), history, goal=goal)
        history.append(Earlier(said.verdict, frozenset(), said.reasons))
        verdicts.append((said.verdict, was_held(said)))
    unmet_but_held = (Verdict.UNMET, True)
    assert verdicts[:2] == [unmet_but_held] * 2
    assert verdicts[2] == (Verdict.UNMET, False)
    assert verdicts[3:5] == [unmet_but_held] * 2
    assert verdicts[5] == (Verdict.INCONCLUSIVE, False)
    assert verdicts[6] == (Verdict.MET, False)


def stuck(iterate, signatures: set[str], *history: Earlier, no_progress: int = 5) -> bool:
    now = iterate([FAILED], signatures=frozenset(signatures))
    return verdict(now, history, limits=LimitsSpec(no_progress=no_progress)).verdict is Verdict.STUCK


def test_the_same_findings_too_often_are_stuck(iterate):
    assert stuck(iterate, {"a"}, *[unmet("a")] * 4)
    assert not stuck(iterate, {"a"}, *[unmet("a")] * 3)
    assert not stuck(iterate, {"a"}, unmet("a"), unmet("b"), unmet("a", "b"), unmet("a"), no_progress=3)


def test_an_inconclusive_iteration_neither_counts_nor_breaks_the_row(iterate):
    assert stuck(iterate, {"a"}, unmet("a"), Earlier(Verdict.INCONCLUSIVE), unmet("a"), no_progress=3)


def test_a_finding_that_comes_and_goes_is_stuck(iterate):
    assert stuck(iterate, {"a"}, unmet("a"), unmet("b"))
    assert stuck(iterate, {"a", "b"}, unmet("a"), unmet("b"))
    assert not stuck(iterate, {"c"}, unmet("a"), unmet("b"))
    assert not stuck(iterate, {"a"}, unmet("a", "b"), unmet("a"))


@pytest.mark.parametrize(
    ("tests", "is_stuck"),
    [
        (["a", "", "a"], True),  # came back
        (["a", "", "b"], False),  # fails as another did that was mended
        (["a", "", "ab"], True),
        (["a", "b", "a"], True),  # in between another failed like it
        (["a", "a", "a"], True),
        (["ab", "bc", "cb"], True),
        (["a", "ab", "b"], False),
        (["a", "b", "c"], False),
    ],
)
def test_a_finding_is_the_same_only_with_a_test_in_common(iterate, tests, is_stuck):
    found = {number: {"like": frozenset(some)} for number, some in enumerate(tests, 1) if some}
    before = [Earlier(Verdict.UNMET, frozenset(found.get(number, {"other"})), iteration=number) for number in (1, 2)]
    now = iterate([FAILED], signatures=frozenset({"like"}), number=3, tests=found)
    assert (verdict(now, before, limits=LimitsSpec(no_progress=3)).verdict is Verdict.STUCK) is is_stuck


def test_stuck_without_any_finding_speaks_of_none(iterate):
    said = verdict(iterate([FAILED]), [unmet(), unmet()], limits=LimitsSpec(no_progress=3))
    assert said.verdict is Verdict.STUCK
    assert said.reasons[0] == "unmet without a finding that could be mended, in 3 iterations"


def test_what_makes_it_stuck_is_named_with_its_iterations(iterate):
    named = {"number": 3, "titles": {"a": "F-1 it breaks"}, "signatures": frozenset({"a"})}
    same = [Earlier(Verdict.UNMET, frozenset({"a"}), iteration=number) for number in (1, 2)]
    said = verdict(iterate([FAILED], **named), same, limits=LimitsSpec(no_progress=3))
    assert said.reasons[0] == "the same findings in 3 iterations (1, 2, 3): F-1 it breaks"
    back = [Earlier(Verdict.UNMET, frozenset(one), iteration=number) for number, one in enumerate("ab", 1)]
    said = verdict(iterate([FAILED], **named), back)
    assert said.reasons[0] == (
        "what was gone an iteration ago is back (there in iteration 1, gone in 2, there in 3): F-1 it breaks"
    )


@pytest.mark.parametrize(
    ("failing", "is_stuck"),
    [
        ([5, 4, 3], False),  # fewer each time
        ([5, 4, 4, 4], True),
        ([3, 5, 3, 5, 3], True),  # up and down is no progress
    ],
)
def test_the_same_finding_in_fewer_tests_is_progress(iterate, failing, is_stuck):
    def counts(failed):
        return {**{outcome.value: 0 for outcome in Outcome}, "failed": failed, "passed": 9 - failed, "fake": 0}

    before = [Earlier(Verdict.UNMET, frozenset({"a"}), counts=counts(failed)) for failed in failing[:-1]]
    now = iterate([FAILED] * failing[-1] + [PASSED] * (9 - failing[-1]), signatures=frozenset({"a"}))
    assert (verdict(now, before, limits=LimitsSpec(no_progress=3)).verdict is Verdict.STUCK) is is_stuck


def test_failures_that_are_skipped_now_are_no_progress(iterate):
    full = {**{outcome.value: 0 for outcome in Outcome}, "failed": 2, "passed": 1, "fake": 0}
    fewer = {**full, "failed": 1, "skipped": 1}
    before = [Earlier(Verdict.UNMET, frozenset({"a"}), counts=counts) for counts in (full, fewer)]
    now = iterate([FAILED, SKIPPED, PASSED], signatures=frozenset({"a"}))
    assert verdict(now, before, limits=LimitsSpec(no_progress=3)).verdict is Verdict.STUCK


def test_a_sick_environment_alone_is_inconclusive(iterate):
    ill = iterate([FAILED, PASSED], sick=frozenset({"tests/test_x.py::P1_0"}))
    assert verdict(ill).verdict is Verdict.INCONCLUSIVE
    assert verdict(replace(ill, sick=frozenset())).verdict is Verdict.UNMET
    assert verdict(replace(ill, unsteady=["1 test is gone"])).verdict is Verdict.UNMET
    both = iterate([FAILED, FAILED], sick=frozenset({"tests/test_x.py::P1_0"}))
    assert verdict(both).verdict is Verdict.UNMET


def test_nothing_is_stuck_at_the_first_failure(iterate):
    assert not stuck(iterate, {"a"}, no_progress=1)
    assert not stuck(iterate, {"a"}, *[unmet("a")] * 50, no_progress=0)


# ------------------------------------------------------------------------------------------------------------ retries


def retried(make, *outcomes):
    """One test's attempts, in order."""
    return [make.result("t", outcome, attempt=number) for number, outcome in enumerate(outcomes, 1)]


@pytest.fixture
def flaky(make):
    """A tier of 40 of which so many pass on retry alone, and so many fail."""

    def build(retries: int, failures: int = 0, *, max_flaky: float | None) -> Iteration:
        selected, results = [], []
        for number in range(40):
            passes = number >= failures
            result = make.result(f"t{number}", PASSED if passes else FAILED)
            selected.append(Selected(result.id, "P1", number, "because"))
            if passes and number < failures + retries:
                results += [replace(result, outcome=FAILED), replace(result, attempt=2)]
            else:
                results.append(result)
        tier = TierSpec(name="P1", max_failures=0.05, max_flaky=max_flaky)
        return Iteration(selected=selected, results=results, tiers=[tier])

    return build


@pytest.mark.parametrize(
    ("retries", "max_flaky", "expected"),
    [
        (2, 0.05, Verdict.MET),
        (3, 0.05, Verdict.UNMET),
        (1, 0.0, Verdict.UNMET),
        (0, 0.0, Verdict.MET),
        (40, None, Verdict.MET),
        (40, 1.0, Verdict.MET),
    ],
)
def test_passes_on_retry_are_taken_within_their_threshold(flaky, retries, max_flaky, expected):
    said = verdict(flaky(retries, max_flaky=max_flaky))
    assert said.verdict is expected
    assert (said.tiers[0].flaky, said.tiers[0].max_flaky) == (retries, max_flaky)


def test_a_tier_too_flaky_says_so(flaky):
    said = verdict(flaky(3, max_flaky=0.05))
    assert said.reasons == ("tier P1: 3 of 40 passed only on retry (7.5%, allowed 5.0%)",)


def test_a_tier_that_fails_and_is_flaky_says_both(flaky):
    said = verdict(flaky(3, 4, max_flaky=0.0))
    assert said.reasons == (
        "tier P1: 4 of 40 failed (10.0%, allowed 5.0%), 3 of 40 passed only on retry (7.5%, allowed 0.0%)",
    )


def test_a_goal_met_on_retries_says_how_many(flaky):
    assert verdict(flaky(2, max_flaky=None)).reasons[0].endswith("40 of 40 passed, 2 of them only on retry")


@pytest.mark.parametrize("retry", [SKIPPED, Outcome.XFAILED])
def test_a_retry_that_saw_nothing_hides_no_failure(make, retry):
    (final,) = final_results(retried(make, FAILED, retry)).values()
    assert (final.outcome, final.attempt) == (FAILED, 1)


def test_the_last_failure_stands(make):
    (final,) = final_results(retried(make, FAILED, Outcome.TIMEOUT)).values()
    assert (final.outcome, final.flaky) == (Outcome.TIMEOUT, False)
