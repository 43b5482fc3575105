"""Stack traces among log entries: those an entry holds by itself, and those that came as an entry for each line.

Lines are put together for each revision, instance and stream. Between the lines of one trace others may stand, also
those of another trace that a thread wrote at the same moment: a line goes to the trace that waits for the like of it
(`waiting_traces`). A frame that two traces may own equally well goes to neither: no error is told with a place that
may be another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from netra_loop.core.records import LogEntry, RootCause
from netra_loop.core.stacktrace import HEADER, Source, parse, root_cause
from netra_loop.core.waiting_traces import Waiting, give, opens

JOIN_GAP = timedelta(seconds=0.5)  # lines of one trace are written together; a longer pause ends it
_MAX_DEPTH = 6
_MOST_OPEN = 16  # traces of one stream at one time
_MOST_KNOWN = 512  # texts whose cause is remembered: one fault is logged again and again, in the same words

Group = tuple[tuple[LogEntry, ...], RootCause | None]
_Stream = tuple[str, str, str | None, str]


@dataclass(frozen=True, slots=True)
class Thrown:
    """An exception that the logs show: where it came from and the entries that tell of it, in order, never empty."""

    cause: RootCause
    entries: tuple[LogEntry, ...]

    @property
    def trace_id(self) -> str | None:
        """The trace of the first entry that carries one."""
        return next((entry.trace_id for entry in self.entries if entry.trace_id), None)

    @property
    def at(self) -> datetime:
        """When it was logged."""
        return self.entries[0].timestamp


def thrown(entries: Iterable[LogEntry], sources: Mapping[str, Source]) -> list[Thrown]:
    """Every exception that `entries` show, in the order of time; `sources` by service."""
    reader = TraceReader(sources)
    found: list[Thrown] = []
    for entry in sorted(entries, key=lambda entry: (entry.timestamp, entry.insert_id)):
        reader.take(entry)
        found += [Thrown(cause, group) for group, cause in reader.closed() if cause is not None]
    found += [Thrown(cause, group) for group, cause in reader.rest() if cause is not None]
    return sorted(found, key=lambda one: one.at)


class TraceReader:
    """Takes entries in the order of time, and holds no more of them than the traces that are open."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._open: dict[_Stream, list[Waiting]] = {}
        self.ended: list[tuple[tuple[LogEntry, ...], str]] = []  # what `closed` has to tell; for others to look into
        self._known: dict[tuple[str, str], RootCause | None] = {}

    def take(self, entry: LogEntry) -> bool:
        """Whether `entry` is, or may be, of a trace: `closed` or `rest` tells of it then, now or later, unless it is a
        frame of which nobody knows whose it is.
        """
        if entry.log == "requests":
            return False
        message, payload = entry.message, entry.payload
        if payload or "\n" in message:
            text = trace_text(entry)
            if text:
                self.ended.append(((entry,), text))
                return True
        if payload is not None:
            return False
        kind = opens(message)
        if kind is None and not self._open:
            return False
        stream = (entry.service, entry.revision, entry.instance, entry.log)
        if stream in self._open:
            waiting = self._in_time(stream, entry)
            if waiting and give(entry, waiting):
                return True
        if kind is None:
            return False
        waiting = self._open.setdefault(stream, [])
        for one in [one for one in waiting if one.is_over(kind, entry.timestamp)]:
            waiting.remove(one)
            self._close(one)
        waiting.append(Waiting(kind, [entry]))
        if len(waiting) > _MOST_OPEN:
            self._close(waiting.pop(0))
        return True

    def closed(self) -> list[Group]:
        """What ended since the last call: the entries, with the place that they name; None where they are no trace."""
        if not self.ended:
            return []
        ended, self.ended = self.ended, []
        return [(group, self._cause(group[0].service, text)) for group, text in ended]

    def rest(self) -> list[Group]:
        """The same of what is still open, once all entries were taken."""
        for waiting in self._open.values():
            for one in waiting:
                self._close(one)
        self._open.clear()
        return self.closed()

    def _in_time(self, stream: _Stream, entry: LogEntry) -> list[Waiting]:
        waiting = self._open[stream]
        since = entry.timestamp - JOIN_GAP
        late = [one for one in waiting if one.last_at < since]
        if not late:
            return waiting
        for one in late:
            self._close(one)
        left = [one for one in waiting if one.last_at >= since]
        if left:
            self._open[stream] = left
        else:
            del self._open[stream]
        return left

    def _close(self, one: Waiting) -> None:
        self.ended.append((tuple(one.entries), "\n".join(entry.message.rstrip("\n") for entry in one.entries)))

    def _cause(self, service: str, text: str) -> RootCause | None:
        key = (service, text)
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = root_cause(parse(text), self._sources.get(service, Source()))
        return self._known[key]


def trace_text(entry: LogEntry) -> str:
    """The trace that one entry holds by itself, from its message or from any text in its payload; empty where none."""
    longest = entry.message if _holds_trace(entry.message) else ""
    if entry.payload is not None:
        for text in _strings(entry.payload, 0):
            if len(text) > len(longest) and _holds_trace(text):
                longest = text
    return longest


def _holds_trace(text: str) -> bool:
    return "\n" in text and (HEADER in text or "\n    at " in text or "\n\tat " in text or "goroutine " in text)


def _strings(value: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item, depth + 1)
