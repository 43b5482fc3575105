"""Makes the snapshots of a SQLite store, and keeps the newest three.

A copy is made of one read transaction, in steps, so that neither writers nor readers wait for it. It counts, and an
older one goes, only after it was read back and holds all that it has to: SQLite's own check, the chain of every
session, what was acknowledged of each before the copy began, and as many rows as the snapshot before it. So a store
that lost something pushes no good snapshot out. Until then it lies under another name: a kill leaves no half of one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import locks, snapshots
from netra_loop.journal.folders import own_folder
from netra_loop.journal.snapshots import FOLDER, Deadline, TooLong, named, sync_folder

KEPT = 3
_WAIT_S = 10.0  # at most, for another process that makes one of the same store
_PAUSE_S = 0.02
_SHARE = 20  # copying takes no more than a twentieth of a process's time
_PAGES = 1024  # in one step: 4 MiB, between which the time is looked at
_BYTES_PER_S = 100_000_000  # copied, synced and read back; what a store that certainly takes too long is told by
_SPARE = 64 * 1024 * 1024  # bytes that a copy leaves to those who work


class _Busy(Exception):
    """Another process makes one of the same store now."""


class Keeper:
    """Makes and keeps the snapshots of the store at `store`. `connect` opens it for reading. For one thread alone."""

    def __init__(self, store: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._store = store
        self._folder = store.parent / FOLDER
        self._connect = connect
        self._next_at = 0.0
        self._deadline = Deadline()
        self._hurried = False

    def hurry(self) -> None:
        """Somebody waits for the process to end: the copy that is being made is given up, unless it is due. At once, in
        any thread.
        """
        self._hurried = True
        self._deadline.bring_forward()

    def make(self, within_s: float, *, due: bool = False) -> str | None:
        """Makes one; None once it is made, else why it is not. None, too, unless `due` says that it is wanted all the
        same, where the last one is so recent that another would take too much of the process's time, or where another
        process makes one at this moment.
        """
        began = time.monotonic()
        if began < self._next_at and not due:
            return None
        self._deadline = Deadline(began + within_s, moves=not due)
        if self._hurried:
            self._deadline.bring_forward()
        try:
            own_folder(self._folder)
            self._folder.chmod(0o700)
            with _alone(self._folder, began + min(within_s, _WAIT_S) if due else began):
                clear(self._store)
                why = self._no_room(within_s)
                if why is None:
                    self._make(self._deadline)
        except _Busy:
            why = f"another process makes one now, waited {min(within_s, _WAIT_S):g} s" if due else None
        except TooLong:
            why = f"it took longer than {within_s:g} s" if self._deadline.is_where_it_was else "netra-loop was to end"
        except StoreDamaged as error:
            why = f"{error}; the snapshots before are kept"
        except (OSError, sqlite3.Error, StoreError, ValueError) as error:
            why = str(error)
        ended = time.monotonic()
        self._next_at = ended + _SHARE * (ended - began)
        return why

    def _no_room(self, within_s: float) -> str | None:
        size = self._store.stat().st_size
        if size > within_s * _BYTES_PER_S:
            return f"the store has {size >> 20} MiB, which cannot be copied within {within_s:g} s"
        with contextlib.suppress(FileNotFoundError):
            size += self._store.with_name(f"{self._store.name}-wal").stat().st_size
        free = shutil.disk_usage(self._store.parent).free
        if free < size + _SPARE:
            return f"the disk has {free >> 20} MiB left, expected {(size + _SPARE) >> 20} MiB for a copy"
        return None

    def _make(self, until: Deadline) -> None:
        before = named(self._store)
        known = locks.all_acknowledged(self._store.parent, self._store.name)  # the copy may only be ahead of it
        draft = self._folder / f".{self._store.name}-{os.getpid()}.new"
        try:
            self._copy(draft, until)
            made = snapshots.read(draft, until=until, known=known)
            self._check_complete(made, known)
            _check_rows(made, before, until)
            stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"  # for people; the number gives the order
            number = snapshots.number(before[-1]) + 1 if before else 1
            draft.rename(self._folder / f"{self._store.name}-{number:06}-{stamp}.db")
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(self._folder)
        for old in named(self._store)[:-KEPT]:
            old.unlink(missing_ok=True)

    def _copy(self, draft: Path, until: Deadline) -> None:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        try:
            with contextlib.closing(self._connect()) as source, contextlib.closing(_blank(draft)) as target:
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it sees one state
                source.backup(target, pages=_PAGES, progress=lambda *_: until.check())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _check_complete(self, made: snapshots.Snapshot, known: dict[str, locks.Acknowledged]) -> None:
        """StoreDamaged where it holds less of a session than was acknowledged before it was begun."""
        for session, end in known.items():
            last, _ = made.ends.get(session, (0, ""))
            if last < end.seq and self._is_still_known(session, end):
                raise StoreDamaged(
                    f"the store holds {last} events of session {session!r}, {end.seq} were acknowledged",
                    hint="netra-loop journal --verify",
                )

    def _is_still_known(self, session: str, end: locks.Acknowledged) -> bool:
        """Whether it was not pruned meanwhile."""
        now = locks.all_acknowledged(self._store.parent, self._store.name).get(session)
        return now is not None and now.seq >= end.seq


def clear(store: Path) -> None:
    """Removes what killed processes left half-made among the snapshots. While nobody else makes one."""
    for left in (store.parent / FOLDER).glob(f".{store.name}-*.new"):
        left.unlink(missing_ok=True)


def clear_unless_busy(store: Path) -> None:
    """The same, where nobody makes one now."""
    if next((store.parent / FOLDER).glob(f".{store.name}-*.new"), None) is not None:
        with contextlib.suppress(_Busy), _alone(store.parent / FOLDER, 0.0):
            clear(store)


def _check_rows(made: snapshots.Snapshot, before: list[Path], until: Deadline) -> None:
    """StoreDamaged where it has fewer rows of a session beside the chain than the newest good snapshot before it, of
    whose chain its own is the continuation: those rows are never removed while the session is there.
    """
    for path in reversed(before):
        fewer = snapshots.fewer_rows(made.path, path)
        if fewer is None:
            return
        try:
            snapshots.read(path, until=until)
        except StoreError:
            continue  # its count is worth nothing
        raise StoreDamaged(f"{fewer} than {path.name}: rows were lost", hint="netra-loop journal --verify")


def _blank(draft: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(draft, isolation_level=None)
    connection.execute("PRAGMA journal_mode=OFF")  # it counts only once it is whole
    connection.execute("PRAGMA synchronous=OFF")
    return connection


@contextlib.contextmanager
def _alone(folder: Path, until: float) -> Iterator[None]:
    """Nobody else makes one while the block runs; _Busy where that is not so until then."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise _Busy from None
                time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)
