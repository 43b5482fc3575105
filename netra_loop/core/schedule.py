"""The order in which selected tests run, and the reason for each place.

What failed last time comes first, because its answer is what everybody waits for; then the tiers in their order. Within
a tier a test that was never timed comes before the timed ones (it may be the longest of all), and the timed ones run
longest first, so that the end of an iteration is not spent waiting for one late long test. Tests that share a fixture
of a class, module or package stand together, at the place that their whole length earns them. It is the order of a
single worker; how several share it is decided in `dispatch` when they ask.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from netra_loop.core.affinity import Element, Path, paths
from netra_loop.core.branches import Work
from netra_loop.core.dispatch import told_seconds
from netra_loop.core.single import single

_INFINITE = float("inf")

Band = tuple[int, int]
"""(0 for what failed last time, else 1; the tier's rank)."""


class Candidate(NamedTuple):
    """A test that is in. `rank` is its tier's place in the loop file, `module` its file, `why` how it came to be
    selected, `shares` the names of the wider fixtures it uses (see `affinity`).
    """

    id: str
    tier: str | None
    rank: int
    module: str
    why: str
    shares: tuple[str, ...] = ()


def order(
    candidates: Sequence[Candidate], failed_before: AbstractSet[str], durations: Mapping[str, float]
) -> list[tuple[Candidate, str]]:
    """The candidates in the order to run, each with the reason for its place.

    `durations` are seconds of tests by id, and of fixtures by name. Never-timed tests keep the order of collection,
    those of one module together, at the place of the module's first. A negative or not finite duration counts as not
    known. Equals keep the order of collection.
    """
    of_module: dict[str, list[Candidate]] = {}
    for one in candidates:
        of_module.setdefault(one.module, []).append(one)
    listed = [one for together in of_module.values() for one in together]
    bands = [(0 if one.id in failed_before else 1, one.rank) for one in listed]
    work = plan(bands, [known(durations, one.id) for one in listed], [one.shares for one in listed], durations)
    kept = _kept_together(work)
    placed: list[tuple[Candidate, str]] = []
    for number in single(work):
        candidate, (band, seconds, path) = listed[number], work[number]
        reason = kept.get((band, path), "") if path else ""
        if bands[number][0] == 0:
            reason = f"failed last time; {reason}" if reason else "failed last time"
        elif not reason:
            reason = "no duration known, file order" if seconds is None else f"longest first: {told_seconds(seconds)}"
        placed.append((candidate, reason))
    return placed


def plan(
    bands: Sequence[Band],
    seconds: Sequence[float | None],
    shares: Sequence[Sequence[str]],
    durations: Mapping[str, float],
) -> list[Work]:
    """What `Dispatch` hands out, one for each place of the sequences; fixtures matter within a band alone."""
    ranks = {band: rank for rank, band in enumerate(sorted(set(bands)))}
    if not any(shares):
        return [Work(ranks[band], of_it) for band, of_it in zip(bands, seconds, strict=True)]
    used = {name for names in set(map(tuple, shares)) for name in names}
    costs = {name: cost for name in used if (cost := known(durations, name)) is not None}
    of_band: dict[Band, list[int]] = defaultdict(list)
    for place, band in enumerate(bands):
        of_band[band].append(place)
    path_of: dict[int, Path] = {}
    for places in of_band.values():
        path_of.update(zip(places, paths([shares[place] for place in places], costs), strict=True))
    return [Work(ranks[band], seconds[place], path_of[place]) for place, band in enumerate(bands)]


def strict(bands: Sequence[Band]) -> int:
    """How many of the bands are of tests that failed last time: those nothing may overtake."""
    return len({band for band in bands if band[0] == 0})


def known(durations: Mapping[str, float], name: str) -> float | None:
    """The seconds of `name`; None where they are not known, or make no sense."""
    seconds = durations.get(name)
    return seconds if seconds is not None and 0 <= seconds < _INFINITE else None


def _kept_together(work: Sequence[Work]) -> dict[tuple[int, Path], str]:
    """By band and path, why tests stand together: for the dearest of what they share, where others share it too."""
    alike = Counter((band, path) for band, _, path in work if path)
    members: Counter[tuple[int, str]] = Counter()
    for (band, path), times in alike.items():
        for element in path:
            members[band, element.name] += times
    told: dict[tuple[int, Path], str] = {}
    for band, path in alike:
        dearest = max(path, key=lambda element: element.cost_s or 0.0)
        others = members[band, dearest.name] - 1
        if others:
            told[band, path] = _kept(others, dearest)
    return told


def _kept(others: int, element: Element) -> str:
    cost = "cost not known" if element.cost_s is None else told_seconds(element.cost_s)
    return f"kept with {others} other{'' if others == 1 else 's'}: {element.label} ({cost})"
