"""`FakeClock`: time that nobody has to wait for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time that stands still until it is advanced, or until all that is awake has had its turns.

    Sleepers wake in the order of their deadlines, each at its own, without any real waiting. `patience` is how many
    turns of the event loop everybody else gets before time moves on its own.
    """

    def __init__(self, start: datetime | None = None, *, patience: int = 20) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._passed_s = 0.0
        self._patience = patience
        self._deadlines: list[float] = []
        self.slept: list[float] = []

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        """See `Clock.monotonic`; starts at 0."""
        return self._passed_s

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass; sleepers that are due wake at their next turn."""
        self._passed_s += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, forward or back. No time passes, and nobody wakes."""
        self._start += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`. What was asked for is noted in `slept`."""
        self.slept.append(seconds)
        deadline = self._passed_s + max(seconds, 0.0)
        self._deadlines.append(deadline)
        try:
            turns = 0
            await asyncio.sleep(0)
            while self._passed_s < deadline:
                await asyncio.sleep(0)
                turns += 1
                if turns >= self._patience and deadline <= min(self._deadlines):
                    self._passed_s = max(self._passed_s, deadline)
        finally:
            self._deadlines.remove(deadline)
