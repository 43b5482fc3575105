"""The order in which selected tests run, and the reason for each place.

What failed last time comes first, because its answer is what everybody waits for; then the tiers in their order. Within
a tier a test that was never timed comes before the timed ones (it may be the longest of all), and the timed ones run
longest first, so that the end of an iteration is not spent waiting for one late long test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A test that is in. `rank` is its tier's place in the loop file, `module` what shares fixtures with it, `why` how
    it came to be selected."""

    id: str
    tier: str | None
    rank: int
    module: str
    why: str


def order(
    candidates: Sequence[Candidate], failed_before: AbstractSet[str], durations: Mapping[str, float]
) -> list[tuple[Candidate, str]]:
    """The candidates in the order to run, each with the reason for its place.

    Never-timed tests keep the order of collection, those of one module together, at the place of the module's first.
    A negative or not finite duration counts as not known. Equal keys keep the order of collection.
    """
    first_of_module: dict[str, int] = {}
    for index, candidate in enumerate(candidates):
        first_of_module.setdefault(candidate.module, index)

    def key(indexed: tuple[int, Candidate]) -> tuple[int, int, int, float, int]:
        index, candidate = indexed
        known = _known(durations, candidate.id)
        return (
            0 if candidate.id in failed_before else 1,
            candidate.rank,
            0 if known is None else 1,
            float(first_of_module[candidate.module]) if known is None else -known,
            index,
        )

    return [
        (candidate, _place(candidate, failed_before, durations))
        for _, candidate in sorted(enumerate(candidates), key=key)
    ]


def _known(durations: Mapping[str, float], test_id: str) -> float | None:
    seconds = durations.get(test_id)
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _place(candidate: Candidate, failed_before: AbstractSet[str], durations: Mapping[str, float]) -> str:
    known = _known(durations, candidate.id)
    if candidate.id in failed_before:
        return "failed last time"
    if known is None:
        return "no duration known, file order"
    return f"longest first: {known:.3g} s" if known < 1000 else f"longest first: {known:.0f} s"
