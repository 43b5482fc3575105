"""How often logs may be read: one budget for the whole process.

Cloud Logging takes few reads a minute from a project, whoever makes them, and every page is one. All readers of this
process, of whatever cloud, take their turns from the same `ReadBudget`. A process knows nothing of one before it: a
session that is killed and resumed within a minute may read more than 30 times in that one, which the API then refuses
and which is tried again.
"""

from __future__ import annotations

import bisect
from collections.abc import Awaitable, Callable
from functools import cache

from netra_loop.clock import Clock, SystemClock
from netra_loop.errors import OutOfReads

READS = 30
WINDOW_S = 60.0
TELL_FROM_S = 1.0  # a wait from here on is told
_MARGIN_S = 0.25  # calls arrive a little sooner or later than they were sent

OnWait = Callable[[str, float], Awaitable[None]]  # why, and for how many seconds


async def unheard(why: str, seconds: float) -> None:
    """Nobody listens."""


class ReadBudget:
    """At most `reads` calls in any `window_s` seconds. Turns are given in the order in which they are asked for."""

    def __init__(self, clock: Clock, reads: int = READS, window_s: float = WINDOW_S) -> None:
        self._clock = clock
        self._reads = reads
        self._window_s = window_s
        self._turns: list[float] = []  # monotonic, ascending; some may still lie ahead

    def left(self) -> int:
        """How many calls could be made now without waiting."""
        now = self._clock.monotonic()
        return max(0, self._reads - (len(self._turns) - bisect.bisect_right(self._turns, now - self._window_s)))

    async def turn(self, on_wait: OnWait = unheard, give_up: Callable[[], float] | None = None) -> bool:
        """Returns when the caller may make one call: whether it had to wait. Cancelling gives the turn back. Raises
        OutOfReads, and takes no turn, where that would come after the monotonic time that `give_up` says.
        """
        now = self._clock.monotonic()
        del self._turns[: max(0, bisect.bisect_left(self._turns, now - self._window_s) - self._reads)]
        turn = now
        if len(self._turns) >= self._reads:
            turn = max(now, self._turns[-self._reads] + self._window_s + _MARGIN_S)
        if self._turns:
            turn = max(turn, self._turns[-1])
        wait_s = turn - now
        if wait_s > 0 and give_up is not None and turn > give_up():
            raise OutOfReads("reading log entries", wait_s)
        self._turns.append(turn)
        if wait_s <= 0:
            return False
        try:
            if wait_s >= TELL_FROM_S:
                await on_wait(f"logs may be read {self._reads} times in {self._window_s:g} s", wait_s)
            while (left_s := turn - self._clock.monotonic()) > 0:
                await self._clock.sleep(left_s)
        except BaseException:
            self._turns.remove(turn)
            raise
        return True


@cache
def process_budget() -> ReadBudget:
    """The budget that everybody in this process shares."""
    return ReadBudget(SystemClock())
