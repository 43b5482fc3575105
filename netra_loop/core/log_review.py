"""One look at all log entries of an iteration, in the order of time, keeping only what findings are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from typing import Any

from netra_loop.core.error_groups import ERRORS, ErrorGroups, first_line
from netra_loop.core.joining import Footprint, Joined, Joiner
from netra_loop.core.records import LogEntry, RootCause
from netra_loop.core.stacktrace import Source
from netra_loop.core.trace_lines import Thrown, TraceReader
from netra_loop.values import dataclass

_SAID = 500  # characters kept of what an error said


@dataclass
class Review:
    """Takes entries, already joined or not, and gives them joined. Ask for `joined`, `exceptions` and `groups` once all
    are taken. `requests` are those of the attempts' own traces, as `Vouching` wants them; `warned` has by trace the
    last warning of each attempt's.

    It holds little of what it sees: the first entry of each exception, errors without one, requests answered with 5xx,
    requests with a test's trace, and the last warning of each. `total` is how many it saw, and is above 0 where there
    was any entry at all. An answer with 5xx to one of the traces `uncounted` says nothing of the revision.
    """

    attempts: Collection[Footprint]
    sources: Mapping[str, Source]
    uncounted: Collection[str] = ()
    groups: ErrorGroups = field(default_factory=ErrorGroups)
    exceptions: list[Thrown] = field(default_factory=list)
    requests: list[LogEntry] = field(default_factory=list)
    warned: dict[str, LogEntry] = field(default_factory=dict)
    total: int = 0

    def __post_init__(self) -> None:
        self._joiner = Joiner(self.attempts)
        self._reader = TraceReader(self.sources)
        self._traces = {one.trace_id for one in self.attempts}
        self._kept: list[LogEntry] = []
        self._alike: dict[tuple[Any, ...], dict[str, Any]] = {}

    def take(self, entry: LogEntry) -> LogEntry:
        """`entry` with its tests. What an earlier reading joined with more at hand stays as it is."""
        self.total += 1
        joined = entry if entry.tests else self._joiner.joined(entry)[0]
        if joined.log == "requests":
            self._request(joined)
            return joined
        reader = self._reader
        if not reader.take(joined):
            if joined.severity in ERRORS:
                self._loud(joined)
            elif joined.severity == "WARNING" and joined.trace_id in self._traces:
                self.warned[joined.trace_id] = _lean(joined, first_line(joined)[:_SAID])
        if reader.ended:
            for group, cause in reader.closed():
                self._ended(group, cause)
        return joined

    def finish(self) -> Joined:
        """Once all are taken: what is kept of them."""
        for group, cause in self._reader.rest():
            self._ended(group, cause)
        self.exceptions.sort(key=lambda one: one.at)
        kept = [*self._kept, *(one.entries[0] for one in self.exceptions)]
        kept.sort(key=lambda entry: (entry.timestamp, entry.insert_id))
        by_attempt: dict[tuple[str, int], list[LogEntry]] = {}
        joiner = Joiner(self.attempts)
        for entry in kept:
            if entry.trace_id is None and entry.tests:
                tests = frozenset(entry.tests)
                for one in joiner.running(entry.timestamp):
                    if one.id in tests:
                        by_attempt.setdefault((one.id, one.attempt), []).append(entry)
        return Joined(tuple(kept), by_attempt, total=self.total)

    def _request(self, entry: LogEntry) -> None:
        request, is_test = entry.request or {}, entry.trace_id in self._traces
        status = request.get("status")
        broken = isinstance(status, int) and status >= 500 and entry.trace_id not in self.uncounted
        if not broken:
            if not is_test:
                return
            agent = request.get("user_agent")
            like = self._alike.get((status, agent))
            if like is None:
                like = self._alike[status, agent] = {"status": status, "user_agent": agent}
            entry = LogEntry(
                entry.timestamp, entry.severity, entry.log, entry.service, entry.revision, entry.message,
                entry.insert_id, entry.trace_id, None, like, entry.tests, entry.iteration,
            )  # fmt: skip
        if is_test:
            self.requests.append(entry)
        if broken:
            self._kept.append(entry)
            self.groups.failed_request(entry)

    def _loud(self, entry: LogEntry) -> None:
        self.groups.loud(entry)
        self._kept.append(_lean(entry, first_line(entry)[:_SAID]))

    def _ended(self, entries: tuple[LogEntry, ...], cause: RootCause | None) -> None:
        if cause is None:  # lines that only looked like the beginning of a trace
            for entry in entries:
                if entry.severity in ERRORS:
                    self._loud(entry)
            return
        self.groups.exception(cause, entries)
        first = entries[0]
        traced = next((entry for entry in entries if entry.trace_id), first)
        lean = LogEntry(
            traced.timestamp, first.severity, traced.log, traced.service, traced.revision, "", traced.insert_id,
            traced.trace_id, None, traced.request, traced.tests, traced.iteration, traced.instance, traced.joined,
        )  # fmt: skip
        self.exceptions.append(Thrown(cause, (lean,)))


def _lean(entry: LogEntry, message: str) -> LogEntry:
    return replace(entry, message=message, payload=None)


def reviewed(entries: Iterable[LogEntry], sources: Mapping[str, Source]) -> ErrorGroups:
    """The error groups of `entries`, given in the order of time."""
    review = Review((), sources)
    for entry in entries:
        review.take(entry)
    review.finish()
    return review.groups
