"""Reads what the revisions under test logged into the journal, page by page, from where an earlier reading stood.

Nothing is held but the keys of the newest entries: those of the time that is read once more because entries come late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

from netra_loop.clock import Beginning, from_rfc3339, rfc3339
from netra_loop.cloud.base import IN_PIECES, Cloud, LogPage, LogQuery
from netra_loop.core.collecting import uncollected
from netra_loop.core.events import LogsRead
from netra_loop.core.joining import Footprint, Joiner, footprint
from netra_loop.core.records import Batch, LogEntry, LogEntryDraft
from netra_loop.core.redact_many import redact_many
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.log_seen import Key, Seen, key_of
from netra_loop.values import dataclass

_EARLY = timedelta(seconds=5)  # a revision logs before its deploy is acknowledged
_LATE_S = 10.0  # between an entry's writing and its being readable, and between clocks
_AT_ONCE = 50  # tests whose evidence is read at one time

_OfTime = tuple[tuple[str, ...], str | None, Sequence[Footprint]]


@dataclass(frozen=True)
class Sweep:
    """What one reading brought: `fresh` entries; `late`: some of them were older than what had been read before."""

    fresh: int
    late: bool


class Reading:
    """The logs of one iteration. `begin` it, then `sweep` as often as is good; a crash loses nothing, and the next
    reading goes on a little before the last page that was stored.

    `ended`: no test runs any more. While some do, entries are joined to tests by trace alone, and the rest is left to
    whoever looks at them later.
    """

    def __init__(
        self,
        context: PhaseContext,
        cloud: Cloud,
        revisions: Sequence[str],
        severity: str | None = None,
        *,
        ended: bool = True,
    ) -> None:
        self._context = context
        self._cloud = cloud
        self._severity = severity
        self.revisions = tuple(revisions)
        self._began = Beginning(context.clock, context.state().iteration_since)
        self._newest: datetime | None = None
        self._seen = Seen()
        self._unfinished: set[Key] = set()
        self._owners = Owners(context, ended=ended)
        self._fresh = 0  # of the sweep under way

    async def begin(self) -> None:
        """Finds out what earlier readings stored. What lies beyond their cursor was merely seen to come by while tests
        ran (`following`): it is read like everything else, and counted and joined then.
        """
        context = self._context
        cursor = context.state().logs_cursor
        if not cursor:
            return
        self._newest = newest = _instant(cursor)
        pages = context.journal.entry_pages(context.session, context.iteration, since=self._since())
        async for page in pages:
            known = [entry for entry in page if newest is None or entry.timestamp <= newest]
            parts = {key_of(entry) for entry in known if entry.insert_id.startswith(IN_PIECES)}
            self._unfinished |= parts  # or whole: it may come again
            self._seen.add([entry for entry in known if key_of(entry) not in parts] if parts else known, self._since)

    async def sweep(self, waiting: set[str], give_up: float = math.inf) -> Sweep:
        """Reads all that can be read, from a little before the newest entry known on; takes off `waiting` the traces
        whose request it saw.

        Raises OutOfReads where a read would have to wait beyond `give_up` for its turn while traces are waited for. A
        sweep that brought something, or saw them all, is read to its end: what it brings is worth the wait.
        """
        known = self._newest
        self._fresh, late = 0, False
        await self._owners.look()
        query = replace(self._query(self._since()), give_up=lambda: self._until(waiting, give_up))
        async for page in self._cloud.entries(query):
            _see(page.entries, waiting)
            ours, is_test = self.revisions, self._owners.has
            new = self._seen.new([entry for entry in page.entries if entry.revision in ours or is_test(entry.trace_id)])
            late = late or (known is not None and any(entry.timestamp < known for entry in new))
            self._fresh += await self._store(new, page)
        return Sweep(self._fresh, late)

    def _until(self, waiting: set[str], give_up: float) -> float:
        return give_up if waiting and not self._fresh else math.inf

    async def look_for(self, waiting: set[str], since: datetime, give_up: float = math.inf) -> None:
        """Takes off `waiting` the traces whose request can be read by now; stores nothing. Raises OutOfReads where a
        read would have to wait beyond `give_up` for its turn.
        """
        query = replace(self._query(since), traces=tuple(sorted(waiting)), give_up=lambda: give_up)
        async with aclosing(cast("Any", self._cloud.entries(query))) as pages:
            async for page in pages:
                _see(page.entries, waiting)
                if not waiting:
                    return

    def cursor(self) -> str:
        """The newest entry's time, as the journal has it; empty before there was any."""
        return "" if self._newest is None else rfc3339(self._newest)

    def _query(self, since: datetime) -> LogQuery:
        services = tuple(self._context.state().revisions)
        return LogQuery(self.revisions, since, severity=self._severity, services=services)

    def _since(self) -> datetime:
        """A request's entry carries its start but comes after its end, so what is read again depends on the slowest."""
        began, started = self._began.at(), self._context.state().iteration_started_at
        start = began - _EARLY
        if self._newest is None or (started is not None and started - began > _EARLY):
            return start  # where the clock was set back, the newest entry need not be the one with the latest time
        again = timedelta(seconds=self._context.state().slowest_request_s + _LATE_S)
        return max(start, self._newest - again)

    def _is_ours(self, entry: LogEntry) -> bool:
        """Of what other revisions answered only the tests' own requests are kept."""
        return entry.revision in self.revisions or self._owners.has(entry.trace_id)

    async def _store(self, new: list[LogEntry], page: LogPage) -> int:
        """Commits a page's entries and the place it ends at together; how many were not known before."""
        parts = [entry for entry in page.unfinished if self._is_ours(entry)]
        if page.entries:
            newest = max([entry.timestamp for entry in page.entries])
            self._newest = newest if self._newest is None else max(self._newest, newest)
        if not new and not parts:
            return 0
        told, unfinished = {key_of(entry) for entry in parts}, self._unfinished
        count = len(new) + len(told)
        if unfinished:
            count -= sum(key in unfinished for key in (*map(key_of, new), *told))
        slowest_s = max([self._context.state().slowest_request_s, 0.0, *_latencies_s(page.entries)])
        await self._owners.look_at([*new, *parts])
        with uncollected():
            stored = self._as_stored([*new, *parts])
        fact = LogsRead(entries=count, cursor=self.cursor() or page.cursor, slowest_s=slowest_s)
        events = (self._context.stamp(fact),) if count else ()
        await self._context.record(Batch(events=events, entries=tuple(stored)))
        if unfinished or told:
            self._unfinished = unfinished.difference(map(key_of, new)) | told
        self._seen.add(new, self._since)
        return count

    def _as_stored(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """`entries` without secrets, with their tests and their iteration."""
        said = list(map(_said, entries))
        clean = redact_many(self._context.redactor, said)
        iteration, owners = self._context.iteration, self._owners
        of_trace, of_time = owners.by_trace(), owners.by_time()
        stored: list[LogEntry] = []
        for old, before, after in zip(entries, said, clean, strict=True):
            new: Any = LogEntryDraft()  # each field by itself: a copy takes twice the time, one by name four times
            new.timestamp, new.severity, new.log = old.timestamp, old.severity, old.log
            new.service, new.revision, new.instance = old.service, old.revision, old.instance
            new.insert_id, new.iteration = old.insert_id, iteration
            new.message, new.payload, new.request = old.message, old.payload, old.request
            if after is not before:
                new.message, new.payload, new.request = _unsaid(old, after)
            new.trace_id = trace_id = old.trace_id
            if trace_id:
                new.tests, new.joined = of_trace.get(trace_id, ()), None
            else:
                new.tests, new.joined, _ = of_time(old)
            new.__class__ = LogEntry
            stored.append(new)
        return stored


class Owners:
    """The tests that entries may belong to: their evidence is asked for where an entry without a trace needs it."""

    def __init__(self, context: PhaseContext, *, ended: bool) -> None:
        self._context = context
        self._ended = ended
        self._traces: frozenset[str] = frozenset()
        self._known: dict[tuple[str, int], Footprint] = {}
        self._whole: set[str] = set()
        self._in_order: dict[str, int] = {}
        self._joiner = Joiner(())

    async def look(self) -> None:
        """Finds out which tests there are, once they have ended; each time while they run."""
        if self._ended and self._known:
            return
        context = self._context
        attempts = await context.journal.attempts(context.session, context.iteration)
        self._traces = frozenset(attempt.trace_id for attempt in attempts)
        self._known = {
            (one.id, one.attempt): Footprint(one.id, one.attempt, one.trace_id, one.started_at, 0.0) for one in attempts
        }
        if self._ended:
            for result in await context.journal.results(context.session, context.iteration, bodies=False):
                self._known[result.id, result.attempt] = footprint(result)
        self._joiner = Joiner(self._known.values())
        by_start = sorted(self._known.values(), key=lambda one: one.started_at)
        self._in_order = {name: place for place, name in enumerate(dict.fromkeys(one.id for one in by_start))}

    def has(self, trace_id: str | None) -> bool:
        """Whether that is the trace of a test."""
        return trace_id in self._traces

    async def look_at(self, entries: Sequence[LogEntry]) -> None:
        """Makes ready for `of_time` of these."""
        if self._ended:
            running = self._joiner.running_at([entry.timestamp for entry in entries if not entry.trace_id])
            await self._read({one.id for now in running for one in now} - self._whole)

    def by_trace(self) -> Mapping[str, tuple[str, ...]]:
        """The tests that the entries of each trace belong to."""
        return self._joiner.by_trace

    def by_time(self) -> Callable[[LogEntry], _OfTime]:
        """What tells of an entry without a trace which tests it belongs to, by what, and which attempts those are."""
        return self._joiner.tests_of if self._ended else _of_nobody

    async def _read(self, wanted: AbstractSet[str]) -> None:
        """Reads the evidence of these tests; and of some that began next, which the next entries will ask for."""
        if not wanted:
            return
        context = self._context
        tests = sorted(wanted, key=self._in_order.__getitem__)
        after = islice(self._in_order, self._in_order[tests[-1]] + 1, None)
        tests += islice((test for test in after if test not in self._whole), -len(tests) % _AT_ONCE)
        for begin in range(0, len(tests), _AT_ONCE):
            some = tests[begin : begin + _AT_ONCE]
            whole = await context.journal.results(context.session, context.iteration, test=some)
            self._joiner.learn(map(footprint, whole))
        self._whole.update(tests)


def _of_nobody(_: LogEntry) -> _OfTime:
    return (), None, ()


def _said(entry: LogEntry) -> Any:
    """All that may hold a secret: a payload whose message is the entry's own, a message that is alone, or all three."""
    message, payload, request = entry.message, entry.payload, entry.request
    if request is not None:
        return message, payload, request
    if payload is None:
        return message
    return payload if payload.get("message") is message else (message, payload, None)


def _unsaid(entry: LogEntry, clean: Any) -> tuple[str, dict[str, Any] | None, dict[str, Any] | None]:
    """Message, payload and request, of what is left of `_said`."""
    if type(clean) is tuple:
        message, payload, request = clean
        return message, payload, request
    if entry.payload is None:
        return clean, None, None
    return str(clean["message"]), clean, None


def _see(entries: Iterable[LogEntry], waiting: set[str]) -> None:
    if waiting:
        waiting.difference_update(entry.trace_id for entry in entries if entry.log == "requests" and entry.trace_id)


def _latencies_s(entries: Iterable[LogEntry]) -> list[float]:
    return [float(entry.request.get("latency_s") or 0.0) for entry in entries if entry.request is not None]


def _instant(text: str) -> datetime | None:
    """The time that a cursor says; None for none, or one of an earlier version that said something else."""
    try:
        return from_rfc3339(text)
    except ValueError:
        return None
