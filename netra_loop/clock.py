"""Time as a parameter: whoever waits or stamps takes a `Clock`, so that no test has to wait.

Instants are aware UTC datetimes (`*_at`), durations float seconds (`*_s`). Durations are always measured with
`monotonic`, which a suspended laptop or a stepped wall clock cannot turn negative.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_SLICE_S = 1.0  # who sleeps so much longer than asked was suspended
_STEP = timedelta(seconds=1)  # less than that is a clock being adjusted


class Clock(Protocol):
    """What tells the time and lets it pass."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns once `seconds` have passed; safe to cancel."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)


def rfc3339(instant: datetime) -> str:
    """`instant` as RFC 3339 in UTC with microseconds, the one spelling used in every output."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """The reverse of `rfc3339`; accepts any RFC 3339 offset. Raises ValueError on anything else."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return instant.astimezone(UTC)


class Beginning:
    """The instant at which something began, for asking what happened since: by the wall clock as it was then or, where
    that was set back since, as it is now. `at` is that instant; None: now.
    """

    def __init__(self, clock: Clock, at: datetime | None = None) -> None:
        now = clock.now()
        self._clock = clock
        self._at = now if at is None else min(at, now)
        self._begun_at, self._begun = now, clock.monotonic()

    def at(self) -> datetime:
        """The earlier of the two."""
        passed = timedelta(seconds=self._clock.monotonic() - self._begun)
        set_back = self._begun_at + passed - self._clock.now()
        return self._at - max(timedelta(), set_back - _STEP)


class Elapsed(Exception):
    """What was waited for did not happen in time. Not a TimeoutError, which the network itself may raise."""


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; past `seconds` it is cancelled, awaited to its end, and `Elapsed` raised. Time in
    which this process was suspended, or starved, does not count: `work` could not get anywhere either.

    Safe to cancel: `work` is cancelled and awaited too.
    """
    task, timer = asyncio.ensure_future(work), asyncio.ensure_future(_awake(clock, seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Elapsed
        return task.result()
    finally:
        task.cancel()
        timer.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)


async def _awake(clock: Clock, seconds: float) -> None:
    """Returns once so much time has passed in which we were awake."""
    while seconds > 0:
        began, asked = clock.monotonic(), min(seconds, _SLICE_S)
        await clock.sleep(asked)
        passed = clock.monotonic() - began
        seconds -= passed if passed < asked + _SLICE_S else asked
