"""What an append says to the database, inside a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from netra_loop.core.events import Recorded
from netra_loop.core.records import Batch, LogEntry, Result
from netra_loop.errors import StoreError
from netra_loop.journal import chain, codec, entry_rows
from netra_loop.journal import tables as t
from netra_loop.journal.base import SessionHead
from netra_loop.journal.codec import Row, Values
from netra_loop.journal.sql import Connection
from netra_loop.values import dataclass

T = TypeVar("T")
EntryKey = tuple[str, str, str]

_AT_ONCE = 500  # rows: ten thousand are not all held once more beside what they are made of
_END = ("last_seq", "last_hash")
_KEY_AND_TESTS = ("log", "timestamp", "insert_id", "tests", "iteration")
_JUDGE = t.results.update(codec.JUDGED_COLUMNS, "WHERE session = ? AND iteration = ? AND id = ? AND attempt = ?")
_JOIN = t.entries.update(("tests",), "WHERE session = ? AND log = ? AND timestamp = ? AND insert_id = ?")
_KEY = itemgetter(*map(t.entries.names.index, _KEY_AND_TESTS[:3]))
_TIME, _ID = (itemgetter(t.entries.names.index(name)) for name in ("timestamp", "insert_id"))
_KNOWN = t.entries.select("WHERE session = ? AND timestamp BETWEEN ? AND ?", _KEY_AND_TESTS)


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


def insert_session(connection: Connection, head: SessionHead, epoch: int | None, owner: str | None) -> None:
    """A new row in `sessions`, its chain empty. StoreError where the id exists. Epoch None: nobody owns it yet."""
    if connection.first("SELECT id FROM sessions WHERE id = ?", (head.id,)):
        raise StoreError(f"session {head.id!r} exists already", hint=f"netra-loop resume {head.id}")
    from netra_loop.journal.forgetting import forget_rows  # not for those who only look

    forget_rows(connection, head.id)
    ordinal = connection.scalar("SELECT coalesce(max(ordinal), 0) FROM sessions") + 1
    if epoch is None:
        epoch = connection.scalar("SELECT epochs FROM store_identity")
    row = codec.head_to_row(head) | {"ordinal": ordinal, "epoch": epoch, "last_seq": 0, "last_hash": chain.GENESIS}
    row |= {"owner": owner}
    connection.run(t.sessions.insert, [row[name] for name in t.sessions.names])


def place_of(connection: Connection, session: str) -> Place:
    """The session's place, its row locked until the transaction ends. StoreError where there is no such session."""
    asked = "SELECT epoch, last_seq, last_hash, loop, owner FROM sessions WHERE id = ?"
    found = connection.locked(asked, (session,))
    if found is None:
        raise StoreError(f"session {session!r} is not in the store", hint="netra-loop list")
    return Place(*found)


def raise_epoch(connection: Connection, session: str, owner: str, known: int) -> int:
    """The next epoch, already the session's own, and `owner`'s, where the session exists. It is above any that one of
    this name had, were it removed or, as is `known`, put back to an earlier time.
    """
    found = connection.locked("SELECT epoch FROM sessions WHERE id = ?", (session,))
    epoch: int = 1 + max(known, found[0] if found else connection.scalar("SELECT epochs FROM store_identity"))
    connection.run("UPDATE sessions SET epoch = ?, owner = ? WHERE id = ?", (epoch, owner, session))
    return epoch


def write_batch(
    connection: Connection, session: str, place: Place, batch: Batch, head: SessionHead | None, at: datetime
) -> Written:
    """Everything in `batch`, and the head, after `place`."""
    rows = chain.rows_for(session, place.seq, place.hash, at, batch.events)
    if rows:
        connection.many(t.events.insert, ([row[name] for name in t.events.names] for row in rows))
    _write_rows(connection, session, place.loop, batch)
    seq, digest = (rows[-1]["seq"], rows[-1]["hash"]) if rows else (place.seq, place.hash)
    changed: Row = codec.head_to_row(head) if head is not None else {}
    connection.run(t.sessions.update((*changed, *_END), "WHERE id = ?"), (*changed.values(), seq, digest, session))
    return Written(tuple(chain.recorded(session, row) for row in rows), seq, digest)


def _write_rows(connection: Connection, session: str, loop: str, batch: Batch) -> None:
    if batch.selected is not None:
        iteration = chain.iteration_of(batch, batch.selected_iteration)
        connection.run(t.selection.delete("WHERE session = ? AND iteration = ?"), (session, iteration))
        chosen = (codec.selected_values(session, iteration, item) for item in batch.selected)
        connection.many(t.selection.upsert, chosen)
    if batch.findings is not None:
        iteration = chain.iteration_of(batch, batch.findings_iteration)
        connection.run(t.findings.delete("WHERE session = ? AND iteration = ?"), (session, iteration))
        found = (codec.finding_values(session, iteration, place, item) for place, item in enumerate(batch.findings))
        connection.many(t.findings.upsert, found)
    if batch.started:
        connection.many(t.attempts.upsert, (codec.attempt_values(session, item) for item in batch.started))
    if batch.results:
        connection.many(t.results.upsert, (codec.result_values(session, item) for item in batch.results))
    if timed := codec.duration_rows(batch):
        connection.many(t.durations.upsert, ((loop, row["id"], row["duration_s"]) for row in timed))
    if batch.entries:
        _store_entries(connection, session, batch.entries)
    for results in _batched(batch.judged):
        connection.many(_JUDGE, [_judged(session, item) for item in results])
    for entries in _batched(batch.joined):
        _join(connection, session, entries)


def _store_entries(connection: Connection, session: str, entries: Sequence[LogEntry]) -> None:
    """One row for each entry, having taken over what earlier copies of it know."""
    written = entry_rows.entries_values(session, entries)
    times = list(map(_TIME, written))
    known = _known(connection, session, min(times), max(times))
    if known or len(set(map(_ID, written))) < len(written):
        written = _told_together(list(map(_KEY, written)), written, known)
    connection.many(t.entries.upsert, written)


def _told_together(keys: Sequence[EntryKey], written: Sequence[Values], known: dict[EntryKey, Row]) -> list[Values]:
    rows: dict[EntryKey, Values] = {}
    for key, values in zip(keys, written, strict=True):
        before = known.get(key) or (_named(rows[key]) if key in rows else None)
        rows[key] = values
        if before is not None:
            known[key] = entry_rows.joined(before, _named(values))
            rows[key] = tuple(known[key][name] for name in t.entries.names)
    return list(rows.values())


def _named(values: Values) -> Row:
    return dict(zip(t.entries.names, values, strict=True))


def _known(connection: Connection, session: str, first: str, last: str) -> dict[EntryKey, Row]:
    """What is stored of the entries of a time."""
    found = (dict(zip(_KEY_AND_TESTS, row, strict=True)) for row in connection.rows(_KNOWN, (session, first, last)))
    return {entry_rows.entry_key(row): row for row in found}


def _join(connection: Connection, session: str, entries: Sequence[LogEntry]) -> None:
    rows = [entry_rows.joined_to_row(entry) for entry in entries]
    times = [row["timestamp"] for row in rows]
    known = _known(connection, session, min(times), max(times))
    changed = [
        (both, session, row["log"], row["timestamp"], row["insert_id"])
        for row in rows
        if (before := known.get(entry_rows.entry_key(row))) is not None
        and (both := entry_rows.tests_of_both(before, row)) != before["tests"]
    ]
    connection.many(_JOIN, changed)


def _judged(session: str, item: Result) -> Values:
    return (*codec.judged_values(item), session, item.iteration, codec.clean(item.id), item.attempt)


def _batched(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[begin : begin + _AT_ONCE] for begin in range(0, len(rows), _AT_ONCE))
