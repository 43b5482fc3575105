"""What the journal asks the database, inside a transaction that the caller opened: one snapshot for each question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from netra_loop.core.events import Recorded
from netra_loop.core.records import AttemptStarted, Finding, LogEntry, Result, Selected, Sighting
from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain, codec, entry_rows
from netra_loop.journal import tables as t
from netra_loop.journal.base import Mark, News, SessionHead
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.sql import Connection, several

T = TypeVar("T")

_NEWS = 1000  # rows of a kind that are given at one time
_PLACED = """\
LEFT JOIN selection ON selection.session = results.session AND selection.iteration = results.iteration
AND selection.id = results.id WHERE results.session = ?"""
_IN_PLACE = """\
ORDER BY results.iteration, selection.position IS NULL, selection.position,
CASE WHEN selection.position IS NULL THEN results.started_at ELSE '' END, results.attempt, results.id"""

# The end of a line stands in a payload as JSON has it, in a message as it is.
_QUIET = f"payload IS NOT NULL AND severity IN {entry_rows.QUIET} AND log <> 'requests' AND tests <> '[]'"
_SEEN = """\
SELECT findings.signature, findings.session, sessions.started_at,
min(CASE WHEN findings.state <> 'fixed' THEN findings.iteration END),
max(CASE WHEN findings.state <> 'fixed' THEN findings.iteration END),
max(CASE WHEN findings.state = 'fixed' THEN findings.iteration END)
FROM sessions JOIN findings ON findings.session = sessions.id WHERE sessions.loop = ?"""
_BY_SESSION = """\
GROUP BY findings.signature, findings.session, sessions.started_at, sessions.ordinal
ORDER BY sessions.ordinal, findings.signature"""


def sessions(connection: Connection, known: Mapping[str, Acknowledged]) -> list[SessionHead]:
    """Every head, newest first. StoreDamaged where one of `known`, the acknowledged ones, is not there."""
    rows = connection.all(t.sessions.select("ORDER BY ordinal DESC", codec.HEAD_COLUMNS))
    heads = decoded("*", "sessions", rows, codec.head_from_values)
    for session in known.keys() - {head.id for head in heads}:
        raise _lost(session, known[session], 0)
    return heads


def head(connection: Connection, session: str) -> SessionHead | None:
    """The session's head; None where there is no such session."""
    rows = connection.all(t.sessions.select("WHERE id = ?", codec.HEAD_COLUMNS), (session,))
    return next(iter(decoded(session, "sessions", rows, codec.head_from_values)), None)


def events(connection: Connection, session: str, after: int, known: Acknowledged | None) -> list[Recorded]:
    """The events after number `after`, their chain verified to its end and against what was acknowledged."""
    end = end_of(connection, session, known)
    before = chain.GENESIS
    if after > 0:
        found = _hash_of(connection, session, after)
        if found is None and after <= end.seq:
            raise chain.damaged(session, after, "is missing")
        before = found or end.hash
    asked = t.events.select("WHERE session = ? AND seq > ? ORDER BY seq")
    rows = list(t.events.named(connection.all(asked, (session, after))))
    chain.verified(session, rows, after=after, before=before, last_seq=end.seq, last_hash=end.hash)
    return [chain.recorded(session, row) for row in rows]


def end_of(connection: Connection, session: str, known: Acknowledged | None) -> Acknowledged:
    """Where the session's chain ends, by its head, which is not before what was acknowledged. StoreError where there is
    no such session.
    """
    found = connection.first("SELECT last_seq, last_hash FROM sessions WHERE id = ?", (session,))
    if found is None:
        if known is not None:
            raise _lost(session, known, 0)
        raise StoreError(f"session {session!r} is not in the store", hint="netra-loop list")
    check_acknowledged(connection, session, known)
    return Acknowledged(*found)


def check_acknowledged(connection: Connection, session: str, known: Acknowledged | None) -> None:
    """StoreDamaged where the store holds less, or something else, than an owner was once told is durable."""
    if known is None:
        return
    last = connection.scalar("SELECT max(seq) FROM events WHERE session = ?", (session,)) or 0
    if last < known.seq:
        raise _lost(session, known, last)
    if _hash_of(connection, session, known.seq) != known.hash:
        raise chain.damaged(session, known.seq, "is not the one that was acknowledged")


def _hash_of(connection: Connection, session: str, seq: int) -> str | None:
    found: str | None = connection.scalar("SELECT hash FROM events WHERE session = ? AND seq = ?", (session, seq))
    return found


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


def selection(connection: Connection, session: str, iteration: int) -> list[Selected]:
    """The selection in its order."""
    asked = t.selection.select("WHERE session = ? AND iteration = ? ORDER BY position, id", codec.SELECTED_READ)
    return decoded(session, "selection", connection.rows(asked, (session, iteration)), codec.selected_from_values)


def attempts(connection: Connection, session: str, iteration: int) -> list[AttemptStarted]:
    """The attempts by start."""
    asked = t.attempts.select(
        "WHERE session = ? AND iteration = ? ORDER BY started_at, attempt, id", codec.ATTEMPT_READ
    )
    return decoded(session, "attempts", connection.rows(asked, (session, iteration)), codec.attempt_from_values)


def results(
    connection: Connection, session: str, iteration: int | None, tests: Sequence[str] | None, *, bodies: bool
) -> list[Result]:
    """The results by iteration, place (or start) and attempt."""
    where: list[str] = [_PLACED]
    values: list[Any] = [session]
    if iteration is not None:
        where.append("AND results.iteration = ?")
        values.append(iteration)
    if tests is not None:
        if not tests:
            return []
        where.append(f"AND results.id IN ({several(len(tests))})")
        values += [codec.clean(test) for test in tests]
    read = codec.RESULT_READ if bodies else codec.RESULT_LIGHT
    asked = t.results.select(" ".join((*where, _IN_PLACE)), t.results.of(read))
    return decoded(session, "results", connection.rows(asked, values), codec.result_from_values)


def count(connection: Connection, session: str, iteration: int) -> int:
    """Results and entries of the iteration."""
    here = "WHERE session = ? AND iteration = ?"
    return sum(connection.scalar(table.count(here), (session, iteration)) for table in (t.results, t.entries))


def entries(connection: Connection, session: str, iteration: int | None, limit: int | None) -> list[LogEntry]:
    """The entries by time; the newest `limit` of them."""
    rest = "WHERE session = ?"
    values: list[Any] = [session]
    if iteration is not None:
        rest += " AND iteration = ?"
        values.append(iteration)
    rest += " ORDER BY timestamp DESC, log DESC, insert_id DESC"
    if limit is not None:
        rest += " LIMIT ?"
        values.append(limit)
    rows = connection.rows(t.entries.select(rest, entry_rows.ENTRY_READ), values)
    with understood(session, "entries"):
        return entry_rows.entries_from_values(rows)[::-1]


def entry_page(
    connection: Connection,
    session: str,
    iteration: int,
    after: LogEntry | None,
    size: int,
    since: datetime | None = None,
    *,
    lean: bool = False,
    quiet: bool = True,
) -> list[LogEntry]:
    """The iteration's entries by time, the `size` that follow `after`, from `since` on."""
    values: list[Any] = [session, iteration]
    if since is not None:
        values.append(codec.write_at(since))
    if after is not None:
        values += (codec.write_at(after.timestamp), after.log, codec.clean(after.insert_id))
    place = "strpos" if connection.is_shared else "instr"
    rows = connection.all(_entry_page(since is not None, after is not None, None if quiet else place), (*values, size))
    with understood(session, "entries"):
        return entry_rows.entries_from_values(rows, lean=lean)


@cache
def _entry_page(since: bool, after: bool, place: str | None) -> str:
    """`place` is the database's function for where a text stands in another; None: quiet entries, too."""
    rest = "WHERE session = ? AND iteration = ?"
    if since:
        rest += " AND timestamp >= ?"
    if after:
        rest += " AND (timestamp, log, insert_id) > (?, ?, ?)"
    if place is not None:
        rest += f" AND NOT ({_QUIET} AND {place}(payload, '\\n') = 0 AND {place}(message, '\n') = 0)"
    return t.entries.select(rest + " ORDER BY timestamp, log, insert_id LIMIT ?", entry_rows.ENTRY_READ)


def findings(connection: Connection, session: str, iteration: int | None) -> list[Finding]:
    """The iteration's findings, or the newest iteration's that has any."""
    if iteration is None:
        iteration = connection.scalar("SELECT max(iteration) FROM findings WHERE session = ?", (session,)) or 0
    asked = t.findings.select("WHERE session = ? AND iteration = ? ORDER BY position, id", codec.FINDING_READ)
    return decoded(session, "findings", connection.all(asked, (session, iteration)), codec.finding_from_values)


def sightings(connection: Connection, loop: str, signatures: Sequence[str]) -> list[Sighting]:
    """Where findings of the loop were seen, by session."""
    if not signatures:
        return []
    named = f"AND findings.signature IN ({several(len(signatures))})"
    values = (codec.clean(loop), *map(codec.clean, signatures))
    rows = connection.all(f"{_SEEN} {named} {_BY_SESSION}", values)
    return decoded("*", "findings", rows, codec.sighting_from_values)


def durations(connection: Connection, loop: str) -> dict[str, float]:
    """The last known duration of each test of the loop."""
    return dict(connection.rows("SELECT id, duration_s FROM durations WHERE loop = ?", (codec.clean(loop),)))


def mark(connection: Connection, session: str) -> Mark:
    """Where the session ends now."""
    seq = connection.scalar("SELECT last_seq FROM sessions WHERE id = ?", (session,)) or 0
    return Mark(seq, *(_end(connection, table, session) for table in (t.attempts, t.results, t.entries)))


def news(connection: Connection, session: str, since: Mark, known: Acknowledged | None) -> News:
    """What was stored behind `since`."""
    found = events(connection, session, since.events, known)
    attempts, attempts_end = _new(connection, t.attempts, session, since.attempts, codec.ATTEMPT_READ)
    results, results_end = _new(connection, t.results, session, since.results, codec.RESULT_LIGHT)
    entries, entries_end = _new(connection, t.entries, session, since.entries, entry_rows.ENTRY_READ)
    return News(
        Mark(found[-1].seq if found else since.events, attempts_end, results_end, entries_end),
        found,
        decoded(session, "attempts", attempts, codec.attempt_from_values),
        decoded(session, "results", results, codec.result_from_values),
        decoded(session, "entries", [entries], entry_rows.entries_from_values)[0],
        more=_NEWS in {len(attempts), len(results), len(entries)},
    )


def _end(connection: Connection, table: t.Table, session: str) -> int:
    """The place of the row stored last. SQLite counts them over all sessions, and an upsert keeps a row's place."""
    if connection.is_shared:  # others commit there at the same time, in another order than that of places
        return int(connection.scalar(table.select("WHERE session = ?", ("max(place)",)), (session,)) or 0)
    return int(connection.scalar(table.select("", ("max(rowid)",))) or 0)


def _new(
    connection: Connection, table: t.Table, session: str, after: int, columns: Sequence[str]
) -> tuple[list[tuple[Any, ...]], int]:
    """The session's rows behind place `after`, so many at most, and the place to go on behind."""
    end = _end(connection, table, session)
    if end <= after:
        return [], after
    # the plus: read by place, not by the session's own index; elsewhere there is an index for both
    place, ours = ("place", "session") if connection.is_shared else ("rowid", "+session")
    asked = table.select(f"WHERE {place} > ? AND {ours} = ? ORDER BY {place} LIMIT ?", (*columns, place))
    found = connection.all(asked, (after, session, _NEWS))
    return [row[:-1] for row in found], found[-1][-1] if len(found) == _NEWS else end


def decoded(session: str, table: str, rows: Iterable[Any], decode: Callable[[Any], T]) -> list[T]:
    """Each row read by `decode`; StoreDamaged where one is not what was written."""
    with understood(session, table):
        return [decode(row) for row in rows]


@contextmanager
def understood(session: str, table: str) -> Iterator[None]:
    """StoreDamaged where what the block reads is not what was written."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(
            f"a row of {table!r} of session {session!r} is not what was written: {error}; the store is left untouched",
            hint="keep a copy of the store and put a backup in its place",
        ) from error
