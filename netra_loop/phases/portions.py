"""What runners say, in portions that one commit takes; nothing here may hold up the event loop, which hands out tests.

Portions are bounded in number and in size, so that a flood of output is neither judged nor committed in one piece; a
kill loses the portion that is under way, and what queues behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from netra_loop.clock import Clock
from netra_loop.execution.base import Finished, RunEvent

_MOST = 500  # events
_MOST_CHARS = 1_000_000
_PACE_S = 0.025  # from one portion to the next, so that fast tests do not wait for the store's work
_APART = 50_000  # characters; with more, judging and redacting goes to a thread
_OF_ONE_ITEM = 500  # characters that an exchange or a frame stands for

T = TypeVar("T")


class Portions:
    """Takes events out of `queue`, whose None says that one of its feeders has ended. `pace_s` and sizes are fixed."""

    def __init__(self, queue: asyncio.Queue[RunEvent | None], clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._last: float | None = None

    async def take(self) -> list[RunEvent | None]:
        """The next portion, at least one event. Cancelled, it has taken nothing."""
        if self._last is not None:
            rest = self._last + _PACE_S - self._clock.monotonic()
            if rest > 0:
                await self._clock.sleep(rest)
        events = [await self._queue.get()]
        self._last = self._clock.monotonic()
        return [*events, *self._more(weight(events), _MOST - 1)]

    def rest(self) -> list[RunEvent | None]:
        """The next portion of what is there, without waiting; empty once nothing is."""
        return self._more(0, _MOST)

    def _more(self, chars: int, most: int) -> list[RunEvent | None]:
        events: list[RunEvent | None] = []
        while len(events) < most and chars < _MOST_CHARS and not self._queue.empty():
            events.append(self._queue.get_nowait())
            chars += weight(events[-1:])
        return events


def weight(events: Sequence[RunEvent | None]) -> int:
    """How many characters there are to go through, about."""
    return sum(
        len(event.output)
        + len(event.traceback)
        + _OF_ONE_ITEM * (len(event.evidence.exchanges) + len(event.evidence.frames))
        for event in events
        if isinstance(event, Finished)
    )


async def apart(work: Callable[[], T], chars: int) -> T:
    """The result of `work`, from a thread where it goes through so many characters that it would hold others up."""
    return await asyncio.to_thread(work) if chars > _APART else work()


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is ended even where this is cancelled: the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.result()
        raise
