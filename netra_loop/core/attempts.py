"""What earlier fixers tried against a problem, and whether it helped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from netra_loop.core.events import Committed, FixerRan
from netra_loop.core.records import Claim, Finding, FindingState
from netra_loop.values import dataclass

_NOTE = 1_000  # characters
_PATHS = 20
_GONE = frozenset({FindingState.FIXED, FindingState.FLAKY})


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One fixer's try. `claimed`: it said that it mended this. `commit` is what became of it, None where nothing was
    committed. `verdict` and `revision` are those of its claim. `tests_before` counts the tests that failed over it then
    and `tests_after` those of them that failed in the next iteration that was judged, None where none was; the stages
    are how far they got.
    """

    iteration: int
    phase: str
    attempt: int
    exit_code: int | None
    note: str
    changed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    claimed: bool = False
    commit: str | None = None
    subject: str | None = None
    verdict: str | None = None
    revision: str | None = None
    tests_before: int = 0
    tests_after: int | None = None
    stage_before: str | None = None
    stage_after: str | None = None

    def row(self) -> dict[str, Any]:
        """As plain JSON values, paths and note within bounds."""
        return {
            "iteration": self.iteration,
            "phase": self.phase,
            "attempt": self.attempt,
            "exit_code": self.exit_code,
            "note": self.note[:_NOTE],
            "changed": list(self.changed[:_PATHS]),
            "refused": list(self.refused[:_PATHS]),
            "claimed": self.claimed,
            "commit": self.commit,
            "subject": self.subject,
            "verdict": self.verdict,
            "revision": self.revision,
            "tests_before": self.tests_before,
            "tests_after": self.tests_after,
            "stage_before": self.stage_before,
            "stage_after": self.stage_after,
            "helped": self.helped,
        }

    @property
    def helped(self) -> bool | None:
        """Whether fewer of the tests failed afterwards; None where that is not known."""
        return None if self.tests_after is None else self.tests_after < self.tests_before


def attempts_at(
    finding: Finding,
    fixers: Sequence[FixerRan],
    commits: Sequence[Committed],
    rows: Mapping[int, Sequence[Finding]],
) -> list[Attempt]:
    """What was tried against `finding`, or against what its tests showed before it, oldest first. `rows` are the
    findings of each iteration. A fixer that claimed nothing tried everything, as far as it changed anything. What
    another one of the same iteration went on with was never judged by itself.
    """
    tried = []
    for ran in fixers:
        related = _related(finding, rows.get(ran.iteration, ()))
        last = _is_last(ran, fixers)
        made = _commit_of(ran, commits) if last else None
        named = {one.id for one in related} | {finding.id}
        claimed = bool(named & set(ran.claims))
        anyway = not ran.claims and bool(ran.changed) and bool(related)
        if claimed or anyway or (made is not None and named & set(made.findings) and ran.changed):
            later = rows if last else {number: found for number, found in rows.items() if number <= ran.iteration}
            tried.append(_told(finding, ran, made, related, later, claimed=claimed))
    return tried


def _told(
    finding: Finding,
    ran: FixerRan,
    made: Committed | None,
    related: Sequence[Finding],
    rows: Mapping[int, Sequence[Finding]],
    *,
    claimed: bool,
) -> Attempt:
    after = min((number for number in rows if number > ran.iteration), default=None)
    failed = {test for one in related for test in one.tests}
    still = [] if after is None else [one for one in rows[after] if one.state not in _GONE]
    claim = _claim(ran, {finding.id, *(one.id for one in related)}, rows) if after is not None else None
    return Attempt(
        iteration=ran.iteration,
        phase=ran.phase or "",
        attempt=ran.attempt,
        exit_code=ran.exit_code,
        note=ran.note.strip(),
        changed=ran.changed,
        refused=ran.refused,
        claimed=claimed,
        commit=None if made is None else made.commit,
        subject=None if made is None else made.subject,
        verdict=claim.verdict if claim is not None and claimed else None,
        revision=claim.revision if claim is not None and claimed else None,
        tests_before=len(failed),
        tests_after=None if after is None else len(failed & {test for one in still for test in one.tests}),
        stage_before=_stage(related),
        stage_after=_stage([one for one in still if not failed.isdisjoint(one.tests)]),
    )


def _related(finding: Finding, rows: Iterable[Finding]) -> list[Finding]:
    """The open ones of an iteration that are this finding, or that tests of it failed over."""
    tests = set(finding.tests)
    return [one for one in rows if one.state not in _GONE and (one.id == finding.id or not tests.isdisjoint(one.tests))]


def _stage(related: Sequence[Finding]) -> str | None:
    return next((one.stage for one in related if one.stage is not None), None)


def _is_last(ran: FixerRan, fixers: Sequence[FixerRan]) -> bool:
    """Whether no later one of its iteration changed anything that stayed."""
    after = fixers[next(place for place, one in enumerate(fixers) if one is ran) + 1 :]
    return not any(one.iteration == ran.iteration and one.changed and not one.refused for one in after)


def _commit_of(ran: FixerRan, commits: Sequence[Committed]) -> Committed | None:
    """The commit that took in what a fixer changed: the first of its iteration, where the fixer's changes stayed."""
    if not ran.changed or ran.refused:
        return None
    return next((made for made in commits if made.iteration == ran.iteration), None)


def _claim(ran: FixerRan, named: Collection[str], rows: Mapping[int, Sequence[Finding]]) -> Claim | None:
    """What became of the claim that `ran` made of one of `named`: the last word on it."""
    told: Claim | None = None
    for _, found in sorted(rows.items()):
        for one in found:
            if one.id in ran.claims and one.id in named:
                told = next((claim for claim in one.claims if claim.iteration == ran.iteration), told)
    return told
