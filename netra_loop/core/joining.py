"""Which log entries belong to which test: by trace first, by time second.

A trace is certain. Time is not: an entry without a trace belongs to every test that was running then, and whoever draws
conclusions from it should know (`Joined.how`). An entry whose trace is of no test here belongs to somebody else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from netra_loop.core.records import LogEntry, Result

BY_TRACE = "trace"
BY_TIME = "time"
SLACK_S = 0.5  # clocks of two machines, and a server that logs after it answered

_Key = tuple[str, str, datetime, str]


@dataclass(frozen=True)
class Joined:
    """Log entries with their `tests` filled in, in the order of time."""

    entries: tuple[LogEntry, ...] = ()
    _by_time: Mapping[tuple[str, int], Sequence[LogEntry]] | None = None

    def how(self, entry: LogEntry) -> str | None:
        """`trace` or `time`; None where the entry, one of `entries`, belongs to no test."""
        if not entry.tests:
            return None
        return BY_TRACE if entry.trace_id else BY_TIME

    def by_trace(self, result: Result) -> tuple[LogEntry, ...]:
        """The entries that carry the attempt's own trace."""
        return tuple(entry for entry in self.entries if entry.trace_id and entry.trace_id == result.trace_id)

    def by_time(self, result: Result) -> tuple[LogEntry, ...]:
        """The entries without a trace that were written while the attempt ran."""
        return tuple((self._by_time or {}).get((result.id, result.attempt), ()))

    def entries_for(self, result: Result) -> tuple[LogEntry, ...]:
        """Everything joined to this attempt, in the order of time."""
        return tuple(
            sorted(
                {_key(entry): entry for entry in (*self.by_trace(result), *self.by_time(result))}.values(),
                key=lambda entry: (entry.timestamp, entry.insert_id),
            )
        )


def join(entries: Iterable[LogEntry], results: Sequence[Result], *, slack_s: float = SLACK_S) -> Joined:
    """Every entry once (the same log, time and insert id are one entry), with the ids of the tests it belongs to."""
    ordered = sorted(
        {_key(entry): entry for entry in entries}.values(), key=lambda entry: (entry.timestamp, entry.insert_id)
    )
    owners = {result.trace_id: result.id for result in results if result.trace_id}
    by_time: dict[tuple[str, int], list[LogEntry]] = {}
    out: list[LogEntry] = []
    running = Running(results, timedelta(seconds=slack_s))
    attempts: tuple[Result, ...] = ()
    names: tuple[str, ...] = ()
    for entry in ordered:
        if entry.trace_id:
            owner = owners.get(entry.trace_id)
            out.append(replace(entry, tests=() if owner is None else (owner,)))
            continue
        now = running.at(entry.timestamp)
        if now is not attempts:  # kept once for all entries that were written while nothing began or ended
            attempts, names = now, tuple(dict.fromkeys(sorted(result.id for result in now)))
        joined = replace(entry, tests=names)
        for result in attempts:
            by_time.setdefault((result.id, result.attempt), []).append(joined)
        out.append(joined)
    return Joined(tuple(out), by_time)


def _key(entry: LogEntry) -> _Key:
    return entry.log, entry.revision, entry.timestamp, entry.insert_id


class Running:
    """The attempts that run at an instant; instants must be asked for in ascending order."""

    def __init__(self, results: Sequence[Result], slack: timedelta) -> None:
        self._slack = slack
        self._waiting = sorted(results, key=lambda result: result.started_at, reverse=True)
        self._ends: list[tuple[datetime, int]] = []
        self._active: dict[int, Result] = {}
        self._now: tuple[Result, ...] = ()
        self._count = 0

    def at(self, instant: datetime) -> tuple[Result, ...]:
        """The very tuple of the last answer where nothing has begun or ended since."""
        begun, changed = self._count, False
        while self._waiting and self._waiting[-1].started_at - self._slack <= instant:
            result = self._waiting.pop()
            ends_at = result.started_at + timedelta(seconds=result.duration_s) + self._slack
            heapq.heappush(self._ends, (ends_at, self._count))
            self._active[self._count] = result
            self._count += 1
        while self._ends and self._ends[0][0] < instant:
            del self._active[heapq.heappop(self._ends)[1]]
            changed = True
        if changed or self._count != begun:
            self._now = tuple(self._active.values())
        return self._now
