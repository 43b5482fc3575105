"""What is still to be run, in order: decides who runs what next. No I/O.

Work is pulled: a worker gets its next test when it needs to know it, which is when it tears the current one down. Ahead
of that it gets tests only where they have been fast and plenty are left, so that the wire is never what it waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netra_loop.execution.base import Planned

_FAST_S = 0.02
_AHEAD = 3
_PLENTY = 4  # tests left for each worker


@dataclass(frozen=True)
class Assignment:
    """One attempt in its place. `occurrence` tells tests of one id apart, from 0; `key` is unique in a run."""

    key: int
    planned: Planned
    occurrence: int = 0


Unit = tuple[Assignment, ...]


def units(
    plan: Sequence[Planned],
    groups: Mapping[str, str],
    occurrences: Mapping[str, int],
    *,
    alone: bool,
) -> list[Unit]:
    """The plan's tests, those of one `xdist_group` joined at the place of their first; `alone` joins none.

    `occurrences` says how many collected tests bear an id: the plan's repetitions of it go round them.
    """
    seen: dict[str, int] = {}
    made: dict[str | int, list[Assignment]] = {}
    for key, planned in enumerate(plan):
        number = seen.get(planned.id, 0)
        seen[planned.id] = number + 1
        assignment = Assignment(key, planned, number % max(1, occurrences.get(planned.id, 1)))
        group = None if alone else groups.get(planned.id)
        made.setdefault(key if group is None else group, []).append(assignment)
    return [tuple(unit) for unit in made.values()]


class Queue:
    """Units in the order they are to be begun."""

    def __init__(self, waiting: Iterable[Unit], workers: int) -> None:
        self._waiting = deque(waiting)
        self._workers = workers

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._waiting)

    def take(self) -> Unit | None:
        """The next unit, None where nothing is left."""
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, assignments: Sequence[Assignment]) -> None:
        """Handed out and never begun: first in line again, each for itself."""
        self._waiting.extendleft((assignment,) for assignment in reversed(assignments))

    def drain(self) -> list[Assignment]:
        """All that is left, taken out."""
        left = [assignment for unit in self._waiting for assignment in unit]
        self._waiting.clear()
        return left

    def ahead(self, mean_s: float | None, held: int) -> bool:
        """Whether a worker whose last tests took `mean_s` each, and which holds `held` for later, gets one more now."""
        fast = mean_s is not None and mean_s < _FAST_S
        return fast and held < _AHEAD and len(self._waiting) > _PLENTY * self._workers
