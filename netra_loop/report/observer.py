"""What watches a session while it runs: a family of two consoles behind one Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from netra_loop.core.events import Recorded
from netra_loop.core.records import AttemptStarted, Finding, LogEntry, Result
from netra_loop.report.tally import Stood
from netra_loop.report.view import SessionView


class Observer(Protocol):
    """Is told what happened, after it was stored. Never raises, never blocks for long, changes nothing."""

    def event(self, recorded: Recorded) -> None:
        """An event was committed."""
        ...

    def plan(self, total: int) -> None:
        """So many tests are to run in this iteration; counting starts afresh."""
        ...

    def started(self, attempt: AttemptStarted) -> None:
        """A test began."""
        ...

    def finished(self, result: Result) -> None:
        """A test ended, or had ended before a resume; a test may end again (retries)."""
        ...

    def logged(self, entries: Sequence[LogEntry], others: int = 0) -> None:
        """The revisions under test logged `entries` while tests run, and `others` that were not looked at."""
        ...

    def progress(self, text: str) -> None:
        """A sentence for a person: what is waited for now. From any thread: a request to stop is told however busy the
        event loop is, at the same moment as anything else may be.
        """
        ...

    def summary(self, view: SessionView, findings: Sequence[Finding]) -> None:
        """Says for good how the session stands, as this process is done with it. Nothing but `close` follows."""
        ...

    def close(self) -> None:
        """Lets go of the screen. Safe to repeat."""
        ...


class Onlooker(Observer, Protocol):
    """One that comes late to a session of another process: what was before is told to it as a sum."""

    def stood(self, before: Stood) -> None:
        """So the tests stand that ended before. What runs was told; `finished` tells what ends from now on."""
        ...

    def again(self, earlier: Result) -> None:
        """A test is about to end once more that had ended as `earlier` before; it was told of, or is in the sum."""
        ...


class Silence:
    """An observer that shows nothing, for callers who read the journal instead."""

    def event(self, recorded: Recorded) -> None:
        """See `Observer.event`."""

    def plan(self, total: int) -> None:
        """See `Observer.plan`."""

    def started(self, attempt: AttemptStarted) -> None:
        """See `Observer.started`."""

    def finished(self, result: Result) -> None:
        """See `Observer.finished`."""

    def logged(self, entries: Sequence[LogEntry], others: int = 0) -> None:
        """See `Observer.logged`."""

    def progress(self, text: str) -> None:
        """See `Observer.progress`."""

    def summary(self, view: SessionView, findings: Sequence[Finding]) -> None:
        """See `Observer.summary`."""

    def close(self) -> None:
        """See `Observer.close`."""
