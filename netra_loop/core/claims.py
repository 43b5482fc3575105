"""What a fixer says it has mended, and what the next newer revision says of that.

A claim is judged once, by the first iteration that ran its finding's tests against another revision than the one it was
made at. Where nothing could be judged (the tests did not run, the environment was sick) it stays open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from netra_loop.core.records import Claim, Finding, FindingState

CLAIMED, VERIFIED, REFUTED = "claimed", "verified", "refuted"
_GONE = frozenset({FindingState.FIXED})


@dataclass(frozen=True, slots=True)
class Score:
    """How one fixer's claims turned out so far."""

    verified: int = 0
    refuted: int = 0
    claimed: int = 0

    def __str__(self) -> str:
        judged = self.verified + self.refuted
        still = f", {self.claimed} not judged yet" if self.claimed else ""
        return (
            f"{self.verified} of {judged} claims verified{still}" if judged else f"{self.claimed} claims, none judged"
        )


def claimed(findings: Sequence[Finding], ids: Collection[str], iteration: int) -> list[Finding]:
    """The findings that `ids` name, each with the claim added. A second claim of the same iteration is the same one."""
    return [_with_claim(finding, iteration) for finding in findings if finding.id in ids]


def judged(
    findings: Sequence[Finding],
    iteration: int,
    revision: str | None,
    made_at: Mapping[int, str] | None = None,
    *,
    unproven: Collection[str] = (),
) -> list[Finding]:
    """`findings` of this iteration with the open claims of earlier ones judged: gone is verified, there is refuted.

    `made_at` are the revisions under test by iteration: a claim that was made at `revision` itself stays open. So does
    one whose finding was not looked at, for that is not among `findings`; and one whose finding (its id) is among
    `unproven`, since it went away, or came, whatever was changed.
    """
    stale = {at for at, name in (made_at or {}).items() if revision is not None and name == revision}
    told = []
    for finding in findings:
        if finding.id in unproven:
            told.append(finding)
            continue
        claims = tuple(_judged(finding, claim, iteration, revision, stale) for claim in finding.claims)
        told.append(replace(finding, claims=claims) if claims else finding)
    return told


def scores(findings: Sequence[Finding], made_by: Mapping[tuple[int, str], str]) -> dict[str, Score]:
    """By the fixer's name, in the order of their first claims. `made_by` tells who claimed which finding (its id) in
    which iteration.
    """
    told: dict[str, dict[str, int]] = {}
    for (iteration, finding_id), name in made_by.items():
        counts = told.setdefault(name, {VERIFIED: 0, REFUTED: 0, CLAIMED: 0})
        for finding in findings:
            if finding.id == finding_id:
                for claim in finding.claims:
                    counts[claim.verdict] += claim.iteration == iteration
    return {name: Score(**counts) for name, counts in told.items()}


def _with_claim(finding: Finding, iteration: int) -> Finding:
    if any(claim.iteration == iteration for claim in finding.claims):
        return finding
    return replace(finding, claims=(*finding.claims, Claim(iteration, CLAIMED, None)))


def _judged(finding: Finding, claim: Claim, iteration: int, revision: str | None, stale: Collection[int]) -> Claim:
    if claim.verdict != CLAIMED or claim.iteration >= iteration or claim.iteration in stale:
        return claim
    verdict = VERIFIED if finding.state in _GONE else REFUTED
    return Claim(claim.iteration, verdict, revision)
