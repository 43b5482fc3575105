"""A session read from end to end: the chain of its events, and every row beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain, codec, entry_rows, reading
from netra_loop.journal import tables as t
from netra_loop.journal.base import Verified
from netra_loop.journal.codec import Row
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.sql import Connection

Told = Callable[[int, int], None]  # how many rows were read so far, of how many

_AT_ONCE = 100  # rows that are held; one may have some megabytes of output and evidence
_TELL = 5000
_WHERE = "WHERE session = ?"

BESIDE: Mapping[str, Callable[[Any], object]] = {
    "selection": codec.selected_from_row,
    "attempts": codec.attempt_from_row,
    "results": codec.result_from_row,
    "entries": entry_rows.entry_from_row,
    "findings": codec.finding_from_row,
}


def verify(
    connection: Connection, session: str, known: Acknowledged | None, told: Told = lambda _done, _of: None
) -> Verified:
    """What the session holds, all of it read, little of it held at a time. StoreDamaged names the first event or row
    that is not what was written, StoreError where there is no such session.
    """
    end = reading.end_of(connection, session, known)
    total = sum(connection.scalar(table.count(_WHERE), (session,)) for table in (t.events, *t.BESIDE))
    done = 0

    def counted(rows: Iterable[Row]) -> Iterator[Row]:
        nonlocal done
        for row in rows:
            yield row
            done += 1
            if not done % _TELL:
                told(done, total)

    def stored(table: t.Table, rest: str) -> Iterator[Row]:
        return counted(table.named(connection.rows(table.select(rest), (session,), at_once=_AT_ONCE)))

    chain.verified(
        session,
        _understood(session, stored(t.events, f"{_WHERE} ORDER BY seq")),
        after=0,
        before=chain.GENESIS,
        last_seq=end.seq,
        last_hash=end.hash,
    )
    events = done
    for table in t.BESIDE:
        for row in stored(table, _WHERE):
            check(session, table.name, row)
    return Verified(events, end.hash or chain.GENESIS, done - events)


def verify_form(connection: Connection) -> None:
    """StoreDamaged where pages or indexes of a SQLite file are not whole: what a damaged index leaves out is in no
    list, though each row that is read is as it was written.
    """
    if not connection.is_shared:
        said = connection.scalar("PRAGMA integrity_check(1)")
        if said != "ok":
            raise StoreDamaged(
                f"the store is not whole: {said}; it is left untouched",
                hint="keep a copy of the store and put a backup in its place",
            )


def _understood(session: str, rows: Iterable[Row]) -> Iterator[Row]:
    """Each row; StoreError where, its hash being right, only a newer version knows what it says."""
    for row in rows:
        yield row
        chain.recorded(session, row)


def check(session: str, table: str, row: Mapping[str, Any]) -> None:
    """StoreDamaged where `row` of that table is not what was written."""
    try:
        BESIDE[table](row)
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        key = row.get("id") or row.get("insert_id")
        raise StoreDamaged(
            f"row {key!r} of {table!r} of session {session!r} is not what was written: {error}; the store is left "
            "untouched",
            hint="keep a copy of the store and put a backup in its place",
        ) from error
