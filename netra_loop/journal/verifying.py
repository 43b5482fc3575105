"""A session read from end to end: the chain of its events, and every row beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain, codec, reading
from netra_loop.journal import tables as t
from netra_loop.journal.base import Verified
from netra_loop.journal.codec import Row
from netra_loop.journal.ownership import Acknowledged

Told = Callable[[int, int], None]  # how many rows were read so far, of how many

_AT_ONCE = 100  # rows that are held; one may have some megabytes of output and evidence
_TELL = 5000

BESIDE: Mapping[str, Callable[[Any], object]] = {
    "selection": codec.selected_from_row,
    "attempts": codec.attempt_from_row,
    "results": codec.result_from_row,
    "entries": codec.entry_from_row,
    "findings": codec.finding_from_row,
}


def verify(
    connection: sa.Connection, session: str, known: Acknowledged | None, told: Told = lambda _done, _of: None
) -> Verified:
    """What the session holds, all of it read, little of it held at a time. StoreDamaged names the first event or row
    that is not what was written, StoreError where there is no such session.
    """
    end = reading.end_of(connection, session, known)
    tables = (t.events, *(t.metadata.tables[name] for name in BESIDE))
    total = sum(
        connection.execute(sa.select(sa.func.count()).where(table.c.session == session)).scalar_one()
        for table in tables
    )
    done = 0

    def counted(rows: Iterable[Row]) -> Iterator[Row]:
        nonlocal done
        for row in rows:
            yield row
            done += 1
            if not done % _TELL:
                told(done, total)

    asked = sa.select(t.events).where(t.events.c.session == session).order_by(t.events.c.seq)
    stored = counted(t.rows(connection, asked.execution_options(yield_per=_AT_ONCE)))
    chain.verified(
        session,
        _understood(session, stored),
        after=0,
        before=chain.GENESIS,
        last_seq=end.seq,
        last_hash=end.hash,
    )
    events = done
    for name in BESIDE:
        table = t.metadata.tables[name]
        beside = sa.select(table).where(table.c.session == session).execution_options(yield_per=_AT_ONCE)
        for row in counted(t.rows(connection, beside)):
            check(session, name, row)
    return Verified(events, end.hash or chain.GENESIS, done - events)


def verify_form(connection: sa.Connection) -> None:
    """StoreDamaged where pages or indexes of a SQLite file are not whole: what a damaged index leaves out is in no
    list, though each row that is read is as it was written.
    """
    if connection.dialect.name == "sqlite":
        said = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
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
