"""Reads what the revisions under test logged into the journal, page by page, from where an earlier reading stood.

Nothing is held but the keys of the newest entries: those of the time that is read once more because entries come late.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
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
from netra_loop.core.records import Batch, LogEntry
from netra_loop.core.redact_many import redact_many
from netra_loop.phases.base import PhaseContext
from netra_loop.values import dataclass

_EARLY = timedelta(seconds=5)  # a revision logs before its deploy is acknowledged
_LATE_S = 10.0  # between an entry's writing and its being readable, and between clocks
_AT_ONCE = 50  # tests whose evidence is read at one time
_FEW = 4_000  # keys

_Key = tuple[str, datetime, str]


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
        self._seen: set[_Key] = set()
        self._bound = _FEW
        self._pages: deque[list[_Key]] = deque(maxlen=2)
        self._unfinished: set[_Key] = set()
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
        self._seen = {
            _key(entry) async for page in pages for entry in page if newest is None or entry.timestamp <= newest
        }
        self._unfinished = {key for key in self._seen if key[2].startswith(IN_PIECES)}  # or whole: it may come again
        self._seen -= self._unfinished

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
            seen, ours, is_test = self._seen, self.revisions, self._owners.has
            new = [
                entry
                for entry in page.entries
                if (entry.revision in ours or is_test(entry.trace_id))
                and (not seen or (entry.log, entry.timestamp, entry.insert_id) not in seen)
            ]
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
        whole, told = list(map(_key, new)), set(map(_key, parts))
        count = len(whole) + len(told) - sum(key in self._unfinished for key in (*whole, *told) if self._unfinished)
        slowest_s = max([self._context.state().slowest_request_s, 0.0, *_latencies_s(page.entries)])
        await self._owners.look_at([*new, *parts])
        with uncollected():
            stored = self._as_stored([*new, *parts])
        fact = LogsRead(entries=count, cursor=self.cursor() or page.cursor, slowest_s=slowest_s)
        events = (self._context.stamp(fact),) if count else ()
        await self._context.record(Batch(events=events, entries=tuple(stored)))
        self._unfinished = (self._unfinished - set(whole)) | told
        self._know(whole)
        return count

    def _as_stored(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """`entries` without secrets, with their tests and their iteration."""
        said = [(_own_message(entry), entry.payload, entry.request) for entry in entries]
        clean = redact_many(self._context.redactor, said)
        iteration, of_trace, of_time = self._context.iteration, self._owners.of_trace, self._owners.of_time
        stored = []
        for old, before, after in zip(entries, said, clean, strict=True):
            message, payload, request, trace_id = old.message, old.payload, old.request, old.trace_id
            if after is not before:
                own, payload, request = after
                message = own if own is not None else str((payload or {})["message"])
            tests, by = (of_trace(trace_id), None) if trace_id else of_time(old)
            stored.append(
                LogEntry(  # by place: a copy by name takes twice the time
                    old.timestamp, old.severity, old.log, old.service, old.revision, message, old.insert_id,
                    trace_id, payload, request, tests, iteration, old.instance, by,
                )
            )  # fmt: skip
        return stored

    def _know(self, keys: list[_Key]) -> None:
        """Keeps the keys of what may come once more: of the time that is read again, and of the last two pages."""
        self._seen.update(keys)
        self._pages.append(keys)
        if len(self._seen) > self._bound:
            since = self._since()
            self._seen = {key for key in self._seen if key[1] >= since}.union(*self._pages)
            self._bound = max(_FEW, 2 * len(self._seen))


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
            tests: set[str] = set()
            before: Sequence[Footprint] = ()
            running = self._joiner.running
            for instant in [entry.timestamp for entry in entries if not entry.trace_id]:
                if (now := running(instant)) is not before:
                    tests.update(one.id for one in now)
                    before = now
            await self._read(tests - self._whole)

    def of_trace(self, trace_id: str) -> tuple[str, ...]:
        """The tests that an entry of that trace belongs to."""
        return self._joiner.by_trace.get(trace_id, ())

    def of_time(self, entry: LogEntry) -> tuple[tuple[str, ...], str | None]:
        """The tests that `entry`, which has no trace, belongs to, and by what."""
        if not self._ended:
            return (), None
        tests, by, _ = self._joiner.tests_of(entry)
        return tests, by

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


def _key(entry: LogEntry) -> _Key:
    return entry.log, entry.timestamp, entry.insert_id


def _own_message(entry: LogEntry) -> str | None:
    """The message; None where it is the payload's own, so that it need not be looked at twice."""
    payload, message = entry.payload, entry.message
    return None if payload is not None and payload.get("message") is message else message


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
