"""Following log entries as they come: TailLogEntries, opened again whenever it ends, and pages where there is none.

For looking on alone. Whoever judges reads the list once the tests have ended: a tail leaves out what comes too fast,
and knows nothing of what was written while it was not open.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import grpc.aio
from google.cloud.logging_v2.types import TailLogEntriesRequest, TailLogEntriesResponse

from netra_loop.clock import Clock
from netra_loop.cloud.base import LogQuery
from netra_loop.cloud.google_link import Link
from netra_loop.cloud.google_logs import entry_from, filter_of
from netra_loop.cloud.google_reads import LogReader
from netra_loop.cloud.google_refusals import API_ERRORS, Caller, asked_pause_s, refused
from netra_loop.cloud.log_pieces import Pieces
from netra_loop.cloud.log_reads import TELL_FROM_S, OnWait, ReadBudget, process_budget, unheard
from netra_loop.core.records import LogEntry
from netra_loop.errors import CloudCallFailed
from netra_loop.values import dataclass

Missed = Callable[[int], None]  # so many entries were left out

_WHAT = "following log entries"
_BUFFER = timedelta(seconds=0.5)  # entries of so long come together, in order
_STREAM_LIMIT_S = 1800.0  # our own; Google's is about an hour
_STEADY_S = 30.0  # a stream that lived so long did not fail: the next one is opened at once
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_OVERLAP = timedelta(seconds=2.0)  # read once more when a stream follows another
_LATE = timedelta(seconds=10.0)  # the same of pages, which are read up to now
_LOOK_EVERY_S = 5.0
_READS_LEFT = 15  # reads that following leaves to those who judge
_WINDOW = 10_000  # entries known to be given already
_NO_TAIL = {"UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"}  # pages may be had all the same
_EOF: Any = cast("Any", grpc.aio).EOF
_ENDS = {"OK", "OUT_OF_RANGE", "DEADLINE_EXCEEDED"}  # a stream's end that is nobody's fault


@dataclass
class _Given:
    """What was given already, as far as it may come once more. `cut`: the list was not read to its end."""

    since: datetime
    cut: bool = False
    keys: dict[tuple[str, datetime, str], None] = field(default_factory=dict)

    def fresh(self, entries: Iterable[LogEntry]) -> tuple[LogEntry, ...]:
        """Those of `entries` that were not given before; they are from now on."""
        new = []
        for entry in entries:
            key = entry.log, entry.timestamp, entry.insert_id
            if key not in self.keys:
                self.keys[key] = None
                new.append(entry)
                self.since = max(self.since, entry.timestamp)
        while len(self.keys) > _WINDOW:
            del self.keys[next(iter(self.keys))]
        return tuple(new)


class LogTail:
    """Follows the entries of one project. Opening a stream counts as a read of `budget`, as Google counts it; whatever
    else is read here leaves at least half of the budget to others.
    """

    def __init__(
        self,
        link: Link,
        reader: LogReader,
        clock: Clock,
        project: str,
        *,
        on_wait: OnWait | None = None,
        budget: ReadBudget | None = None,
    ) -> None:
        self._link = link
        self._reader = reader
        self._clock = clock
        self._project = project
        self._on_wait = on_wait or unheard
        self._budget = budget or process_budget()

    async def entries(
        self, query: LogQuery, missed: Missed | None = None
    ) -> AsyncGenerator[tuple[LogEntry, ...], None]:
        """See `Cloud.tail`."""
        given = _Given(query.since)
        failures, renewed, again = 0, False, False
        while True:
            began = self._clock.monotonic()
            try:
                async with aclosing(self._stream(query, given, missed, again=again)) as stream:
                    async for some in stream:
                        failures, renewed = 0, False
                        yield some
                ended = CloudCallFailed(_WHAT, "OK", "the stream ended", retryable=True)
            except CloudCallFailed as error:
                ended = error
            again = True
            if ended.code in _NO_TAIL:
                break
            if ended.code == "UNAUTHENTICATED" and not renewed:
                renewed = True
                await self._renew()
            elif not ended.retryable and ended.code not in _ENDS:
                raise ended
            failures = 0 if self._clock.monotonic() - began > _STEADY_S else failures + 1
            await self._pause(ended, failures)
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            async with aclosing(self._read(query, given, _LATE)) as pages:
                async for some in pages:
                    yield some

    async def _stream(
        self, query: LogQuery, given: _Given, missed: Missed | None, *, again: bool
    ) -> AsyncGenerator[tuple[LogEntry, ...], None]:
        """What one stream tells. One that follows another begins with what came between them."""
        pieces = Pieces()
        async with aclosing(self._responses(query)) as responses:
            await anext(responses)  # it is open
            if again:
                async with aclosing(self._read(query, given, _OVERLAP)) as between:
                    async for some in between:
                        yield some
            async for response in responses:
                lost = sum(info.suppressed_count for info in response.suppression_info)
                if lost and missed is not None:
                    missed(lost)
                some = given.fresh(pieces.put_together(response.entries, entry_from))
                if some:
                    yield some

    async def _responses(self, query: LogQuery) -> AsyncGenerator[Any, None]:
        """The responses of one stream, as protobuf messages; before them None, once it is open. Raises
        CloudCallFailed; closing it ends the call at once, and leaves nothing behind that still waits.
        """
        request = TailLogEntriesRequest(
            resource_names=[f"projects/{self._project}"],
            filter=filter_of(query, self._project),
            buffer_window=_BUFFER,
        )
        await self._link.ready()
        await self._budget.turn()
        call: Any = None
        try:
            # Written to by hand: an iterator of requests would have to be ended, in step, from the outside.
            call = await cast("Any", self._link.logging).tail_log_entries(
                retry=None, timeout=_STREAM_LIMIT_S, metadata=self._link.stream_metadata
            )
            await call.write(request)
            yield None
            while (response := await call.read()) is not _EOF:
                yield TailLogEntriesResponse.pb(response)
        except API_ERRORS as error:
            raise refused(_WHAT, error, Caller(self._project, self._link.principal)) from error
        finally:
            if call is not None:
                call.cancel()

    async def _read(
        self, query: LogQuery, given: _Given, overlap: timedelta
    ) -> AsyncGenerator[tuple[LogEntry, ...], None]:
        """What can be listed by now and was not given yet, as far as reads are to be had: the rest comes next time, or
        once the list is read for good.
        """
        if self._budget.left() <= _READS_LEFT:
            return
        since = given.since if given.cut else max(query.since, given.since - overlap)
        given.cut = False
        try:
            async with aclosing(cast("Any", self._reader.entries(replace(query, since=since)))) as pages:
                async for page in pages:
                    if some := given.fresh(page.entries):
                        yield some
                    given.cut = not page.last and self._budget.left() <= _READS_LEFT
                    if given.cut:
                        return
        except CloudCallFailed as error:
            if not error.retryable:
                raise

    async def _renew(self) -> None:
        try:
            await self._link.renew()
        except API_ERRORS as error:
            raise refused(_WHAT, error, Caller(self._project, self._link.principal)) from error

    async def _pause(self, ended: CloudCallFailed, failures: int) -> None:
        """Before the next stream: hardly any after one that lived, with full jitter up to half a minute else."""
        longest_s = min(_FIRST_PAUSE_S * 2.0 ** min(failures, 16), _LONGEST_PAUSE_S)
        pause_s = asked_pause_s(ended.__cause__) + random.uniform(0, longest_s)  # noqa: S311  # jitter is no secret
        if pause_s >= TELL_FROM_S:
            await self._on_wait(f"the stream of log entries ended ({ended.code}), it is opened again", pause_s)
        await self._clock.sleep(pause_s)
