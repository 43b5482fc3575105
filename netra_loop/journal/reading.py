"""What the journal asks the database, inside a transaction that the caller opened: one snapshot for each question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, TypeVar

import sqlalchemy as sa

from netra_loop.core.events import Recorded
from netra_loop.core.records import AttemptStarted, Finding, LogEntry, Result, Selected
from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain, codec
from netra_loop.journal import tables as t
from netra_loop.journal.base import Mark, News, SessionHead
from netra_loop.journal.ownership import Acknowledged

T = TypeVar("T")

_NEWS = 1000  # rows of a kind that are given at one time


def sessions(connection: sa.Connection, known: Mapping[str, Acknowledged]) -> list[SessionHead]:
    """Every head, newest first. StoreDamaged where one of `known`, the acknowledged ones, is not there."""
    rows = t.fetch(connection, sa.select(t.sessions).order_by(t.sessions.c.ordinal.desc()))
    heads = decoded("*", "sessions", rows, codec.head_from_row)
    for session in known.keys() - {head.id for head in heads}:
        raise _lost(session, known[session], 0)
    return heads


def head(connection: sa.Connection, session: str) -> SessionHead | None:
    """The session's head; None where there is no such session."""
    rows = t.fetch(connection, sa.select(t.sessions).where(t.sessions.c.id == session))
    return next(iter(decoded(session, "sessions", rows, codec.head_from_row)), None)


def events(connection: sa.Connection, session: str, after: int, known: Acknowledged | None) -> list[Recorded]:
    """The events after number `after`, their chain verified to its end and against what was acknowledged."""
    c = t.events.c
    end = end_of(connection, session, known)
    before = chain.GENESIS
    if after > 0:
        found = connection.execute(sa.select(c.hash).where(c.session == session, c.seq == after)).scalar()
        if found is None and after <= end.seq:
            raise chain.damaged(session, after, "is missing")
        before = found or end.hash
    rows = t.fetch(connection, sa.select(t.events).where(c.session == session, c.seq > after).order_by(c.seq))
    chain.verified(session, rows, after=after, before=before, last_seq=end.seq, last_hash=end.hash)
    return [chain.recorded(session, row) for row in rows]


def end_of(connection: sa.Connection, session: str, known: Acknowledged | None) -> Acknowledged:
    """Where the session's chain ends, by its head, which is not before what was acknowledged. StoreError where there is
    no such session.
    """
    c = t.sessions.c
    found = connection.execute(sa.select(c.last_seq, c.last_hash).where(c.id == session)).first()
    if found is None:
        if known is not None:
            raise _lost(session, known, 0)
        raise StoreError(f"session {session!r} is not in the store", hint="netra-loop list")
    check_acknowledged(connection, session, known)
    return Acknowledged(found.last_seq, found.last_hash)


def check_acknowledged(connection: sa.Connection, session: str, known: Acknowledged | None) -> None:
    """StoreDamaged where the store holds less, or something else, than an owner was once told is durable."""
    if known is None:
        return
    c = t.events.c
    last = connection.execute(sa.select(sa.func.max(c.seq)).where(c.session == session)).scalar() or 0
    if last < known.seq:
        raise _lost(session, known, last)
    found = connection.execute(sa.select(c.hash).where(c.session == session, c.seq == known.seq)).scalar()
    if found != known.hash:
        raise chain.damaged(session, known.seq, "is not the one that was acknowledged")


def check_end(session: str, seq: int, digest: str, known: Acknowledged | None) -> None:
    """StoreDamaged where the chain ends before, or elsewhere than, what its owner was told: a server that fell back to
    an older copy of itself, say.
    """
    if known is not None and seq < known.seq:
        raise _lost(session, known, seq)
    if known is not None and seq == known.seq and digest != known.hash:
        raise chain.damaged(session, seq, "is not the one that was acknowledged")


def _lost(session: str, known: Acknowledged, last: int) -> StoreDamaged:
    error = StoreDamaged(
        f"the store holds {last} events of session {session!r}, {known.seq} were acknowledged: "
        "its -wal was lost, or an older copy put in its place",
        hint="put what was lost back",
    )
    error.lost_of = session
    return error


def selection(connection: sa.Connection, session: str, iteration: int) -> list[Selected]:
    """The selection in its order."""
    c = t.selection.c
    asked = sa.select(t.selection).where(c.session == session, c.iteration == iteration).order_by(c.position, c.id)
    return decoded(session, "selection", t.rows(connection, asked), codec.selected_from_row)


def attempts(connection: sa.Connection, session: str, iteration: int) -> list[AttemptStarted]:
    """The attempts by start."""
    c = t.attempts.c
    asked = sa.select(t.attempts).where(c.session == session, c.iteration == iteration)
    rows = t.rows(connection, asked.order_by(c.started_at, c.attempt, c.id))
    return decoded(session, "attempts", rows, codec.attempt_from_row)


def results(
    connection: sa.Connection, session: str, iteration: int | None, tests: Sequence[str] | None, *, bodies: bool
) -> list[Result]:
    """The results by iteration, place (or start) and attempt."""
    c, s = t.results.c, t.selection.c
    columns = [column for column in t.results.columns if bodies or column.name != "body"]
    placed = t.results.outerjoin(t.selection, sa.and_(s.session == c.session, s.iteration == c.iteration, s.id == c.id))
    asked = sa.select(*columns).select_from(placed).where(c.session == session)
    if iteration is not None:
        asked = asked.where(c.iteration == iteration)
    if tests is not None:
        asked = asked.where(c.id.in_([codec.clean(test) for test in tests]))
    unplaced = s.position.is_(None)
    start = sa.case((unplaced, c.started_at), else_="")
    rows = t.rows(connection, asked.order_by(c.iteration, unplaced, s.position, start, c.attempt, c.id))
    return decoded(session, "results", rows, codec.result_from_row)


def count(connection: sa.Connection, session: str, iteration: int) -> int:
    """Results and entries of the iteration."""
    return sum(
        connection.execute(
            sa.select(sa.func.count()).where(table.c.session == session, table.c.iteration == iteration)
        ).scalar_one()
        for table in (t.results, t.entries)
    )


def entries(connection: sa.Connection, session: str, iteration: int | None, limit: int | None) -> list[LogEntry]:
    """The entries by time; the newest `limit` of them."""
    c = t.entries.c
    asked = sa.select(t.entries).where(c.session == session)
    if iteration is not None:
        asked = asked.where(c.iteration == iteration)
    newest_first = asked.order_by(c.timestamp.desc(), c.log.desc(), c.insert_id.desc()).limit(limit)
    rows = t.rows(connection, newest_first)
    return decoded(session, "entries", rows, codec.entry_from_row)[::-1]


def entry_page(
    connection: sa.Connection,
    session: str,
    iteration: int,
    after: LogEntry | None,
    size: int,
    since: datetime | None = None,
    *,
    lean: bool = False,
) -> list[LogEntry]:
    """The iteration's entries by time, the `size` that follow `after`, from `since` on."""
    values: dict[str, Any] = {"of": session, "iterated": iteration, "size": size}
    if since is not None:
        values["since"] = codec.write_at(since)
    if after is not None:
        values |= {"at": codec.write_at(after.timestamp), "log": after.log, "id": codec.clean(after.insert_id)}
    rows = t.fetch_well_formed(connection, _entry_page(since is not None, after is not None), values)
    return decoded(session, "entries", rows, partial(codec.entry_from_values, lean=lean))


@cache
def _entry_page(since: bool, after: bool) -> sa.Select[Any]:
    c, bound = t.entries.c, sa.bindparam
    asked = sa.select(*(c[name] for name in codec.ENTRY_READ))
    asked = asked.where(c.session == bound("of"), c.iteration == bound("iterated"))
    if since:
        asked = asked.where(c.timestamp >= bound("since"))
    if after:
        place = sa.tuple_(c.timestamp, c.log, c.insert_id)
        asked = asked.where(
            place > sa.tuple_(bound("at", type_=sa.Text), bound("log", type_=sa.Text), bound("id", type_=sa.Text))
        )
    return asked.order_by(c.timestamp, c.log, c.insert_id).limit(bound("size", type_=sa.Integer))


def findings(connection: sa.Connection, session: str, iteration: int | None) -> list[Finding]:
    """The iteration's findings, or the newest iteration's that has any."""
    c = t.findings.c
    newest = sa.select(sa.func.max(c.iteration)).where(c.session == session).scalar_subquery()
    asked = sa.select(t.findings).where(
        c.session == session, c.iteration == (newest if iteration is None else iteration)
    )
    rows = t.fetch(connection, asked.order_by(c.position, c.id))
    return decoded(session, "findings", rows, codec.finding_from_row)


def durations(connection: sa.Connection, loop: str) -> dict[str, float]:
    """The last known duration of each test of the loop."""
    c = t.durations.c
    return {
        row.id: row.duration_s for row in connection.execute(sa.select(t.durations).where(c.loop == codec.clean(loop)))
    }


def mark(connection: sa.Connection, session: str) -> Mark:
    """Where the session ends now."""
    c = t.sessions.c
    seq = connection.execute(sa.select(c.last_seq).where(c.id == session)).scalar() or 0
    return Mark(seq, *(_end(connection, table, session) for table in (t.attempts, t.results, t.entries)))


def news(connection: sa.Connection, session: str, since: Mark, known: Acknowledged | None) -> News:
    """What was stored behind `since`."""
    found = events(connection, session, since.events, known)
    attempts, attempts_end = _new(connection, t.attempts, session, since.attempts, t.attempts.columns.keys())
    light = [name for name in t.results.columns.keys() if name != "body"]  # noqa: SIM118  # not a dict
    results, results_end = _new(connection, t.results, session, since.results, light)
    entries, entries_end = _new(connection, t.entries, session, since.entries, t.entries.columns.keys())
    return News(
        Mark(found[-1].seq if found else since.events, attempts_end, results_end, entries_end),
        found,
        decoded(session, "attempts", attempts, codec.attempt_from_row),
        decoded(session, "results", results, codec.result_from_row),
        decoded(session, "entries", entries, codec.entry_from_row),
        more=_NEWS in {len(attempts), len(results), len(entries)},
    )


def _end(connection: sa.Connection, table: sa.Table, session: str) -> int:
    """The place of the row stored last. SQLite counts them over all sessions, and an upsert keeps a row's place."""
    place = _place(connection)
    asked = sa.select(sa.func.max(place)).select_from(table)
    if not _is_sqlite(connection):  # others commit there at the same time, in another order than that of places
        asked = asked.where(table.c.session == session)
    return int(connection.execute(asked).scalar() or 0)


def _new(
    connection: sa.Connection, table: sa.Table, session: str, after: int, columns: Sequence[str]
) -> tuple[list[dict[str, Any]], int]:
    """The session's rows behind place `after`, so many at most, and the place to go on behind."""
    end, place = _end(connection, table, session), _place(connection)
    if end <= after:
        return [], after
    # the plus: read by place, not by the session's own index; elsewhere there is an index for both
    ours: sa.ColumnElement[str] = table.c.session
    if _is_sqlite(connection):
        ours = sa.literal_column(f"+{table.name}.session")
    asked = sa.select(place.label("place"), *(table.c[name] for name in columns))
    found = t.fetch(connection, asked.where(after < place, ours == session).order_by(place).limit(_NEWS))
    return found, found[-1]["place"] if len(found) == _NEWS else end


def _place(connection: sa.Connection) -> sa.ColumnClause[int]:
    """Where a row stands in the order of storing: SQLite's own number, or a column of that name."""
    return sa.literal_column("rowid" if _is_sqlite(connection) else "place", sa.BigInteger)


def _is_sqlite(connection: sa.Connection) -> bool:
    return connection.dialect.name == "sqlite"


def decoded(session: str, table: str, rows: Iterable[Any], decode: Callable[[Any], T]) -> list[T]:
    """Each row read by `decode`; StoreDamaged where one is not what was written."""
    try:
        return [decode(row) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(
            f"a row of {table!r} of session {session!r} is not what was written: {error}; the store is left untouched",
            hint="keep a copy of the store and put a backup in its place",
        ) from error
