"""The attempts that `execute` hands to a runner: what each is expected to take, and what it is to come before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from netra_loop.core.records import CollectedTest, Selected
from netra_loop.core.schedule import Band, known
from netra_loop.execution.base import Planned
from netra_loop.phases.base import PhaseContext
from netra_loop.values import dataclass

_Timed = tuple[tuple[str, float | None], ...]

_TRACE = 16  # bytes of a trace id, by W3C's Trace Context


@dataclass(frozen=True)
class Planner:
    """`durations` are seconds of tests by id and of shared fixtures by name, as the journal knew them at the start."""

    bands: Mapping[str, Band]
    durations: Mapping[str, float]
    tests: Mapping[str, CollectedTest]

    def plan(self, batch: Sequence[str], tries: Mapping[str, int], failed: Mapping[str, int]) -> list[Planned]:
        """The next attempt at each test of `batch`. `tries` counts the attempts begun, `failed` those that failed."""
        traces = os.urandom(_TRACE * len(batch)).hex()  # of one piece: asking the system takes longer than all else
        fixtures: dict[tuple[str, ...], _Timed] = {}  # by what a test shares: many share the same
        made: list[Planned] = []
        for test, place in zip(batch, range(0, len(traces), 2 * _TRACE), strict=True):
            collected = self.tests.get(test)
            shares = collected.shares if collected is not None else ()
            if shares not in fixtures:
                fixtures[shares] = tuple((name, known(self.durations, name)) for name in shares)
            begun = tries.get(test, 0)
            made.append(
                Planned(
                    test,
                    begun + 1,
                    traces[place : place + 2 * _TRACE],
                    self.bands.get(test, (1, 0)),
                    known(self.durations, test),
                    fixtures[shares],
                    _why(begun, failed.get(test, 0)),
                )
            )
        return made


def _why(begun: int, failed: int) -> str:
    if failed:
        return f"again, last: failed {f'on attempt {begun}' if failed == begun else 'before'}"
    return f"again: attempt {begun} was cut off before its result" if begun else ""


async def planner(context: PhaseContext, selection: Sequence[Selected], tests: Mapping[str, CollectedTest]) -> Planner:
    """The planner of this iteration; `selection` is all of it."""
    made = context.state().selection
    failing = made.failing if made is not None else 0
    ranks = {tier.name: rank for rank, tier in enumerate(context.spec.tiers)}
    bands: dict[str, Band] = {}
    once: dict[Band, Band] = {}
    for one in selection:
        band = int(one.position >= failing), ranks.get(one.tier or "", 0)
        bands[one.id] = once.setdefault(band, band)
    return Planner(bands, await context.journal.durations(context.spec.name), tests)
