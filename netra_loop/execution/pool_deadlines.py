"""When a test has had its time, told from outside its process. No I/O.

A deadline counts the time in which we were awake to see it: when the orchestrator itself was stopped or starved, every
deadline moves on by as much, so that no test is ended for what it could not help.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

TICK_S = 0.1
_LATE_S = 1.0

Name = TypeVar("Name", bound=Hashable)


class Deadlines(Generic[Name]):
    """Deadlines by name, held against a monotonic clock by calling `expired` about every `TICK_S` seconds."""

    def __init__(self) -> None:
        self._at: dict[Name, float] = {}
        self._looked: float | None = None

    def set(self, name: Name, at: float) -> None:
        """Sets or moves a deadline; `at` is a reading of the clock."""
        self._at[name] = at

    def clear(self, name: Name) -> None:
        """Takes it away; nothing happens where there is none."""
        self._at.pop(name, None)

    def expired(self, now: float) -> list[Name]:
        """Those that have passed, each told once."""
        if self._looked is not None:
            late = now - self._looked - TICK_S
            if late > _LATE_S:
                self._at = {name: at + late for name, at in self._at.items()}
        self._looked = now
        passed = [name for name, at in self._at.items() if at <= now]
        for name in passed:
            del self._at[name]
        return passed
