"""The journal in a database: one writer connection in a thread of its own, one reader connection in another.

Each append is one `BEGIN IMMEDIATE` transaction of the writer, synced to disk before it returns. The reader sees what
is committed and never waits for the writer, so that `status` in another process works while a run writes. `writing` and
`reading` hold the statements, for every database alike; what is SQLite's alone is in `sqlite`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from netra_loop.clock import Clock, SystemClock
from netra_loop.core.events import Recorded
from netra_loop.core.records import AttemptStarted, Batch, Finding, LogEntry, Result, Selected, Sighting
from netra_loop.errors import Defect, StaleEpoch, StoreDamaged
from netra_loop.journal import chain, onlooking, reading, writing
from netra_loop.journal.base import (
    Counted,
    Holder,
    Journal,
    Mark,
    News,
    SessionHead,
    Standing,
    StoreIdentity,
    Verified,
    check_id,
    choose,
)
from netra_loop.journal.ground import Ground, Lane, Lock, Work
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.sql import Connection
from netra_loop.journal.sqlite import BUSY_TIMEOUT_S, SqliteFile, path_of
from netra_loop.settings import is_server
from netra_loop.values import dataclass

if TYPE_CHECKING:
    from netra_loop.journal import verifying

T = TypeVar("T")
_CLOSING_S = 2.0  # for a server that does not answer any more
_PAGES_GROW = 16  # the first page is to be there at once, the later ones are to be few


def open_store(
    url: str, *, clock: Clock | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S, make: bool = True
) -> Journal:
    """The journal that `url` names: `sqlite:///PATH`, a plain path or `postgresql://…`; made where there is none yet,
    unless `make` is false, for who only looks: StoreError then.

    A file and its folder are checked before either is touched: StoreError or StoreDamaged (exit 5) where they cannot be
    used; a server is asked by the first call, which then raises the same. UsageError for a URL of another kind. `clock`
    stamps events; `busy_timeout_s` is how long a write waits for another program's lock on a file. Close the journal
    when done.
    """
    return StoredJournal(_ground(url, busy_timeout_s, make=make), clock or SystemClock())


def _ground(url: str, busy_timeout_s: float, *, make: bool) -> Ground:
    if is_server(url):
        from netra_loop.journal.postgres import PostgresGround  # costs what only a shared store is worth

        return PostgresGround(url, make=make)
    return SqliteFile(path_of(url), busy_timeout_s=busy_timeout_s, make=make)


class _Thread:
    """A lane and the only thread that may use it."""

    def __init__(self, lane: Lane, name: str) -> None:
        self.lane = lane
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"journal-{name}")

    def submit(self, work: Callable[[], T]) -> Future[T]:
        return self._thread.submit(work)

    async def close(self) -> None:
        await _settled(self.submit(self.lane.close))
        self._thread.shutdown()


async def _settled(future: Future[T], *, may_skip: bool = False) -> T:
    """The result of `future`, not returning before it has one, cancelled or not.

    With `may_skip`, cancelling takes back what the thread has not begun yet.
    """
    waiting = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError as error:
            cancelled = error
            if may_skip:
                future.cancel()
    if cancelled is None:
        return waiting.result()
    failure = None if waiting.cancelled() else waiting.exception()
    raise cancelled from failure


@dataclass
class _Owned:
    lock: Lock
    epoch: int = 0
    said: Acknowledged | None = None  # what this owner was told is durable

    def check(self, session: str, place: writing.Place) -> None:
        """StaleEpoch where another owns the session now."""
        if (place.epoch, place.owner) != (self.epoch, self.lock.owner):
            raise StaleEpoch(session, self.epoch, place.epoch)


class StoredJournal:
    """`Journal` in a database; see there for every promise. Made by `open_store`."""

    def __init__(self, ground: Ground, clock: Clock) -> None:
        self._ground = ground
        self._clock = clock
        self._writer = _Thread(ground.lane(writer=True), "writer")
        self._reader = _Thread(ground.lane(writer=False), "reader")
        self._owned: dict[str, _Owned] = {}  # touched by the writer's thread alone
        self._closed = False

    # ------------------------------------------------------------------------------------------------ writing

    async def create(self, head: SessionHead, first: Batch) -> tuple[Recorded, ...]:
        """See `Journal.create`."""
        check_id(head.id)
        return await self._write(partial(self._create, head, first))

    async def append(self, session: str, batch: Batch, head: SessionHead | None = None) -> tuple[Recorded, ...]:
        """See `Journal.append`."""
        if head is not None and head.id != session:
            raise Defect(f"the head of session {head.id!r} was given for {session!r}")
        return await self._write(partial(self._append, session, batch, head))

    def _create(self, head: SessionHead, first: Batch) -> tuple[Recorded, ...]:
        owned = self._owned.get(head.id)

        def work(connection: Connection) -> writing.Written:
            writing.insert_session(connection, head, *((owned.epoch, owned.lock.owner) if owned else (None, None)))
            place = writing.Place(epoch=0, seq=0, hash=chain.GENESIS, loop=head.loop)
            return writing.write_batch(connection, head.id, place, first, None, self._clock.now())

        written = self._writer.lane.transaction(work, session=head.id, lock=owned.lock if owned else None)
        return self._told(owned, written)

    def _append(self, session: str, batch: Batch, head: SessionHead | None) -> tuple[Recorded, ...]:
        owned = self._owned.get(session)
        if owned is None:
            raise Defect(f"an append to session {session!r} by a process that does not own it")

        def work(connection: Connection) -> writing.Written:
            place = writing.place_of(connection, session)
            owned.check(session, place)
            reading.check_end(session, place.seq, place.hash, owned.said)
            return writing.write_batch(connection, session, place, batch, head, self._clock.now())

        return self._told(owned, self._writer.lane.transaction(work, session=session, lock=owned.lock))

    def _told(self, owned: _Owned | None, written: writing.Written) -> tuple[Recorded, ...]:
        if owned is not None and written.recorded:
            owned.lock.acknowledge(written.seq, written.hash)
            owned.said = Acknowledged(written.seq, written.hash)
        return written.recorded

    # ------------------------------------------------------------------------------------------------ ownership

    def own(self, session: str, *, takeover: bool = False) -> AbstractAsyncContextManager[int]:
        """See `Journal.own`."""
        return self._own(session, takeover)

    @asynccontextmanager
    async def _own(self, session: str, takeover: bool) -> AsyncIterator[int]:
        owned = _Owned(self._ground.lock(session, self._clock))
        try:
            yield await self._write(partial(self._take, session, owned, takeover))
        finally:
            if not self._closed:
                await _settled(self._writer.submit(partial(self._release, session, owned)))

    def _take(self, session: str, owned: _Owned, takeover: bool) -> int:
        owned.lock.take(takeover=takeover)
        known, highest = owned.lock.acknowledged(), owned.lock.epoch()

        def work(connection: Connection) -> int:
            owned.lock.confirm(connection)
            reading.check_acknowledged(connection, session, known)
            return writing.raise_epoch(connection, session, owned.lock.owner, highest)

        owned.epoch = self._writer.lane.transaction(work, session=session, lock=owned.lock)
        owned.lock.seat(owned.epoch)
        self._owned[session] = owned
        return owned.epoch

    def _release(self, session: str, owned: _Owned) -> None:
        if self._owned.get(session) is owned:
            del self._owned[session]
        owned.lock.release()

    async def holder(self, session: str) -> Holder | None:
        """See `Journal.holder`."""
        self._check_open()
        return await asyncio.wrap_future(self._reader.submit(partial(self._ground.holder, session, self._reader.lane)))

    async def ask_to_stop(self, session: str) -> bool:
        """See `Journal.ask_to_stop`."""
        asked = None
        while (holder := await self.holder(session)) is not None and holder.owner != asked:
            # and once more where another took the session while it was asked of the one before
            asked = holder.owner
            await self._write(partial(self._ground.ask_to_stop, session, asked, self._writer.lane))
        return asked is not None

    async def asked_to_stop(self, session: str) -> None:
        """See `Journal.asked_to_stop`."""
        # a store that is away is asked again a little later, and nobody's turn is taken meanwhile
        await self._ground.asked_to_stop(session, self._owned[session].lock.owner, partial(self._read, patient=False))

    # ------------------------------------------------------------------------------------------------ reading

    async def events(self, session: str, after: int = 0) -> list[Recorded]:
        """See `Journal.events`."""

        def work(connection: Connection) -> list[Recorded]:
            return reading.events(connection, session, after, known)

        known = self._ground.acknowledged(session)  # before the snapshot is taken: the store may only be ahead of it
        try:
            return await self._read(work)
        except StoreDamaged:
            if self._is_still_known({session: known} if known else {}):
                raise
            return await self.events(session)

    async def verify(self, session: str) -> int:
        """See `Journal.verify`."""
        return len(await self.events(session))

    async def verify_all(self, session: str, told: verifying.Told = lambda _done, _of: None) -> Verified:
        """See `Journal.verify_all`."""
        from netra_loop.journal import verifying  # not for every start of a command

        known = self._ground.acknowledged(session)
        return await self._read(partial(verifying.verify, session=session, known=known, told=told))

    async def verify_form(self) -> None:
        """See `Journal.verify_form`."""
        from netra_loop.journal import verifying  # as above

        await self._read(verifying.verify_form)

    async def sessions(self) -> list[SessionHead]:
        """See `Journal.sessions`."""
        known = self._ground.all_acknowledged()
        try:
            return await self._read(partial(reading.sessions, known=known))
        except StoreDamaged:
            if self._is_still_known(known):
                raise
            return await self.sessions()

    def _is_still_known(self, known: Mapping[str, Acknowledged]) -> bool:
        """Whether all of it still holds: what was acknowledged of a session that is pruned goes before the session."""
        now = {session: self._ground.acknowledged(session) for session in known}
        return all((found := now[session]) is not None and found.seq >= end.seq for session, end in known.items())

    async def head(self, session: str) -> SessionHead | None:
        """See `Journal.head`."""
        return await self._read(partial(reading.head, session=session))

    async def identity(self) -> StoreIdentity:
        """See `Journal.identity`."""
        found = await self._read(lambda connection: connection.scalar("SELECT id FROM store_identity"))
        if found is None:
            raise StoreDamaged(
                f"store {self._ground.at!r} has lost the row that tells it from others; it is left untouched",
                hint="put a backup in its place",
            )
        return StoreIdentity(str(found), self._ground.at)

    async def find(self, name: str) -> SessionHead:
        """See `Journal.find`."""
        return choose(name, await self.sessions())

    async def selection(self, session: str, iteration: int, *, tests: Sequence[str] | None = None) -> list[Selected]:
        """See `Journal.selection`."""
        if tests is not None:
            return await self._read(partial(onlooking.selected, session=session, iteration=iteration, tests=tests))
        return await self._read(partial(reading.selection, session=session, iteration=iteration))

    async def attempts(self, session: str, iteration: int) -> list[AttemptStarted]:
        """See `Journal.attempts`."""
        return await self._read(partial(reading.attempts, session=session, iteration=iteration))

    async def results(
        self,
        session: str,
        iteration: int | None = None,
        *,
        test: str | Sequence[str] | None = None,
        bodies: bool = True,
    ) -> list[Result]:
        """See `Journal.results`."""
        tests = [test] if isinstance(test, str) else test
        return await self._read(
            partial(reading.results, session=session, iteration=iteration, tests=tests, bodies=bodies)
        )

    async def result_pages(self, session: str, iteration: int, size: int = 500) -> AsyncIterator[list[Result]]:
        """See `Journal.result_pages`."""
        most = _PAGES_GROW * size
        for read in (onlooking.placed_page, onlooking.unplaced_page):
            after: onlooking.Place | None = ()
            while after is not None:
                page, after = await self._read(
                    partial(read, session=session, iteration=iteration, after=after, size=size)
                )
                size = min(2 * size, most)
                if page:
                    yield page

    async def counted(self, session: str, iteration: int) -> Counted:
        """See `Journal.counted`."""
        return await self._read(partial(onlooking.counted, session=session, iteration=iteration))

    async def standing(
        self, session: str, iteration: int, until: Mark, newest: int, *, since: datetime | None = None
    ) -> Standing:
        """See `Journal.standing`."""
        read = onlooking.standing
        return await self._read(
            partial(read, session=session, iteration=iteration, until=until, newest=newest, since=since)
        )

    async def under_way(
        self, session: str, iteration: int, until: Mark, *, since: datetime | None = None
    ) -> list[AttemptStarted]:
        """See `Journal.under_way`."""
        return await self._read(
            partial(onlooking.under_way, session=session, iteration=iteration, until=until, since=since)
        )

    async def named(self, session: str, iteration: int, part: str) -> list[str]:
        """See `Journal.named`."""
        return await self._read(partial(onlooking.named, session=session, iteration=iteration, part=part))

    async def count(self, session: str, iteration: int) -> int:
        """See `Journal.count`."""
        return await self._read(partial(reading.count, session=session, iteration=iteration))

    async def entries(self, session: str, iteration: int | None = None, *, limit: int | None = None) -> list[LogEntry]:
        """See `Journal.entries`."""
        return await self._read(partial(reading.entries, session=session, iteration=iteration, limit=limit))

    async def entry_pages(
        self,
        session: str,
        iteration: int,
        size: int = 500,
        *,
        since: datetime | None = None,
        lean: bool = False,
        quiet: bool = True,
    ) -> AsyncIterator[list[LogEntry]]:
        """See `Journal.entry_pages`."""
        after: LogEntry | None = None
        while page := await self._read(
            partial(
                reading.entry_page,
                session=session,
                iteration=iteration,
                after=after,
                size=size,
                since=since,
                lean=lean,
                quiet=quiet,
            )
        ):
            after = page[-1]
            yield page

    async def findings(self, session: str, iteration: int | None = None) -> list[Finding]:
        """See `Journal.findings`."""
        return await self._read(partial(reading.findings, session=session, iteration=iteration))

    async def sightings(self, loop: str, signatures: Sequence[str]) -> list[Sighting]:
        """See `Journal.sightings`."""
        return await self._read(partial(reading.sightings, loop=loop, signatures=signatures))

    async def durations(self, loop: str) -> dict[str, float]:
        """See `Journal.durations`."""
        return await self._read(partial(reading.durations, loop=loop))

    async def mark(self, session: str) -> Mark:
        """See `Journal.mark`."""
        return await self._read(partial(reading.mark, session=session))

    async def news(self, session: str, since: Mark) -> News:
        """See `Journal.news`."""
        known = self._ground.acknowledged(session)
        return await self._read(partial(reading.news, session=session, since=since, known=known))

    # ------------------------------------------------------------------------------------------------ lanes

    async def _write(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await _settled(self._writer.submit(work), may_skip=True)

    async def _read(self, work: Work[T], *, patient: bool = True) -> T:
        self._check_open()
        reading = partial(self._reader.lane.transaction, work, patient=patient)
        return await asyncio.wrap_future(self._reader.submit(reading))

    def _check_open(self) -> None:
        if self._closed:
            raise Defect("the journal was used after it was closed")

    async def forget(self, session: str) -> None:
        """See `Journal.forget`."""
        await self._write(partial(self._forget_head, session))
        await self._forget_rows(session)

    def _forget_head(self, session: str) -> None:
        from netra_loop.journal.forgetting import forget_head  # as above

        owned = self._owned.get(session)
        if owned is None:
            raise Defect(f"session {session!r} was to be removed by a process that does not own it")

        def work(connection: Connection) -> None:
            place = writing.place_of(connection, session)
            owned.check(session, place)
            forget_head(connection, session, place.epoch)

        owned.lock.forget()
        try:
            self._writer.lane.transaction(work, session=session, lock=owned.lock)
        except BaseException:
            owned.lock.remember()
            raise

    async def _forget_rows(self, session: str) -> None:
        from netra_loop.journal.forgetting import forget_some  # as above

        some = partial(forget_some, session=session)
        while await self._write(partial(self._writer.lane.transaction, some)):
            continue

    async def reclaim(self) -> int:
        """See `Journal.reclaim`."""
        from netra_loop.journal.forgetting import strays  # as above

        for session in await self._read(strays):
            await self._forget_rows(session)
        return await self._write(partial(self._ground.reclaim, self._writer.lane))

    async def snapshot(self, within_s: float, *, due: bool = False) -> str | None:
        """See `Journal.snapshot`."""
        self._check_open()
        with ThreadPoolExecutor(1, thread_name_prefix="journal-snapshot") as thread:
            return await _settled(thread.submit(partial(self._ground.snapshot, within_s, due=due)))

    def hurry(self, within_s: float) -> None:
        """See `Journal.hurry`."""
        self._ground.hurry(within_s)

    async def close(self) -> None:
        """See `Journal.close`."""
        if self._closed:
            return
        self._closed = True
        self._ground.hurry(_CLOSING_S)
        await self._reader.close()  # first: the last one to close moves the -wal into the file, which a reader cannot
        await _settled(self._writer.submit(self._release_all))
        await self._writer.close()
        self._ground.close()

    def _release_all(self) -> None:
        for session, owned in list(self._owned.items()):
            self._release(session, owned)
