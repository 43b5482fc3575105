"""What is still to be run: which tests go together, and who gets which. No I/O; `core.dispatch` decides.

Work is pulled: a worker gets its next test when it needs to know it, which is when it tears the current one down. Ahead
of that it gets tests only where they have been fast and plenty are left, so that the wire is never what it waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netra_loop.core import schedule
from netra_loop.core.branches import Work
from netra_loop.core.dispatch import Dispatch
from netra_loop.execution.base import Planned

_FAST_S = 0.02
_AHEAD = 3
_AHEAD_TIMED = 24  # of tests that are known to be fast
_LEAD_S = 0.06
_PLENTY = 4  # tests left for each worker
_AGAIN = "again: the worker that held it ended before it began"


class Assignment(NamedTuple):
    """One attempt in its place. `key` is unique in a run. `why` says what took it out of the plan's order, "" where
    nothing did.
    """

    key: int
    planned: Planned
    why: str = ""


Unit = tuple[Assignment, ...]


def slow(planned: Planned) -> bool:
    """Whether it is known to take long, so that nothing is to wait behind it."""
    return planned.seconds is not None and planned.seconds >= _FAST_S


def units(plan: Sequence[Planned], groups: Mapping[str, str]) -> list[Unit]:
    """The plan's tests, those of one `xdist_group` joined at the place of their first."""
    if not groups:
        return [(Assignment(key, planned),) for key, planned in enumerate(plan)]
    made: list[Sequence[Assignment]] = []
    grouped: dict[str, list[Assignment]] = {}
    for key, planned in enumerate(plan):
        one, group = Assignment(key, planned), groups.get(planned.id)
        if group is None:
            made.append((one,))
        elif group in grouped:
            grouped[group].append(one)
        else:
            made.append(grouped.setdefault(group, [one]))
    return [tuple(unit) for unit in made]


class Queue:
    """Units not handed out yet. `alone`: every test has a worker to itself, so that no fixture is ever shared; the
    tests of a unit follow each other, each once the worker of the one before is gone.
    """

    def __init__(self, waiting: Sequence[Unit], workers: int, *, alone: bool = False) -> None:
        self._units = list(waiting)
        self._workers = workers
        self._alone = alone
        self._places = {one.key: place for place, unit in enumerate(self._units) for one in unit}
        self._returned: deque[Unit] = deque()
        self._following: dict[Hashable, Unit] = {}  # by the worker that runs what comes before
        bands = [
            unit[0].planned.band if len(unit) == 1 else min(one.planned.band for one in unit) for unit in self._units
        ]
        useful = min(workers, len(self._units))
        self._dispatch = Dispatch(_work(self._units, bands, alone=alone), useful, strict=schedule.strict(bands))

    def __len__(self) -> int:
        return len(self._dispatch) + len(self._returned)

    def __iter__(self) -> Iterator[Unit]:
        yield from self._returned
        yield from (self._units[number] for number in self._dispatch.pending())

    def take(self, worker: Hashable) -> Unit | None:
        """The unit that `worker` is to run next. None: nothing is left, or nothing that it would end sooner than those
        who hold the fixtures of it up. It is then of no use yet, see `offers`.
        """
        unit = self._following.pop(worker, None) or self._take(worker)
        if unit is None or not self._alone:
            return unit
        if unit[1:]:
            self._following[worker] = unit[1:]
        return unit[:1]

    def _take(self, worker: Hashable) -> Unit | None:
        if self._returned:
            unit = self._returned.popleft()
            self._dispatch.stand(worker, self._places[unit[0].key])
            return unit
        pick = self._dispatch.take(worker)
        if pick is None:
            return None
        unit, why = self._units[pick.number], pick.why
        return unit if why is None else tuple(_because(one, why) for one in unit)

    def offers(self) -> bool:
        """Whether one more worker would be of use."""
        return bool(self._returned) or self._dispatch.offers()

    def took(self, one: Assignment, seconds: float) -> None:
        """What it really took, without the fixtures that it shares: the rest is foreseen accordingly."""
        self._dispatch.took(self._places[one.key], seconds, one.planned.seconds)

    def leave(self, worker: Hashable, unbegun: Sequence[Assignment] = ()) -> None:
        """`worker` is gone, and the fixtures that it held up. Safe to repeat. What it had not begun is first in line
        again, tests of one unit still together.
        """
        self._dispatch.leave(worker)
        left: dict[int, list[Assignment]] = {}
        for one in unbegun:
            left.setdefault(self._places[one.key], []).append(_because(one, _AGAIN))
        for one in self._following.pop(worker, ()):
            left.setdefault(self._places[one.key], []).append(one)
        self._returned.extendleft(tuple(unit) for unit in reversed(left.values()))

    def drain(self) -> list[Assignment]:
        """All that is left, taken out."""
        left = [one for unit in self for one in unit]
        self._returned.clear()
        self._dispatch.drain()
        return left

    def ahead(self, mean_s: float | None, held: Sequence[Assignment]) -> int:
        """How many more a worker gets now whose last tests took `mean_s` each, and which holds `held` for later.

        Few where nobody knows how long they take, since what it holds waits for it whatever becomes of the others.
        """
        if mean_s is None or mean_s >= _FAST_S or any(slow(one.planned) for one in held):
            return 0
        timed = all(one.planned.seconds is not None for one in held)
        most = max(_AHEAD, min(_AHEAD_TIMED, int(_LEAD_S / max(mean_s, 0.001)))) if held and timed else _AHEAD
        if len(held) > most // 2:
            return 0  # a refill now and then wakes nobody up for each test
        return min(most - len(held), max(0, len(self) - _PLENTY * self._workers) // self._workers)


def _work(waiting: Sequence[Unit], bands: Sequence[schedule.Band], *, alone: bool) -> list[Work]:
    costs = {name: cost for unit in waiting for one in unit for name, cost in one.planned.fixtures if cost is not None}
    shared = [() if alone else _shared(unit) for unit in waiting]
    return schedule.plan(bands, [_seconds(unit) for unit in waiting], shared, costs)


def _shared(unit: Unit) -> tuple[str, ...]:
    """What all tests of the unit share: the others' fixtures are up for a part of it only."""
    fixtures = unit[0].planned.fixtures
    if not fixtures:
        return ()
    first = tuple(name for name, _ in fixtures)
    if len(unit) == 1:
        return first
    return tuple(sorted(set(first).intersection(*({name for name, _ in one.planned.fixtures} for one in unit[1:]))))


def _seconds(unit: Unit) -> float | None:
    if len(unit) == 1:
        return unit[0].planned.seconds
    known = [one.planned.seconds for one in unit if one.planned.seconds is not None]
    return sum(known) if len(known) == len(unit) else None


def _because(one: Assignment, why: str) -> Assignment:
    return Assignment(one.key, one.planned, why)
