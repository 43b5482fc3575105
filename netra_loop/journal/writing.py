"""What an append says to the database, inside a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from netra_loop.core.events import Recorded
from netra_loop.core.records import Batch, LogEntry, Result
from netra_loop.errors import StoreError
from netra_loop.journal import chain, codec, forgetting
from netra_loop.journal import tables as t
from netra_loop.journal.base import SessionHead
from netra_loop.journal.codec import Row

T = TypeVar("T")
EntryKey = tuple[str, str, str]

_AT_ONCE = 500  # rows: ten thousand are not all held once more beside what they are made of


@dataclass(frozen=True)
class Place:
    """Where a session's chain ends, whose epoch it is in (by its number, and the name that its owner gave itself), and
    its loop's name.
    """

    epoch: int
    seq: int
    hash: str
    loop: str
    owner: str | None = None


@dataclass(frozen=True)
class Written:
    """What a batch came to: its events in their places, and the new end of the chain."""

    recorded: tuple[Recorded, ...]
    seq: int
    hash: str


def insert_session(connection: sa.Connection, head: SessionHead, epoch: int | None, owner: str | None) -> None:
    """A new row in `sessions`, its chain empty. StoreError where the id exists. Epoch None: nobody owns it yet."""
    if connection.execute(sa.select(t.sessions.c.id).where(t.sessions.c.id == head.id)).first():
        raise StoreError(f"session {head.id!r} exists already", hint=f"netra-loop resume {head.id}")
    forgetting.forget_rows(connection, head.id)
    ordinal = connection.execute(sa.select(sa.func.coalesce(sa.func.max(t.sessions.c.ordinal), 0))).scalar_one() + 1
    if epoch is None:
        epoch = connection.execute(sa.select(t.identity.c.epochs)).scalar_one()
    row = codec.head_to_row(head) | {"ordinal": ordinal, "epoch": epoch, "last_seq": 0, "last_hash": chain.GENESIS}
    row |= {"owner": owner}
    connection.execute(sa.insert(t.sessions), [row])


def place_of(connection: sa.Connection, session: str) -> Place:
    """The session's place, its row locked until the transaction ends. StoreError where there is no such session."""
    c = t.sessions.c
    found = connection.execute(
        sa.select(c.epoch, c.last_seq, c.last_hash, c.loop, c.owner).where(c.id == session).with_for_update()
    ).first()
    if found is None:
        raise StoreError(f"session {session!r} is not in the store", hint="netra-loop list")
    return Place(found.epoch, found.last_seq, found.last_hash, found.loop, found.owner)


def raise_epoch(connection: sa.Connection, session: str, owner: str, known: int) -> int:
    """The next epoch, already the session's own, and `owner`'s, where the session exists. It is above any that one of
    this name had, were it removed or, as is `known`, put back to an earlier time.
    """
    c = t.sessions.c
    asked = sa.select(c.epoch).where(c.id == session).with_for_update()
    found: int | None = connection.execute(asked).scalar()
    if found is None:
        found = connection.execute(sa.select(t.identity.c.epochs)).scalar_one()
    epoch = max(found, known) + 1
    connection.execute(sa.update(t.sessions).where(c.id == session).values(epoch=epoch, owner=owner))
    return epoch


def write_batch(
    connection: sa.Connection, session: str, place: Place, batch: Batch, head: SessionHead | None, at: datetime
) -> Written:
    """Everything in `batch`, and the head, after `place`."""
    rows = chain.rows_for(session, place.seq, place.hash, at, batch.events)
    if rows:
        connection.execute(sa.insert(t.events), rows)
    _write_rows(connection, session, place.loop, batch)
    seq, digest = (rows[-1]["seq"], rows[-1]["hash"]) if rows else (place.seq, place.hash)
    changed: Row = codec.head_to_row(head) if head is not None else {}
    connection.execute(
        sa.update(t.sessions).where(t.sessions.c.id == session).values(changed | {"last_seq": seq, "last_hash": digest})
    )
    return Written(tuple(chain.recorded(session, row) for row in rows), seq, digest)


def _write_rows(connection: sa.Connection, session: str, loop: str, batch: Batch) -> None:
    if batch.selected is not None:
        iteration = chain.iteration_of(batch, batch.selected_iteration)
        _forget(connection, t.selection, session, iteration)
        _upsert(connection, t.selection, (codec.selected_to_row(session, iteration, item) for item in batch.selected))
    if batch.findings is not None:
        iteration = chain.iteration_of(batch, batch.findings_iteration)
        _forget(connection, t.findings, session, iteration)
        found = [codec.finding_to_row(session, iteration, place, item) for place, item in enumerate(batch.findings)]
        _upsert(connection, t.findings, found)
    _upsert(connection, t.attempts, [codec.attempt_to_row(session, item) for item in batch.started])
    _upsert(connection, t.results, (codec.result_to_row(session, item) for item in batch.results))
    _upsert(connection, t.durations, [{"loop": loop, **row} for row in codec.duration_rows(batch)])
    _store_entries(connection, session, batch.entries)
    _judge(connection, session, batch.judged)
    _join(connection, session, batch.joined)


def _forget(connection: sa.Connection, table: sa.Table, session: str, iteration: int) -> None:
    connection.execute(sa.delete(table).where(table.c.session == session, table.c.iteration == iteration))


def _store_entries(connection: sa.Connection, session: str, entries: Sequence[LogEntry]) -> None:
    """One row for each entry, having taken over what earlier copies of it know."""
    if not entries:
        return
    written = [codec.entry_values(session, entry) for entry in entries]
    keys: list[EntryKey] = [(values[2], values[1], values[3]) for values in written]
    times = [values[1] for values in written]
    known = _known(connection, session, min(times), max(times))
    different = set(keys)
    if len(different) < len(keys) or not different.isdisjoint(known):
        written = _told_together(keys, written, known)
    text = _entries_text(connection.dialect)
    if text is None:
        _upsert(connection, t.entries, map(_named, written))
        return
    for some in _batched(written):
        connection.exec_driver_sql(text, list(some))


def _told_together(
    keys: Sequence[EntryKey], written: Sequence[tuple[Any, ...]], known: dict[EntryKey, Row]
) -> list[tuple[Any, ...]]:
    rows: dict[EntryKey, tuple[Any, ...]] = {}
    for key, values in zip(keys, written, strict=True):
        before = known.get(key) or (_named(rows[key]) if key in rows else None)
        rows[key] = values
        if before is not None:
            known[key] = codec.joined(before, _named(values))
            rows[key] = tuple(known[key][name] for name in codec.ENTRY_COLUMNS)
    return list(rows.values())


def _named(values: tuple[Any, ...]) -> Row:
    return dict(zip(codec.ENTRY_COLUMNS, values, strict=True))


@lru_cache(maxsize=4)
def _entries_text(dialect: sa.Dialect) -> str | None:
    """The statement for entries as the driver takes it, with values by place; None where it takes them by name.

    What SQLAlchemy does for each row takes as long as SQLite does to store it.
    """
    compiled: Any = _statement(dialect.name, t.entries).compile(dialect=dialect)  # type: ignore[attr-defined]
    return str(compiled) if tuple(compiled.positiontup or ()) == codec.ENTRY_COLUMNS else None


def _known(connection: sa.Connection, session: str, first: str, last: str) -> dict[EntryKey, Row]:
    """What is stored of the entries of a time."""
    c = t.entries.c
    asked = sa.select(c.log, c.timestamp, c.insert_id, c.tests, c.iteration).where(
        c.session == session, c.timestamp.between(first, last)
    )
    return {codec.entry_key(row): row for row in t.rows(connection, asked)}


def _judge(connection: sa.Connection, session: str, results: Sequence[Result]) -> None:
    for some in _batched(results):
        connection.execute(_judging(), [_judged(session, item) for item in some])


def _join(connection: sa.Connection, session: str, entries: Sequence[LogEntry]) -> None:
    for some in _batched(entries):
        rows = [codec.joined_to_row(entry) for entry in some]
        times = [row["timestamp"] for row in rows]
        known = _known(connection, session, min(times), max(times))
        changed = [
            {"in_session": session, "of": row["log"], "at": row["timestamp"], "known": row["insert_id"], "both": both}
            for row in rows
            if (before := known.get(codec.entry_key(row))) is not None
            and (both := codec.tests_of_both(before, row)) != before["tests"]
        ]
        if changed:
            connection.execute(_joining(), changed)


def _judged(session: str, item: Result) -> Row:
    place = {"in_session": session, "of": item.iteration, "test": codec.clean(item.id), "number": item.attempt}
    return {**place, **{f"new_{name}": value for name, value in codec.judged_to_row(item).items()}}


@cache
def _judging() -> sa.Executable:
    c, bound = t.results.c, sa.bindparam
    places = {c.session: "in_session", c.iteration: "of", c.id: "test", c.attempt: "number"}
    changed: Row = {name: bound(f"new_{name}") for name in ("authenticity", "reasons", "symptom")}
    return sa.update(t.results).where(*(column == bound(name) for column, name in places.items())).values(changed)


@cache
def _joining() -> sa.Executable:
    c, bound = t.entries.c, sa.bindparam
    places = {c.session: "in_session", c.log: "of", c.timestamp: "at", c.insert_id: "known"}
    where = (column == bound(name) for column, name in places.items())
    return sa.update(t.entries).where(*where).values(tests=bound("both"))


def _batched(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[begin : begin + _AT_ONCE] for begin in range(0, len(rows), _AT_ONCE))


def _upsert(connection: sa.Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    left = iter(rows)
    while some := list(islice(left, _AT_ONCE)):
        connection.execute(_statement(connection.dialect.name, table), some)


@lru_cache(maxsize=64)
def _statement(dialect: str, table: sa.Table) -> sa.Executable:
    """Made once: making one takes longer than writing a few rows with it."""
    # only the dialect that is used: each costs 2 MB. Their inserts have the same two methods, though no common type
    statement: Any = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    made: sa.Executable = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    return made
