"""A session read from end to end: the chain of its events, and every row beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain, codec, reading
from netra_loop.journal import tables as t
from netra_loop.journal.base import Verified
from netra_loop.journal.ownership import Acknowledged

_AT_ONCE = 500  # rows

BESIDE: Mapping[str, Callable[[Any], object]] = {
    "selection": codec.selected_from_row,
    "attempts": codec.attempt_from_row,
    "results": codec.result_from_row,
    "entries": codec.entry_from_row,
    "findings": codec.finding_from_row,
}


def verify(connection: sa.Connection, session: str, known: Acknowledged | None) -> Verified:
    """What the session holds, all of it read. StoreDamaged names the first event or row that is not what was written,
    StoreError where there is no such session.
    """
    events = reading.events(connection, session, 0, known)
    head = connection.execute(sa.select(t.sessions.c.last_hash).where(t.sessions.c.id == session)).scalar_one()
    rows = sum(_read(connection, session, table) for table in BESIDE)
    return Verified(len(events), head or chain.GENESIS, rows)


def _read(connection: sa.Connection, session: str, name: str) -> int:
    table = t.metadata.tables[name]
    asked = sa.select(table).where(table.c.session == session).execution_options(yield_per=_AT_ONCE)
    number = 0
    for row in t.rows(connection, asked):
        check(session, name, row)
        number += 1
    return number


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
