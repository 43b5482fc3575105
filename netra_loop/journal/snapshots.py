"""Whole copies of a SQLite store, kept beside it: `snapshots/<store>-<number>-<time>.db`, the newest three.

A copy is made of one read transaction, in steps, so that neither writers nor readers wait for it. It counts, and an
older one goes, only after it was read back: SQLite's own check, and the chain of every session in it. It lies under
another name until then, so that a kill leaves no half of one. Numbers give the order, whatever the clocks said.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import methodcaller
from pathlib import Path

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import chain
from netra_loop.journal.ownership import own_folder
from netra_loop.journal.tables import APPLICATION_ID, SCHEMA

FOLDER = "snapshots"
KEPT = 3
_SHARE = 20  # copying takes no more than a twentieth of a process's time
_PAGES = 1024  # in one step: 4 MiB, between which the time is looked at
_BYTES_PER_S = 100_000_000  # copied, synced and read back; what a store that certainly takes too long is told by
_SPARE = 64 * 1024 * 1024  # bytes that a copy leaves to those who work
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
        events = sum(count for count, _ in self.ends.values())
        return f"the snapshot of {self.at} ({len(self.ends)} sessions, {events} events)"


class TooLong(Exception):
    """The time allowed is over."""


class Keeper:
    """Makes and keeps the snapshots of the store at `store`. `connect` opens it for reading. For one thread alone."""

    def __init__(self, store: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._store = store
        self._folder = store.parent / FOLDER
        self._connect = connect
        self._next_at = 0.0

    def make(self, within_s: float, *, due: bool = False) -> str | None:
        """Makes one; None once it is made, else why it is not. None, too, where the last one is so recent that another
        would take too much of the process's time, unless `due` says that it is wanted all the same.
        """
        began = time.monotonic()
        if began < self._next_at and not due:
            return None
        try:
            size = self._store.stat().st_size
            if size > within_s * _BYTES_PER_S:
                return f"the store has {size >> 20} MiB, which cannot be copied within {within_s:g} s"
            free = shutil.disk_usage(self._store.parent).free
            if free < size + _SPARE:
                return f"the disk has {free >> 20} MiB left, expected {(size + _SPARE) >> 20} MiB for a copy"
            self._make(began + within_s)
        except TooLong:
            return f"it took longer than {within_s:g} s"
        except (OSError, sqlite3.Error, StoreError, ValueError) as error:
            return str(error)
        finally:
            ended = time.monotonic()
            self._next_at = ended + _SHARE * (ended - began)
        return None

    def _make(self, until: float) -> None:
        own_folder(self._folder)
        self._folder.chmod(0o700)
        with _alone(self._folder) as alone:
            if not alone:  # another process makes one of the same store now
                return
            for left in self._folder.glob(f".{self._store.name}-*.new"):
                left.unlink()  # by a process that was killed
            known = named(self._store)
            draft = self._folder / f".{self._store.name}-{os.getpid()}.new"
            try:
                self._copy(draft, until)
                read(draft, until=until)
                stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"  # for people; the number gives the order
                number = _number(known[-1]) + 1 if known else 1
                draft.rename(self._folder / f"{self._store.name}-{number:06}-{stamp}.db")
            finally:
                draft.unlink(missing_ok=True)
            sync_folder(self._folder)
            for old in named(self._store)[:-KEPT]:
                old.unlink(missing_ok=True)

    def _copy(self, draft: Path, until: float) -> None:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        try:
            with contextlib.closing(self._connect()) as source, contextlib.closing(_blank(draft)) as target:
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it sees one state
                source.backup(target, pages=_PAGES, progress=lambda *_: _in_time(until))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def named(store: Path) -> list[Path]:
    """What may be a snapshot of the store at `store`, by its name, the newest last."""
    found = []
    for path in (store.parent / FOLDER).glob("*.db"):
        parts = _NAME.fullmatch(path.name)
        if parts and parts["store"] == store.name:
            found.append(path)
    return sorted(found, key=_number)


def read(path: Path, *, until: float | None = None) -> Snapshot:
    """Reads a snapshot from its first byte to its last. StoreDamaged where it is no whole store, or one event of it is
    not what was written; TooLong where that takes beyond `until`.
    """
    ends: dict[str, tuple[int, str]] = {}
    try:
        with contextlib.closing(_opened(path)) as connection:
            _check_whole(path, connection, until)
            sessions = connection.execute("SELECT id, last_seq, last_hash FROM sessions").fetchall()
            for session, last_seq, last_hash in sessions:
                _in_time(until)
                rows = connection.execute("SELECT * FROM events WHERE session = ? ORDER BY seq", (session,)).fetchall()
                chain.verified(
                    session, rows, after=0, before=chain.GENESIS, last_seq=last_seq, last_hash=last_hash
                )  # fmt: skip
                ends[session] = (last_seq, last_hash)
            made = f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise TooLong from error
        raise _no_snapshot(path, str(error)) from error
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise _no_snapshot(path, str(error)) from error
    return Snapshot(path, made, ends)


def newest_good(store: Path) -> Snapshot | None:
    """The newest snapshot of the store that can be read from end to end; None where there is none."""
    for path in reversed(named(store)):
        with contextlib.suppress(StoreError, OSError):
            return read(path)
    return None


def offer(store: Path) -> str | None:
    """What to type to go on with the newest good snapshot of a damaged store; None where there is none."""
    found = newest_good(store)
    if found is None:
        return None
    words = ["netra-loop", "--store", str(store), "journal", "--restore", str(found.path)]
    return f"to go on with {found}: {shlex.join(words)}"


def sync_folder(folder: Path) -> None:
    """What was linked, renamed and removed in it is so after a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_whole(path: Path, connection: sqlite3.Connection, until: float | None) -> None:
    if until is not None:
        connection.set_progress_handler(lambda: int(time.monotonic() > until), 100_000)
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


def _blank(draft: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(draft, isolation_level=None)
    connection.execute("PRAGMA journal_mode=OFF")  # it counts only once it is whole
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def _in_time(until: float | None) -> None:
    if until is not None and time.monotonic() > until:
        raise TooLong


def _number(path: Path) -> int:
    parts = _NAME.fullmatch(path.name)
    return int(parts["number"]) if parts else 0


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else is in here; for as long as the block runs, nobody else is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
