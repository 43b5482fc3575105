"""One SQLite file as the journal's ground: found, looked at (`sqlite_checks`), made (`sqlite_making`), opened; and what
its errors mean.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from netra_loop import open_files
from netra_loop.clock import Clock
from netra_loop.errors import Defect, DiskFull, StoreDamaged, StoreError, UsageError
from netra_loop.journal import keeping, leftovers, locks, naming, reserve, snapshots, using
from netra_loop.journal.base import Holder
from netra_loop.journal.ground import Ask, Lane, Lock, Work
from netra_loop.journal.sql import Connection, SqliteConnection
from netra_loop.journal.sqlite_checks import (
    Peek,
    check_folder,
    check_header,
    check_kind,
    check_mode,
    check_schema,
    damaged,
    exists,
    file_errors,
)
from netra_loop.journal.tables import OLDEST, SCHEMA

if TYPE_CHECKING:
    from netra_loop.journal.ownership import SessionLock

T = TypeVar("T")

BUSY_TIMEOUT_S = 10.0
_ROOM = 16 * 1024 * 1024  # bytes that a batch of any size we make fits in, with its copy in the -wal
_WAL_WRITE_LOCK = 120  # the byte of the -shm file that a writer has locked
_CACHE_KB = 1024  # for each connection; the system keeps more of the file in memory by itself
_INCREMENTAL = 2  # SQLite's number for auto_vacuum=INCREMENTAL
_PAGES = 4096  # given back in one transaction


def path_of(url: str) -> Path:
    """The absolute path that a store URL means: `sqlite:///abs/path` (or four slashes), or a plain path.

    UsageError for any other scheme, and for what was probably meant to be a server's URL.
    """
    naming.check_name(url)
    _, colon, rest = url.partition("://")
    plain = "/" + rest.lstrip("/") if colon else url
    if not rest.strip("/") if colon else not url:
        raise UsageError(f"store {url!r} names no file, expected sqlite:///PATH or a path")
    return Path(os.path.abspath(plain))  # noqa: PTH100 - resolve() would follow the very links that are refused


class SqliteFile:
    """The file at `path`, checked and, where it is missing, made (unless `make` is false: then it is a StoreError).
    StoreError or StoreDamaged where it cannot be used.

    `close` it after the last connection made from it.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, make: bool = True) -> None:
        self.path = path
        self.at = str(path)
        self.folder = path.parent
        self.busy_timeout_s = busy_timeout_s
        self._snapshots = keeping.Keeper(path, partial(self.connect, writer=False))
        with file_errors(path):
            if not make and leftovers.never_made(path):
                raise naming.missing(path)
            check_folder(self.folder)
            leftovers.sweep(path)
            if not exists(path):
                self._make()
            check_kind(path)
            self._peek = Peek.at(path)
            try:
                if check_header(path, self._peek.header()) < SCHEMA:
                    self._migrate()
            except StoreDamaged as error:
                self._peek.release()
                self.offered(error)
                raise
            except BaseException:
                self._peek.release()
                raise

    def _make(self) -> None:
        """A new store, unless there was one before: then it is missing, and nothing takes its place."""
        lost = leftovers.of_lost(self.path)
        if lost is not None and not exists(self.path):  # in this order: nothing tells of a store before it is there
            hint = f"put the file back; to begin anew: {leftovers.aside(self.path)}"
            told = f"store {str(self.path)!r} is missing, and there was one, by what lies beside its place: {lost}"
            raise self.offered(StoreDamaged(told, hint=hint))
        with using.alone(self.path, "makes", self.busy_timeout_s):
            if not exists(self.path):
                from netra_loop.journal.sqlite_making import make  # once in a project's life

                make(self.path)

    def _migrate(self) -> None:
        from netra_loop.journal.migrating import migrate  # of use on one day in many

        try:
            migrate(self.path, partial(self.connect, writer=True, older=True), self.busy_timeout_s)
        except sqlite3.Error as error:
            raise self.meaning(error) from error

    def check_in_place(self, what: str) -> None:
        """StoreError, which says `what` became of it, unless the file at the path is still the one that was checked and
        opened: whoever has another open reads what is over, or writes what nobody will read.
        """
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            told = f"store {str(self.path)!r} was removed while it was open; {what}"
            raise StoreDamaged(told, hint="put the file back") from None
        if (found.st_dev, found.st_ino) != self._peek.key:
            raise StoreError(
                f"store {str(self.path)!r} was replaced while it was open, by a restore, say; {what}",
                hint="see what is there now, then go on with it: netra-loop list",
            )

    def wal(self) -> tuple[int, int] | None:
        """Which file the `-wal` is; None where there is none. It stays the same for as long as somebody has it open."""
        try:
            found = Path(f"{self.path}-wal").lstat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Lets go of the file."""
        self._peek.release()

    def lane(self, *, writer: bool) -> SqliteLane:
        """See `Ground.lane`."""
        return SqliteLane(self, writer=writer)

    def lock(self, session: str, clock: Clock) -> SessionLock:
        """See `Ground.lock`."""
        from netra_loop.journal.ownership import SessionLock  # not for those who only look

        return SessionLock(self.folder, session, clock, self.path.name)

    def holder(self, session: str, reader: Lane) -> Holder | None:  # noqa: ARG002 - the kernel knows
        """See `Ground.holder`."""
        return locks.holder(self._lock_of(session))

    def acknowledged(self, session: str) -> locks.Acknowledged | None:
        """See `Ground.acknowledged`."""
        return locks.acknowledged(self.folder, session, self.path.name)

    def all_acknowledged(self) -> dict[str, locks.Acknowledged]:
        """See `Ground.all_acknowledged`."""
        return locks.all_acknowledged(self.folder, self.path.name)

    def ask_to_stop(self, session: str, owner: str, writer: Lane) -> None:  # noqa: ARG002 - a file says it
        """See `Ground.ask_to_stop`."""
        from netra_loop.journal import stopping  # as above

        stopping.ask(self._lock_of(session), owner)

    async def asked_to_stop(self, session: str, owner: str, ask: Ask) -> None:  # noqa: ARG002 - a file says it
        """See `Ground.asked_to_stop`."""
        from netra_loop.journal import stopping  # as above

        await stopping.asked(self._lock_of(session), owner)

    def _lock_of(self, session: str) -> Path:
        return locks.lock_path(self.folder, session, self.path.name)

    def reclaim(self, writer: Lane) -> int:
        """See `Ground.reclaim`: in portions, each a transaction. A store that an older version made keeps it all."""
        from netra_loop.journal.ownership import sweep  # as above

        def some(connection: Connection) -> tuple[int, int]:
            pages, left, size = (
                int(connection.scalar(f"PRAGMA {name}")) for name in ("auto_vacuum", "freelist_count", "page_size")
            )
            if pages != _INCREMENTAL or not left:
                return 0, left * size
            connection.all(f"PRAGMA incremental_vacuum({_PAGES})")  # to its end: each step gives one page back
            return left, left * size

        known = writer.transaction(lambda connection: {row[0] for row in connection.all("SELECT id FROM sessions")})
        sweep(self.folder, self.path.name, known)
        while (found := writer.transaction(some))[0]:
            continue
        return found[1]

    def snapshot(self, within_s: float, *, due: bool) -> str | None:
        """See `Ground.snapshot`."""
        return self._snapshots.make(within_s, due=due)

    def hurry(self, within_s: float) -> None:  # noqa: ARG002 - a copy that is not due is given up at once
        """See `Ground.hurry`."""
        self._snapshots.hurry()

    def offered(self, error: StoreDamaged) -> StoreDamaged:
        """The same error; its hint says how to go on with the newest good snapshot, where there is one."""
        offer = snapshots.offer(self.path)
        left = ""
        if error.lost_of is not None:
            lock = shlex.quote(str(locks.lock_path(self.folder, error.lost_of, self.path.name)))
            left = f"; to go on with what is left: rm {lock}"
        error.hint = offer if offer is not None else f"{error.hint}; no good snapshot of it is kept{left}"
        return error

    def connect(self, *, writer: bool, older: bool = False) -> sqlite3.Connection:
        """A connection, for one thread alone. A reader's cannot write, not even by mistake. `older`: whatever schema
        the store has.
        """
        mode = "rw" if writer else "ro"
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=self.busy_timeout_s, isolation_level=None
        )
        # a flipped byte must reach the check of hashes, which can say where it is
        connection.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
            check_schema(
                self.path, connection.execute("PRAGMA user_version").fetchone()[0], OLDEST if older else SCHEMA
            )
            check_mode(self.path, connection.execute("PRAGMA journal_mode").fetchone()[0])
        except BaseException:
            connection.close()
            raise
        return connection

    def meaning(self, error: sqlite3.Error) -> StoreError | Defect:
        """What an error of SQLite means for a person."""
        where = f"store {str(self.path)!r}"
        code = getattr(error, "sqlite_errorcode", None)
        match code & 0xFF if isinstance(code, int) else None:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreError(
                    f"{where} is locked by {self._locker()}, waited {self.busy_timeout_s:g} s",
                    hint="end that program, then try again",
                )
            case sqlite3.SQLITE_FULL:
                free = shutil.disk_usage(self.folder).free
                reserve.give_back(self.folder)
                return DiskFull(
                    f"{where}: the disk is full ({free // 1024} KiB free), expected {_ROOM // 2**20} MiB at least",
                    hint=f"make room on the disk of {self.folder}, then resume",
                )
            case sqlite3.SQLITE_IOERR if code == sqlite3.SQLITE_IOERR_WRITE:
                reserve.give_back(self.folder)
                return DiskFull(
                    f"{where}: the system let nothing more be written, for a quota, a limit (ulimit -f) or a fault "
                    f"of the disk; expected room for {_ROOM // 2**20} MiB at least",
                    hint=f"check limits, quota and disk of {self.folder}, then resume",
                )
            case sqlite3.SQLITE_CANTOPEN if (short := open_files.exhausted()) is not None:
                error.__cause__ = short  # SQLite does not say why
                return StoreError(f"{where} cannot be opened: {short.strerror}", hint=f"ls -ld {self.folder}")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return StoreError(f"{where} cannot be written: {error}", hint=f"ls -ld {self.folder} {self.path}*")
            case sqlite3.SQLITE_IOERR:
                name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
                return StoreError(
                    f"{where}: the system refused to read or write ({name}); nothing was half-written",
                    hint=f"check limits, quota and disk of {self.folder}, then resume",
                )
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_SCHEMA | None:
                return self.offered(damaged(self.path, f"cannot be read: {error}"))
        return Defect(f"{where}: {error}")

    def _locker(self) -> str:
        """The process that has the write lock, as far as the kernel says."""
        try:
            inode = Path(f"{self.path}-shm").stat().st_ino
            locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        except OSError:  # no Linux, or the lock went meanwhile
            return "another program"
        for line in locks:
            # 12: POSIX  ADVISORY  WRITE 4711 fd:00:1234 120 120
            words = line.split()
            if words[1] == "POSIX" and words[3] == "WRITE" and words[5].endswith(f":{inode}"):
                first, last = int(words[6]), words[7]
                if first <= _WAL_WRITE_LOCK and (last == "EOF" or int(last) >= _WAL_WRITE_LOCK):
                    return f"process {words[4]}"
        return "another program"


class SqliteLane:
    """`Lane` on a file: a transaction is committed, or it is not; there is nothing to try again."""

    def __init__(self, file: SqliteFile, *, writer: bool) -> None:
        self._file = file
        self._writer = writer
        self._begun = False
        self._driver: sqlite3.Connection | None = None
        self._use = using.Use(file.path)
        self._wal: tuple[int, int] | None = None

    def transaction(
        self,
        work: Work[T],
        *,
        session: str | None = None,  # noqa: ARG002
        lock: Lock | None = None,  # noqa: ARG002
        patient: bool = True,  # noqa: ARG002
    ) -> T:
        """See `Lane.transaction`."""
        if self._writer and not self._begun:
            self._use.begin(self._file.busy_timeout_s)
        self._begun = True
        try:
            if self._driver is None:
                self._driver = self._file.connect(writer=self._writer)
            connection = SqliteConnection(self._driver)
            with connection.transaction("BEGIN IMMEDIATE" if self._writer else "BEGIN"):
                self._check_in_place("nothing was written" if self._writer else "nothing was read")
                done = work(connection)
            if self._writer:
                self._check_in_place("what was to be stored last may not be in it")
        except StoreDamaged as error:
            self._file.offered(error)
            raise
        except UnicodeError as error:  # SQLite quotes what it could not make sense of, and Python cannot read that
            raise self._file.offered(damaged(self._file.path, f"cannot be read: {error}")) from error
        except sqlite3.Error as error:
            raise self._file.meaning(error) from error
        return done

    def _check_in_place(self, what: str) -> None:
        self._file.check_in_place(what)
        if self._writer:
            self._wal = self._wal or self._file.wal()
            if self._wal != self._file.wal():
                raise StoreDamaged(
                    f"the -wal of store {str(self._file.path)!r} was removed while it was open; {what}",
                    hint="let nobody touch the files of a store in use",
                )

    def close(self) -> None:
        """See `Lane.close`."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None
        self._use.end()
