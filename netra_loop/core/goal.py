"""Whether the goal is met: met, unmet, inconclusive or stuck, and why.

Nothing reads as a pass that was not seen to pass: a missing result is a failure, a tier whose tests were all skipped is
unmet, and where the environment itself was not there to be judged the verdict is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from netra_loop.core.records import Authenticity, Outcome, Result, Selected, Symptom, TierVerdict, Verdict
from netra_loop.core.stuck import Past, Round, why_stuck
from netra_loop.core.symptoms import symptom_of
from netra_loop.values import dataclass

if TYPE_CHECKING:  # a listing need not know what a loop file may say
    from netra_loop.core.spec import GoalSpec, LimitsSpec, TierSpec

WRONG_REVISION = "wrong-revision"
# What begins the reason of a result that does not count: another revision served meanwhile, or nothing could.
MOVED = "traffic-moved"
GONE = "environment-gone"
_EPSILON = 1e-9  # thresholds are inclusive, and 1 of 10 is within 10 %
_PASSES = frozenset({Outcome.PASSED, Outcome.XPASSED})
_UNCOUNTED = (MOVED, GONE)
_ATTEMPT = attrgetter("attempt")
_HELD = "the goal was held "  # begins the reason of an iteration that was good but not yet often enough in a row


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What is to be judged.

    `results` are all attempts. `collection_errors` are the ids of what could not be collected; `collection_fatal` is
    set where nothing could be. `logs_complete` is None where the loop has no collect-logs phase. `revision` is the
    first service's revision under test, None without a deploy; `deploy_failed` says why there is none. `signatures` are
    those of this iteration's open findings, `titles` what they are called; `tests` has by iteration, earlier ones too,
    the tests of each open finding by signature. `full` is False with `--only`; `left_out`
    counts what was collected and not selected all the same. `unsteady` says what stood better before (`stability`),
    each of which keeps the goal from being met. `sick` are the tests whose failure was seen to be the environment's
    (`comparing`). `number` is the iteration's own.
    """

    selected: Sequence[Selected]
    results: Sequence[Result]
    tiers: Sequence[TierSpec] = ()
    collection_errors: Sequence[str] = ()
    collection_fatal: str | None = None
    full: bool = True
    left_out: int = 0
    logs_complete: bool | None = None
    revision: str | None = None
    deploy_failed: str | None = None
    signatures: frozenset[str] = frozenset()
    unsteady: Sequence[str] = ()
    sick: frozenset[str] = frozenset()
    number: int = 0
    titles: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[int, Mapping[str, frozenset[str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """The verdict with its reasons (never empty), the tiers in order, and the counts of `status`."""

    verdict: Verdict
    reasons: tuple[str, ...]
    tiers: tuple[TierVerdict, ...]
    counts: Mapping[str, int]


def final_results(results: Iterable[Result]) -> dict[str, Result]:
    """The attempt of each test that counts; `flaky` where it passed and an earlier attempt had failed.

    It is the latest, but for a retry that saw nothing (skipped, or failed as expected): the failure before it stands.
    A failure that does not count (`was_moved`) makes nothing flaky.
    """
    final: dict[str, Result] = {}
    failed: dict[str, Result] = {}
    for result in sorted(results, key=_ATTEMPT):
        test = result.id
        final[test] = result
        if result.reasons and was_moved(result):
            continue
        if result.outcome.is_failure:
            failed[test] = result
        elif test in failed:
            passed = result.outcome in _PASSES
            final[test] = replace(result, flaky=True) if passed else failed[test]
    return final


def was_moved(result: Result) -> bool:
    """Whether another revision served, or may have, while it ran, or the environment was not there to serve any: it
    says nothing of the one under test.
    """
    for reason in result.reasons:  # noqa: SIM110 - asked of each result, several times: a third of the time
        if reason.startswith(_UNCOUNTED):
            return True
    return False


def standing(before: Outcome | None, now: Outcome) -> Outcome:
    """What a test came to after one more attempt, by the rule of `final_results`; `before` None for the first one."""
    stands = before is not None and before.is_failure and not now.is_failure and now not in _PASSES
    return before if before is not None and stands else now


def judge(now: Iteration, goal: GoalSpec, limits: LimitsSpec, history: Sequence[Past] = ()) -> Judgement:
    """The verdict on an iteration, in the light of those before it (`history`, this one not among them)."""
    final = final_results(now.results)
    others = _of_another(final, now.revision)
    foreign = others | {test for test, result in final.items() if WRONG_REVISION in result.reasons}
    judged = {test: result for test, result in final.items() if test not in others} if others else final
    tiers = tuple(_tiers(now, judged, goal))
    counts = count(now.selected, final)

    def answer(verdict: Verdict, *reasons: str) -> Judgement:
        return Judgement(verdict, reasons, tiers, counts)

    if now.deploy_failed is not None:
        return _or_stuck(answer(Verdict.UNMET, f"the deploy failed: {now.deploy_failed}"), now, limits, history)
    moved = [result for result in final.values() if was_moved(result)]
    if moved:
        told = next(reason for reason in moved[0].reasons if reason.startswith(_UNCOUNTED))
        return answer(Verdict.INCONCLUSIVE, f"{_some([one.id for one in moved])} cannot count: {told}")
    nothing = _nothing_judged(now, final, foreign)
    if nothing is not None:
        return answer(Verdict.INCONCLUSIVE, nothing)
    reasons = _shortcomings(now, tiers, final, foreign)
    sick = _sick_alone(now, final, reasons)
    if sick is not None:
        return answer(Verdict.INCONCLUSIVE, sick)
    if reasons:
        if now.logs_complete is False:
            reasons.append("the logs never arrived completely")
        return _or_stuck(answer(Verdict.UNMET, *reasons), now, limits, history)
    doubts = _doubts(now, foreign)
    if doubts:
        return answer(Verdict.INCONCLUSIVE, *doubts)
    held = 1 + _held_before(history)
    if held < goal.consecutive:
        return answer(Verdict.UNMET, f"{_HELD}{held} of {goal.consecutive} times in a row")
    retried = f", {counts['flaky']} of them only on retry" if counts["flaky"] else ""
    reasons = [f"every tier is within its threshold: {counts['passed']} of {len(now.selected)} passed{retried}"]
    if now.left_out:
        reasons.append(f"{now.left_out} collected but in no tier, or deselected, and not run")
    return answer(Verdict.MET, *reasons)


def was_held(judgement: Judgement) -> bool:
    """Whether the iteration was good, only not yet often enough in a row: nothing is to be mended, only shown again."""
    return judgement.verdict is Verdict.UNMET and judgement.reasons[0].startswith(_HELD)


def count(selected: Sequence[Selected], final: Mapping[str, Result]) -> dict[str, int]:
    """The contract's counts of an iteration: `selected`, one for each outcome, `flaky`, `fake`, `suspect`."""
    counts = {
        "selected": len(selected),
        **{outcome.value: 0 for outcome in Outcome},
        "flaky": 0,
        "fake": 0,
        "suspect": 0,
    }
    for result in final.values():
        counts[result.outcome] += 1
        if result.flaky:
            counts["flaky"] += 1
        if result.authenticity is Authenticity.FAKE:
            counts["fake"] += 1
        elif result.authenticity is Authenticity.SUSPECT:
            counts["suspect"] += 1
    return counts


# ------------------------------------------------------------------------------------------------------------ tiers


def _tiers(now: Iteration, judged: Mapping[str, Result], goal: GoalSpec) -> Iterable[TierVerdict]:
    """Each tier's verdict. Without tiers there is one, "all", that may not fail at all; with `--only` just that one."""
    required = goal.authenticity == "required"
    for tier in now.tiers or (_whole(),):
        name = tier.name if now.tiers else None
        members = [one.id for one in now.selected if one.tier == name]
        if not members and not now.full:
            continue
        failures = seen = flaky = 0
        for result in map(judged.get, members):
            if result is None:
                failures += 1
                continue
            fake = required and result.authenticity is Authenticity.FAKE
            failures += fake or result.outcome.is_failure
            seen += not fake and result.outcome in _PASSES  # an expected failure says nothing of what works
            flaky += result.flaky
        verdict = TierVerdict(
            name=tier.name,
            selected=len(members),
            failures=failures,
            failure_rate=failures / len(members) if members else 0.0,
            max_failures=tier.max_failures,
            met=False,
            flaky=flaky,
            max_flaky=tier.max_flaky,
        )
        yield replace(verdict, met=seen > 0 and not (_fails_too_much(verdict) or _is_too_flaky(verdict)))


def _whole() -> TierSpec:
    from netra_loop.core.spec import TierSpec  # start-up time: whoever only looks judges nothing

    return TierSpec(name="all")


def _fails_too_much(tier: TierVerdict) -> bool:
    return tier.failure_rate > tier.max_failures + _EPSILON


def _is_too_flaky(tier: TierVerdict) -> bool:
    return tier.max_flaky is not None and tier.flaky_rate > tier.max_flaky + _EPSILON


def _of_another(final: Mapping[str, Result], revision: str | None) -> set[str]:
    """The tests that ran against another revision than the one under test: they say nothing about this one."""
    if revision is None:
        return set()
    return {test for test, result in final.items() if result.revision is not None and result.revision != revision}


# ------------------------------------------------------------------------------------------------------------ reasons


def _nothing_judged(now: Iteration, final: Mapping[str, Result], foreign: set[str]) -> str | None:
    """Why nothing could be judged at all; None where something was."""
    if now.collection_fatal is not None:
        return f"nothing could be collected: {_line(now.collection_fatal)}"
    if not now.selected:
        if now.collection_errors:
            return f"nothing could be collected: {_some(now.collection_errors)}"
        return "no test was selected"
    ran = {test: result for test, result in final.items() if result.outcome is not Outcome.SKIPPED}
    if not ran:
        return "no test ran: every one was skipped" if final else "no test ran"
    if all(test in foreign for test in ran):
        return f"another revision answered than {now.revision or 'the one under test'}"
    failures = [result for result in ran.values() if result.outcome.is_failure]
    if len(failures) == len(ran) and all(_is_unanswered(result) for result in failures):
        return "the environment answered nobody: no test could connect"
    return None


def _is_unanswered(result: Result) -> bool:
    return (result.symptom or symptom_of(result)) is Symptom.CONNECTION


def _shortcomings(
    now: Iteration, tiers: Sequence[TierVerdict], final: Mapping[str, Result], foreign: set[str]
) -> list[str]:
    reasons = []
    if now.collection_errors:
        reasons.append(f"collection failed: {_some(now.collection_errors)}")
    missing = [one.id for one in now.selected if one.id not in final]
    if missing:
        reasons.append(f"no result for {_some(missing)}")
    if foreign and not all(tier.met for tier in tiers):
        reasons.append(f"another revision answered {_some(sorted(foreign))}")
    reasons.extend(_tier_reason(tier, now) for tier in tiers if not tier.met)
    reasons.extend(now.unsteady)
    if not now.full:
        reasons.append("only a part was selected: the goal takes every tier")
    return reasons


def _sick_alone(now: Iteration, final: Mapping[str, Result], reasons: Sequence[str]) -> str | None:
    """Why nothing but a sick environment keeps the goal from being met; None where something else does."""
    failed = {test for test, result in final.items() if result.outcome.is_failure}
    fakes = any(result.authenticity is Authenticity.FAKE for result in final.values())
    others = now.collection_errors or now.unsteady or fakes or not now.full or len(final) < len(now.selected)
    if not reasons or not failed or others or not failed <= now.sick:
        return None
    many = f"{len(failed)} test{'' if len(failed) == 1 else 's'}"
    return f"the environment was sick: {many} failed, and passed a moment later on this revision and the one before"


def _tier_reason(tier: TierVerdict, now: Iteration) -> str:
    name = f"tier {tier.name}" if now.tiers else "the selection"
    if tier.selected == 0:
        return f"{name} has no test"
    reasons = []
    if _fails_too_much(tier):
        allowed = f"allowed {tier.max_failures:.1%}"
        reasons.append(f"{tier.failures} of {tier.selected} failed ({tier.failure_rate:.1%}, {allowed})")
    if tier.max_flaky is not None and _is_too_flaky(tier):
        allowed = f"allowed {tier.max_flaky:.1%}"
        reasons.append(f"{tier.flaky} of {tier.selected} passed only on retry ({tier.flaky_rate:.1%}, {allowed})")
    if not reasons:
        return f"{name} was not judged: no test of it was seen to pass"
    return f"{name}: {', '.join(reasons)}"


def _doubts(now: Iteration, foreign: set[str]) -> list[str]:
    """What keeps an iteration without shortcomings from counting."""
    doubts = []
    if now.logs_complete is False:
        doubts.append("the logs never arrived completely, so nothing vouches for the passes")
    if foreign:
        doubts.append(f"another revision answered {_some(sorted(foreign))}")
    return doubts


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:3])
    return shown if len(ids) <= 3 else f"{shown} and {len(ids) - 3} more"


def _line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason was given")[:200]


# ------------------------------------------------------------------------------------------------------------ history


def _held_before(history: Sequence[Past]) -> int:
    """How many iterations directly before this one were good. An inconclusive one neither counts nor breaks the row."""
    held = 0
    for past in reversed(history):
        if past.verdict is Verdict.MET or _is_held(past):
            held += 1
        elif past.verdict is not Verdict.INCONCLUSIVE:
            break
    return held


def _is_held(past: Past) -> bool:
    return past.verdict is Verdict.UNMET and any(reason.startswith(_HELD) for reason in past.reasons)


def _or_stuck(unmet: Judgement, now: Iteration, limits: LimitsSpec, history: Sequence[Past]) -> Judgement:
    """`unmet`, or stuck where going on as before has shown to lead nowhere. Inconclusive iterations are passed over."""
    rounds = [Round(now.number, now.signatures, unmet.counts, now.tests.get(now.number, {}))]
    for past in reversed(history):
        if past.verdict in {Verdict.MET, Verdict.STUCK} or _is_held(past):
            break
        if past.verdict is Verdict.UNMET:
            tests = now.tests.get(past.iteration, {})
            rounds.append(Round(past.iteration, past.signatures, past.counts, tests))
    reason = why_stuck(rounds, limits.no_progress, now.titles)
    return unmet if reason is None else replace(unmet, verdict=Verdict.STUCK, reasons=(reason, *unmet.reasons))
