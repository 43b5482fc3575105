"""The instances of one revision: as many as its requests need, between its least and its most.

A request takes a place in an instance. Where all places are taken, another instance is started if there may be one, and
the request waits for whichever place comes free first. Where none may be started, it waits a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from netra_loop.cloud.embedded.instance import Instance, Launch, StartFailed

_log = logging.getLogger(__name__)
QUEUE_S = 10.0
_IDLE_S = 60.0  # an instance beyond the first that had no request for so long is ended
_FIRST_PAUSE_S = 0.2  # before an instance that has to be there is started again, doubled with each death
_LONGEST_PAUSE_S = 10.0
AUTOSCALING = "AUTOSCALING - Instance started because there was no existing capacity for current traffic."
MINIMUM = "MANUAL_OR_CUSTOMER_MIN_INSTANCE - Instance started to keep the minimum number of instances."

Start = Callable[[Launch, str], Awaitable[Instance]]
End = Callable[[Instance], None]


class NoInstance(Exception):  # an answer to a request, not a fault of ours
    """All places were taken for too long and no further instance may be started."""


class Fleet:
    """`start` gives an instance that is up or raises StartFailed, `end` lets one end after its requests.

    A request waits `queue_s` seconds for a place while nothing is starting.
    """

    def __init__(self, launch: Launch, start: Start, end: End, *, queue_s: float = QUEUE_S) -> None:
        self.launch = launch
        self._start = start
        self._end = end
        self._queue_s = queue_s
        self._live: list[Instance] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[Instance]] = deque()
        self._closed = False
        self._was_up = False
        self._pause_s = _FIRST_PAUSE_S

    async def acquire(self, reason: str = AUTOSCALING) -> Instance:
        """An instance with a place taken in it; give it back with `leave`.

        Raises StartFailed where none is up and none can be started, NoInstance. Cancelling gives the place back and
        stops no start that others may be waiting for.
        """
        free = self._free()
        if free is not None:
            free.enter()
            return free
        place: asyncio.Future[Instance] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._grow(reason)
        try:
            while not place.done():
                await asyncio.wait({place}, timeout=self._queue_s)
                if not place.done() and not self._starting:
                    raise NoInstance
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                place.result().leave()
            raise
        finally:
            place.cancel()
        return place.result()

    def keep_least(self) -> None:
        """Starts what is wanting to the least number of instances."""
        while not self._closed and self._count() < min(self.launch.least, self.launch.most):
            self._begin(MINIMUM)

    def retire(self) -> list[asyncio.Task[None]]:
        """Starts nothing any more and lets all end after their requests; the starts that were cancelled."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        for instance in self._live:
            self._end(instance)
        self._live.clear()
        return list(self._starting)

    def _free(self) -> Instance | None:
        """The live instance with the fewest requests that can take another."""
        found = [item for item in self._live if item.alive and item.in_flight < self.launch.concurrency]
        return min(found, key=lambda item: item.in_flight, default=None)

    def _count(self) -> int:
        return sum(item.alive for item in self._live) + len(self._starting)

    def _grow(self, reason: str) -> None:
        """Starts another one where those that are starting will not hold all who wait."""
        coming = len(self._starting) * self.launch.concurrency
        if coming < len(self._waiting) and self._count() < max(1, self.launch.most):
            self._begin(reason)

    def _begin(self, reason: str) -> None:
        if self._closed:
            self._refuse_all(StartFailed("INTERNAL", "the revision is being retired"))
            return
        task = asyncio.create_task(self._one(reason))
        self._starting.add(task)
        task.add_done_callback(self._started)

    async def _one(self, reason: str) -> None:
        instance = await self._start(self.launch, reason)
        if self._closed:
            self._end(instance)
            return
        self._live.append(instance)
        self._was_up = True
        instance.on_change = lambda: self._changed(instance)
        if not instance.alive:
            self._changed(instance)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        error = None if task.cancelled() else task.exception()
        self._hand_out()
        if not self._live and not self._starting and (error is not None or task.cancelled()):
            self._refuse_all(error or StartFailed("INTERNAL", "the start was cancelled"))
        if error is None:
            self.keep_least()
        else:
            self._keep_least_later()
        if error is not None and not isinstance(error, StartFailed):
            _log.error("an instance of %s was not started", self.launch.origin.revision, exc_info=error)

    def _changed(self, instance: Instance) -> None:
        if not instance.alive:
            if instance in self._live:
                self._live.remove(instance)
                self._replace()
        elif instance.in_flight == 0 and len(self._live) > max(1, self.launch.least):
            asyncio.get_running_loop().call_later(_IDLE_S, self._scale_in, instance)
        self._hand_out()

    def _replace(self) -> None:
        """After a death: a new one for those who wait and, after a pause, for the least number."""
        if self._waiting:
            self._grow(AUTOSCALING)
        self._keep_least_later()

    def _keep_least_later(self) -> None:
        """Soon, and less soon each time: what dies or fails again and again must not keep the machine busy."""
        if self._was_up and not self._closed and self.launch.least > self._count():
            asyncio.get_running_loop().call_later(self._pause_s, self.keep_least)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _scale_in(self, instance: Instance) -> None:
        idle_s = time.monotonic() - instance.idle_since
        spare = len(self._live) > max(1, self.launch.least)
        if spare and instance in self._live and instance.in_flight == 0 and idle_s >= _IDLE_S:
            self._live.remove(instance)
            self._end(instance)

    def _hand_out(self) -> None:
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            free = self._free()
            if free is None:
                return
            free.enter()
            self._waiting.popleft().set_result(free)

    def _refuse_all(self, error: BaseException) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)
