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
    _how: Mapping[_Key, str] | None = None
    _by_trace: Mapping[str, tuple[LogEntry, ...]] | None = None
    _by_time: Mapping[tuple[str, int], tuple[LogEntry, ...]] | None = None

    def how(self, entry: LogEntry) -> str | None:
        """`trace` or `time`; None where the entry belongs to no test."""
        return (self._how or {}).get(_key(entry))

    def by_trace(self, result: Result) -> tuple[LogEntry, ...]:
        """The entries that carry the attempt's own trace."""
        return (self._by_trace or {}).get(result.trace_id, ())

    def by_time(self, result: Result) -> tuple[LogEntry, ...]:
        """The entries without a trace that were written while the attempt ran."""
        return (self._by_time or {}).get((result.id, result.attempt), ())

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
    owners = {result.trace_id: result for result in results if result.trace_id}
    how: dict[_Key, str] = {}
    by_trace: dict[str, list[LogEntry]] = {}
    by_time: dict[tuple[str, int], list[LogEntry]] = {}
    out: list[LogEntry] = []
    running = Running(results, timedelta(seconds=slack_s))
    for entry in ordered:
        if entry.trace_id:
            owner = owners.get(entry.trace_id)
            joined = replace(entry, tests=() if owner is None else (owner.id,))
            if owner is not None:
                how[_key(entry)] = BY_TRACE
                by_trace.setdefault(entry.trace_id, []).append(joined)
        else:
            attempts = running.at(entry.timestamp)
            joined = replace(entry, tests=tuple(dict.fromkeys(sorted(result.id for result in attempts))))
            for result in attempts:
                how[_key(entry)] = BY_TIME
                by_time.setdefault((result.id, result.attempt), []).append(joined)
        out.append(joined)
    return Joined(
        tuple(out),
        how,
        {trace: tuple(found) for trace, found in by_trace.items()},
        {attempt: tuple(found) for attempt, found in by_time.items()},
    )


def _key(entry: LogEntry) -> _Key:
    return entry.log, entry.revision, entry.timestamp, entry.insert_id


class Running:
    """The attempts that run at an instant; instants must be asked for in ascending order."""

    def __init__(self, results: Sequence[Result], slack: timedelta) -> None:
        self._slack = slack
        self._waiting = sorted(results, key=lambda result: result.started_at, reverse=True)
        self._ends: list[tuple[datetime, int]] = []
        self._active: dict[int, Result] = {}
        self._count = 0

    def at(self, instant: datetime) -> tuple[Result, ...]:
        while self._waiting and self._waiting[-1].started_at - self._slack <= instant:
            result = self._waiting.pop()
            ends_at = result.started_at + timedelta(seconds=result.duration_s) + self._slack
            heapq.heappush(self._ends, (ends_at, self._count))
            self._active[self._count] = result
            self._count += 1
        while self._ends and self._ends[0][0] < instant:
            del self._active[heapq.heappop(self._ends)[1]]
        return tuple(self._active.values())
