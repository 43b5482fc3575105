"""How findings stand against the iterations before: new, persisting, moved, fixed, regressed, flaky."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from netra_loop.core.records import Authenticity, Finding, FindingState, Outcome, Result, Symptom

_CLOSED = frozenset({FindingState.FIXED})


def with_states(
    found: Sequence[Finding],
    previous: Iterable[Finding],
    final: Mapping[str, Result],
    iteration: int,
    *,
    flaky: Collection[str] = (),
    logs_read: bool = True,
) -> list[Finding]:
    """`found` with their states, followed by the earlier findings that are seen to be fixed.

    `previous` may hold one row for each finding or one for each iteration; the newest of an id counts. `flaky` are
    the signatures whose every test passed in the end. A finding is fixed only where each of its tests was run again and
    passed (or, without tests, where any test ran), and one that only the log shows only where the log was read: what
    was not looked at is not fixed, and its row stays as it was.
    """
    newest = _newest(previous, iteration)
    open_before = [one for one in newest.values() if one.state not in _CLOSED]
    now = {one.id for one in found}
    states = [_with_state(one, newest, open_before, now, flaky) for one in found]
    gone = [one for one in open_before if one.id not in now and _is_fixed(one, final, logs_read)]
    return [*states, *(replace(one, state=FindingState.FIXED, last_iteration=iteration) for one in gone)]


def stage_before(one: Finding, before: Iterable[Finding]) -> str | None:
    """How far the tests of `one` got in an iteration before, whose findings are `before`; None where they did not fail
    then, or it is not known.
    """
    return stage_of(one.tests, one.id, before)


def stage_of(tests: Collection[str], finding: str, before: Iterable[Finding]) -> str | None:
    """The same of `tests`, whose finding's id is `finding`."""
    asked = set(tests)
    related = [
        (one.id != finding, -len(asked.intersection(one.tests)), one)
        for one in before
        if one.state not in _CLOSED and (one.id == finding or not asked.isdisjoint(one.tests))
    ]
    related.sort(key=lambda told: told[:2])
    return next((one.stage for *_, one in related if one.stage is not None), None)


def _newest(previous: Iterable[Finding], iteration: int) -> dict[str, Finding]:
    newest: dict[str, Finding] = {}
    for one in sorted(previous, key=lambda one: one.last_iteration):
        if one.last_iteration < iteration:
            first = (
                min(one.first_iteration, newest[one.id].first_iteration) if one.id in newest else one.first_iteration
            )
            newest[one.id] = replace(one, first_iteration=first)
    return newest


def _with_state(
    one: Finding,
    newest: Mapping[str, Finding],
    open_before: Sequence[Finding],
    now: Collection[str],
    flaky: Collection[str],
) -> Finding:
    before = newest.get(one.id)
    first = one.first_iteration if before is None else before.first_iteration
    claims = () if before is None else before.claims
    return replace(one, state=_state(one, before, open_before, now, flaky), first_iteration=first, claims=claims)


def _state(
    one: Finding,
    before: Finding | None,
    open_before: Sequence[Finding],
    now: Collection[str],
    flaky: Collection[str],
) -> FindingState:
    if one.signature in flaky:
        return FindingState.FLAKY
    tests = set(one.tests)
    if before is not None:
        later = [
            other for other in open_before if other.last_iteration > before.last_iteration and tests & set(other.tests)
        ]
        gone_between = before.state in _CLOSED or later
        return FindingState.REGRESSED if gone_between else FindingState.PERSISTING
    left = [other for other in open_before if other.id not in now and other.state is not FindingState.FLAKY]
    if any(tests & set(other.tests) for other in left):
        return FindingState.MOVED
    return FindingState.NEW


def _is_fixed(one: Finding, final: Mapping[str, Result], logs_read: bool) -> bool:
    if one.state is FindingState.FLAKY:
        return False  # it never stood in the way, and one good run does not mend it
    if one.symptom is Symptom.SERVER_ERROR:
        return logs_read and bool(final)
    if not any("::" in test for test in one.tests):  # about a file or the log: every collection looks at all of them
        return bool(final)
    return all(test in final and _passed(final[test]) for test in one.tests)


def _passed(result: Result) -> bool:
    passed = result.outcome in {Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED}
    return passed and result.authenticity is not Authenticity.FAKE
