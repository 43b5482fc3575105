"""Counts an iteration's tests while they run: how many are done, which are running, how long it may still take."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from netra_loop.clock import Clock
from netra_loop.core.records import AttemptStarted, Authenticity, Evidence, Outcome, Result
from netra_loop.values import dataclass

LAST_FAILURES = 20
_ENOUGH_TO_GUESS = 3
_MESSAGE_MAX = 500


@dataclass(frozen=True)
class Stood:
    """The tests that had ended before anybody looked: how many, how many of them failed or are fake, how many passed
    only on retry. `newest` are the last of those that failed, in the order of their ends. `began` is when the tests
    began, in seconds of the tally's clock.
    """

    done: int
    failed: int
    flaky: int
    began: float
    newest: Sequence[Result] = ()


class Tally:
    """Fed by an observer. A test that ends again (a retry) counts once, by its newest outcome.

    `failures` are the newest; `first_failures` keeps of each test how it first failed, without what it left behind.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.plan(0)

    def plan(self, total: int) -> None:
        """Starts afresh, with so many tests to come."""
        self.total = total
        self.failures: deque[Result] = deque(maxlen=LAST_FAILURES)
        self.first_failures: dict[str, Result] = {}
        self._ended: dict[str, Outcome] = {}
        self._fake: set[str] = set()
        self._flaky: set[str] = set()
        self._running: dict[str, float] = {}
        self._began: float | None = None
        self._done_here = 0
        self._stood = [0, 0, 0]  # done, failed, flaky

    def stood(self, before: Stood) -> None:
        """These had ended before; they add to what is told one by one."""
        self._stood = [before.done - len(before.newest), before.failed - len(before.newest), before.flaky]
        self._began, self._done_here = before.began, before.done
        for result in before.newest:
            self.finished(result)

    def again(self, earlier: Result) -> None:
        """A test ends once more, and had ended as `earlier` before: if it is among those that `stood`, it counts by
        itself from now on.
        """
        if earlier.id in self._ended:
            return
        failed = earlier.outcome.is_failure or earlier.authenticity is Authenticity.FAKE
        for place, number in enumerate((1, failed, earlier.flaky)):
            self._stood[place] -= number
        self._keep(earlier)

    def started(self, attempt: AttemptStarted) -> None:
        """A test began."""
        now = self._clock.monotonic()
        self._began = now if self._began is None else self._began
        self._running[attempt.id] = now

    def finished(self, result: Result) -> None:
        """A test ended; one that was never seen to start had ended before a resume."""
        here = self._running.pop(result.id, None) is not None
        if here and result.id not in self._ended:
            self._done_here += 1
        self._keep(result)
        self.failures = deque((one for one in self.failures if one.id != result.id), maxlen=LAST_FAILURES)
        if result.outcome.is_failure or result.authenticity is Authenticity.FAKE:
            self.failures.append(result)

    def _keep(self, result: Result) -> None:
        self._ended[result.id] = result.outcome
        for kept, holds in ((self._fake, result.authenticity is Authenticity.FAKE), (self._flaky, result.flaky)):
            (kept.add if holds else kept.discard)(result.id)
        if result.outcome.is_failure:
            self.first_failures.setdefault(result.id, _light(result))

    @property
    def done(self) -> int:
        """Tests that ended."""
        return self._stood[0] + len(self._ended)

    @property
    def failed(self) -> int:
        """Tests whose newest outcome is a failure, and fake passes."""
        bad = {id_ for id_, outcome in self._ended.items() if outcome.is_failure}
        return self._stood[1] + len(bad | self._fake)

    @property
    def flaky(self) -> int:
        """Tests that passed, and only on retry."""
        return self._stood[2] + len(self._flaky)

    @property
    def running(self) -> int:
        """Tests under way."""
        return len(self._running)

    def slowest(self, count: int) -> list[tuple[str, float]]:
        """The tests that run longest, with their age in seconds, the oldest first."""
        now = self._clock.monotonic()
        oldest = sorted(self._running.items(), key=lambda item: item[1])[: max(0, count)]
        return [(id_, now - began) for id_, began in oldest]

    def remaining_s(self) -> float | None:
        """A guess from the pace so far; None while there is too little to guess from, or nothing left."""
        left = self.total - self.done
        if self._began is None or self._done_here < _ENOUGH_TO_GUESS or left <= 0:
            return None
        return (self._clock.monotonic() - self._began) / self._done_here * left


def _light(result: Result) -> Result:
    message = None if result.message is None else result.message[:_MESSAGE_MAX]
    return replace(result, message=message, output="", traceback="", evidence=Evidence())
