"""A session as lines of a log: for CI and for pipes. No ANSI, nothing that a CI runner takes for a command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TextIO

from netra_loop.clock import Clock
from netra_loop.core.events import (
    AuthTried,
    GoalJudged,
    LogsRead,
    PhaseFinished,
    PhaseStarted,
    Recorded,
    RevisionsCompared,
    Waited,
    WorkspaceSaved,
)
from netra_loop.core.records import AttemptStarted, Authenticity, Finding, LogEntry, Result, TierVerdict
from netra_loop.report import phrases
from netra_loop.report.log_tally import LogTally
from netra_loop.report.safe import safe_line
from netra_loop.report.tally import Stood, Tally
from netra_loop.report.view import SessionView

PROGRESS_EVERY_S = 10.0
_Detail = LogsRead | AuthTried | Waited | WorkspaceSaved | RevisionsCompared
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class PlainConsole:
    """An `Onlooker` that writes lines to `stream`. Once nobody reads them any more it goes on in silence.

    `verbose` adds every test as it ends, every page of logs, every way to a token. Progress is told every 10 s at most;
    a sentence for a person at once where it says something else than the one before.
    """

    def __init__(self, stream: TextIO, clock: Clock, *, verbose: bool = False) -> None:
        self._stream: TextIO | None = stream
        self._clock = clock
        self._verbose = verbose
        self._tally = Tally(clock)
        self._logs = LogTally()
        self._told_at = clock.monotonic()
        self._said = ""
        self._said_at = 0.0

    def event(self, recorded: Recorded) -> None:
        """See `Observer.event`."""
        item = recorded.event
        if isinstance(item, _Detail) and not (self._verbose or _matters(item)):
            return
        where = f"[{item.iteration}] {item.phase}: " if item.phase else ""
        self._line(safe_line(where) + " " * bool(where) + phrases.event(item))
        for line in phrases.tail(item):
            self._line(f"    | {line}")
        if isinstance(item, PhaseStarted | PhaseFinished):
            self._said = ""
            self._told_at = self._clock.monotonic()
        if isinstance(item, GoalJudged):
            for tier in item.tiers:
                self._line(f"    {_tier(tier)}")

    def plan(self, total: int) -> None:
        """See `Observer.plan`."""
        self._tally.plan(total)
        self._logs = LogTally()

    def started(self, attempt: AttemptStarted) -> None:
        """See `Observer.started`."""
        self._tally.started(attempt)

    def finished(self, result: Result) -> None:
        """See `Observer.finished`."""
        self._tally.finished(result)
        told = result.outcome.is_failure or result.flaky or result.authenticity is Authenticity.FAKE
        if self._verbose or told:
            first = self._tally.first_failures.get(result.id) if result.flaky else None
            behind = phrases.failed_first(first) if first else ""
            self._line(f"[{result.iteration}] {phrases.result(result)}{behind}")
        self._progress()

    def stood(self, before: Stood) -> None:
        """See `Onlooker.stood`: said at once, the last of those that failed first."""
        self._tally.stood(before)
        for result in before.newest:
            ended_at = result.started_at + timedelta(seconds=result.duration_s)
            self._line(f"[{result.iteration}] {phrases.result(result)}", ended_at)
        self._told_at = self._clock.monotonic()
        left = before.failed - len(before.newest)
        self._line(self._counts() + (f"; {left} failed before those above, see `results`" if left else ""))

    def again(self, earlier: Result) -> None:
        """See `Onlooker.again`."""
        self._tally.again(earlier)

    def logged(self, entries: Sequence[LogEntry], others: int = 0) -> None:
        """See `Observer.logged`."""
        self._logs.take(entries, others)
        self._progress()

    def progress(self, text: str) -> None:
        """See `Observer.progress`."""
        said, now = _NUMBER.sub("0", text), self._clock.monotonic()
        if said != self._said or now - self._said_at >= PROGRESS_EVERY_S:
            self._said, self._said_at = said, now
            self._line(safe_line(text, 2 * phrases.MESSAGE_MAX))

    def summary(self, view: SessionView, findings: Sequence[Finding]) -> None:
        """See `Observer.summary`."""
        self._write("")
        if view.tiers:
            from netra_loop.report import render  # and rich: start-up time that the last word alone needs

            self._block(render.tiers(view.tiers).plain())
        self._block([f"tests: {phrases.tests(view.tests)}"])
        if findings:
            self._block(["findings:", *(f"  {phrases.finding(item)}" for item in phrases.in_order(findings))])
        if view.regressed:
            self._block(phrases.regressions(view))
        if view.scores:
            self._block(["fixers:", *(f"  {said}" for said in phrases.scores(view.scores))])
        if view.commits:
            self._block(["commits:", *(f"  {safe_line(said)}" for said in view.commits)])
        if view.earlier:
            self._block([safe_line(view.earlier)])
        self._write(phrases.verdict(view))

    def close(self) -> None:
        """See `Observer.close`."""
        self._stream = None

    def _progress(self) -> None:
        now = self._clock.monotonic()
        if now - self._told_at < PROGRESS_EVERY_S:
            return
        self._told_at = now
        self._line(self._counts())

    def _counts(self) -> str:
        tally = self._tally
        left = tally.remaining_s()
        guess = f", about {phrases.duration(left)} left" if left is not None else ""
        retried = f", {tally.flaky} only on retry" if tally.flaky else ""
        counts = f"{tally.failed} failed{retried}, {tally.running} running"
        logs = self._logs.line()
        return f"{tally.done} of {tally.total} done, {counts}{guess}" + (f"; {logs}" if logs else "")

    def _line(self, text: str, at: datetime | None = None) -> None:
        self._write(f"{at or self._clock.now():%H:%M:%S} {text}")

    def _block(self, lines: Sequence[str]) -> None:
        for line in (*lines, ""):
            self._write(line)

    def _write(self, line: str) -> None:
        stream = self._stream  # another thread may find that nobody reads it
        if stream is None:
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            stream.flush()
        except (OSError, ValueError):  # the reader went away; the session matters more than its log
            self._stream = None


def _matters(item: _Detail) -> bool:
    """Whether a detail is worth a line without `-v`: the end of the logs, a failed way, a wait that one notices."""
    if isinstance(item, LogsRead):
        return item.complete
    if isinstance(item, WorkspaceSaved | RevisionsCompared):
        return False  # the phase's own end says the same
    return not item.ok if isinstance(item, AuthTried) else item.seconds >= 1


def _tier(row: Mapping[str, Any]) -> str:
    tier = TierVerdict(**row)
    sign = "met" if tier.met else "unmet"
    rate = f"{phrases.percent(tier.failure_rate)}, allowed {phrases.percent(tier.max_failures)}"
    retried = ""
    if tier.flaky or tier.max_flaky is not None:
        allowed = "" if tier.max_flaky is None else f", allowed {phrases.percent(tier.max_flaky)}"
        retried = f", {tier.flaky} passed only on retry ({phrases.percent(tier.flaky_rate)}{allowed})"
    return safe_line(f"{tier.name}: {tier.failures} of {tier.selected} failed ({rate}){retried}: {sign}")
