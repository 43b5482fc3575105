"""Whole copies of a SQLite store, kept beside it: `snapshots/<store>-<number>-<time>.db`. How they are read, which is
the newest good one, and what to type to go on with it. Numbers give the order, whatever the clocks said.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sqlite3
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import methodcaller
from pathlib import Path
from typing import Any

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain, locks
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.tables import APPLICATION_ID, SCHEMA
from netra_loop.values import dataclass

FOLDER = "snapshots"
_ONLY_MORE = ("attempts", "results", "entries")  # whose rows stay as long as their session does
_NAME = re.compile(r"(?P<store>.+)-(?P<number>\d{6,})-\d{8}T\d{6}Z\.db")


@dataclass(frozen=True)
class Snapshot:
    """A copy whose reading back went well. `ends` has the number of events, and the last one's hash, of each session;
    `at` is when it was made, for people.
    """

    path: Path
    at: str
    ends: dict[str, tuple[int, str]]

    def __str__(self) -> str:
        events, sessions = sum(count for count, _ in self.ends.values()), len(self.ends)
        return f"the snapshot of {self.at} ({sessions} session{'' if sessions == 1 else 's'}, {events} events)"


class TooLong(Exception):
    """The time allowed is over."""


class Deadline:
    """An instant of the monotonic clock, None for never; one that `moves` may be brought forward to now, in any
    thread.
    """

    def __init__(self, at: float | None = None, *, moves: bool = False) -> None:
        self._at = at
        self._moves = moves
        self.is_where_it_was = True

    def bring_forward(self) -> None:
        """It is now, if it moves."""
        if self._moves:
            self._at, self.is_where_it_was = 0.0, False

    def is_over(self) -> bool:
        """Whether it is later than that."""
        return self._at is not None and time.monotonic() > self._at

    def check(self) -> None:
        """TooLong once it is over."""
        if self.is_over():
            raise TooLong


def named(store: Path) -> list[Path]:
    """What may be a snapshot of the store at `store`, by its name, the newest last."""
    found = []
    for path in (store.parent / FOLDER).glob("*.db"):
        parts = _NAME.fullmatch(path.name)
        if parts and parts["store"] == store.name:
            found.append(path)
    return sorted(found, key=number)


def number(path: Path) -> int:
    """A snapshot's place among all that were made of its store."""
    parts = _NAME.fullmatch(path.name)
    return int(parts["number"]) if parts else 0


def read(path: Path, *, until: Deadline | None = None, known: Mapping[str, Acknowledged] | None = None) -> Snapshot:
    """Reads a snapshot from its first byte to its last. StoreDamaged where it is no whole store, or one event of it is
    not what was written, or another than the `known` one, which was acknowledged; TooLong where that takes beyond
    `until`. That it holds less than is known is no fault of a snapshot: it is of an earlier time.
    """
    ends: dict[str, tuple[int, str]] = {}
    try:
        with contextlib.closing(_opened(path)) as connection:
            _check_whole(path, connection, until)
            sessions = connection.execute("SELECT id, last_seq, last_hash FROM sessions").fetchall()
            for session, last_seq, last_hash in sessions:
                if until is not None:
                    until.check()
                rows = connection.execute("SELECT * FROM events WHERE session = ? ORDER BY seq", (session,))
                chain.verified(
                    session,
                    _as_acknowledged(session, rows, (known or {}).get(session)),
                    after=0,
                    before=chain.GENESIS,
                    last_seq=last_seq,
                    last_hash=last_hash,
                )
                ends[session] = (last_seq, last_hash)
            made = f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise TooLong from error
        raise _no_snapshot(path, str(error)) from error
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise _no_snapshot(path, str(error)) from error
    return Snapshot(path, made, ends)


def _as_acknowledged(session: str, rows: Iterator[Any], known: Acknowledged | None) -> Iterator[Any]:
    for row in rows:
        if known is not None and row["seq"] == known.seq and row["hash"] != known.hash:
            raise chain.damaged(session, known.seq, "is not the one that was acknowledged")
        yield row


def fewer_rows(newer: Path, older: Path) -> str | None:
    """Where `newer` has fewer rows of a session than `older`, whose chain it continues: of which table, how many; None
    where it has not, or where `older` cannot be read.
    """
    with contextlib.closing(_opened(newer)) as there:
        try:
            with contextlib.closing(_opened(older)) as before:
                ends = before.execute("SELECT id, last_seq, last_hash FROM sessions").fetchall()
                had = {table: _counts(before, table) for table in _ONLY_MORE}
        except (sqlite3.Error, ValueError):
            return None
        has = {table: _counts(there, table) for table in _ONLY_MORE}
        asked = "SELECT hash FROM events WHERE session = ? AND seq = ?"
        for session, seq, digest in ends:
            if there.execute(asked, (session, seq)).fetchall() != [(digest,)]:
                continue  # removed, begun anew, or put back to an earlier time
            for table in _ONLY_MORE:
                left, were = has[table].get(session, 0), had[table].get(session, 0)
                if left < were:
                    return f"the store has {left} rows in {table!r} of session {session!r}, fewer by {were - left}"
    return None


def _counts(connection: sqlite3.Connection, table: str) -> dict[str, int]:
    connection.row_factory = None
    return dict(connection.execute(f"SELECT session, count(*) FROM {table} GROUP BY session").fetchall())  # noqa: S608


def newest_good(store: Path) -> Snapshot | None:
    """The newest snapshot of the store that can be read from end to end and contradicts nothing that was acknowledged;
    None where there is none. One that lacks more of what was acknowledged than an older one comes after it: an earlier
    version also made some of stores that had lost something.
    """
    known = locks.all_acknowledged(store.parent, store.name)
    for path in sorted(named(store), key=lambda path: (_later(_ends(path), known), -number(path))):
        with contextlib.suppress(StoreError, OSError):
            return read(path, known=known)
    return None


def _ends(path: Path) -> dict[str, int]:
    """How many events it says to have of each session, as far as it can be read."""
    try:
        with contextlib.closing(_opened(path)) as connection:
            return {session: int(seq) for session, seq in connection.execute("SELECT id, last_seq FROM sessions")}
    except (sqlite3.Error, ValueError, TypeError):
        return {}


def _later(ends: Mapping[str, int], known: Mapping[str, Acknowledged]) -> int:
    """How many acknowledged events came after what a snapshot has."""
    return sum(max(0, end.seq - ends.get(session, 0)) for session, end in known.items())


def offer(store: Path) -> str | None:
    """What to type to go on with the newest good snapshot of a damaged store; None where there is none."""
    found = newest_good(store)
    if found is None:
        return None
    words = ["netra-loop", "--store", str(store), "journal", "--restore", str(found.path)]
    known = locks.all_acknowledged(store.parent, store.name)
    later = _later({session: seq for session, (seq, _) in found.ends.items()}, known)
    more = f"{later} acknowledged event{'' if later == 1 else 's'}"
    without = f", without {more} that came later" if later else ""
    return f"to go on with {found}{without}: {shlex.join(words)}"


def sync_folder(folder: Path) -> None:
    """What was linked, renamed and removed in it is so after a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_whole(path: Path, connection: sqlite3.Connection, until: Deadline | None) -> None:
    if until is not None:
        connection.set_progress_handler(lambda: int(until.is_over()), 100_000)
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if mark != APPLICATION_ID or schema > SCHEMA:
        raise _no_snapshot(path, f"mark {mark:#010x}, schema {schema}, expected {APPLICATION_ID:#010x}, {SCHEMA}")
    said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise _no_snapshot(path, said)


def _no_snapshot(path: Path, why: str) -> StoreDamaged:
    return StoreDamaged(f"{str(path)!r} is no whole copy of a store: {why}", hint=f"ls -l {path.parent}")


def _opened(path: Path) -> sqlite3.Connection:
    """Nobody writes it, and nothing is made beside it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
    connection.row_factory = sqlite3.Row
    return connection
