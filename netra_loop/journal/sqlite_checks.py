"""What is looked at before SQLite is let near a store file, so that a damaged or foreign one stays untouched."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal.tables import APPLICATION_ID, OLDEST, SCHEMA

_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes; offsets below are SQLite's file format, "The Database Header"
_ASIDE = "move it away, or name another store with --store"


def exists(path: Path) -> bool:
    """Whether there is anything at the path, be it a link that leads nowhere."""
    return os.path.lexists(path)


def check_folder(folder: Path) -> None:
    """Makes the store's folder where it is missing. StoreError where others may write there, or we may not."""
    if not exists(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process makes it at the same moment
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # whatever the umask
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise StoreError(f"{str(folder)!r} is a symbolic link, expected the folder itself", hint=_ASIDE)
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{str(folder)!r} is no folder, expected one for the store", hint=_ASIDE)
    if found.st_mode & stat.S_IWOTH:
        raise StoreError(
            f"folder {str(folder)!r} may be written by everybody (mode {found.st_mode & 0o7777:04o}), expected 0700",
            hint=f"chmod 700 {folder}, or name another store with --store",
        )
    _check_ours(folder, found)


def _check_ours(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"{str(path)!r} belongs to user {found.st_uid}, expected {os.geteuid()}, who runs netra-loop",
            hint="run as its owner, or name another store with --store",
        )
    # the owner's bit is looked at too: root may write anything, but a file made read-only is not meant to be written
    if not found.st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
        raise StoreError(f"{str(path)!r} is read-only, expected to write there", hint=f"chmod u+w {path}")


def check_kind(path: Path) -> None:
    """StoreError unless the store, and what SQLite keeps beside it, are plain files of ours."""
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if not exists(part):
            continue
        found = part.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise StoreError(f"{str(part)!r} is a symbolic link, expected the file itself", hint=_ASIDE)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{str(part)!r} is no plain file, expected a store", hint=f"--store {path}/journal.db")
        _check_ours(part, found)


class Peek:
    """A descriptor to look at a store file with, one for each file in this process, however many stores it opens.

    To close any descriptor of a file lets go of all POSIX locks that the process has on it, SQLite's own among them; so
    this one stays open until the last store on that file is closed.
    """

    _open: ClassVar[dict[tuple[int, int], Peek]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, key: tuple[int, int], descriptor: int) -> None:
        self.key = key
        self._descriptor = descriptor
        self.users = 0

    @classmethod
    def at(cls, path: Path) -> Peek:
        """The one of the file at the path, to be released."""
        with cls._guard:
            found = path.lstat()
            key = (found.st_dev, found.st_ino)
            if key not in cls._open:
                cls._open[key] = cls(key, os.open(path, os.O_RDONLY | os.O_NOFOLLOW))
            peek = cls._open[key]
            peek.users += 1
            return peek

    def header(self) -> bytes:
        """What the file begins with."""
        return os.pread(self._descriptor, _HEADER, 0)

    def release(self) -> None:
        """Closes it after its last user."""
        with self._guard:
            self.users -= 1
            if not self.users:
                del self._open[self.key]
                os.close(self._descriptor)


def check_header(path: Path, header: bytes) -> int:
    """The file's schema, which may lag behind what its -wal says. StoreDamaged for what is no whole store of ours."""
    size = path.stat().st_size
    if size < _HEADER:
        raise damaged(path, f"is cut off: {size} bytes are left")
    if not header.startswith(_MAGIC):
        raise damaged(path, f"is no netra-loop store: it begins with {header[:16]!r}")
    mark = int.from_bytes(header[68:72], "big")
    if mark != APPLICATION_ID:
        raise damaged(path, f"is another program's database (mark {mark:#010x}, expected {APPLICATION_ID:#010x})")
    schema = int.from_bytes(header[60:64], "big")
    check_schema(path, schema, OLDEST)
    page = int.from_bytes(header[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    wal = Path(f"{path}-wal")
    # with a -wal the file's own length may rightly lag behind, and SQLite knows better
    if size < expected and not (exists(wal) and wal.stat().st_size):
        raise damaged(path, f"is cut off: {size} of {expected} bytes are left")
    return schema


def check_schema(path: Path, found: int, oldest: int) -> None:
    """StoreError for a newer schema than this version's, StoreDamaged for one before `oldest`."""
    if found > SCHEMA:
        raise StoreError(
            f"store {str(path)!r} has schema {found}, this version knows {SCHEMA}: a newer netra-loop made it",
            hint="use the newer version, or name another store with --store",
        )
    if found < oldest:
        raise damaged(path, f"has schema {found}, expected {oldest} at least")


def check_mode(path: Path, found: str) -> None:
    """StoreError for another journal mode than ours."""
    if found != "wal":
        raise StoreError(
            f"store {str(path)!r} is in journal mode {found!r}, expected 'wal': another program changed it",
            hint=f"sqlite3 {path} 'PRAGMA journal_mode=WAL'",
        )


def damaged(path: Path, what: str) -> StoreDamaged:
    """The error that says `what` of the store."""
    return StoreDamaged(
        f"store {str(path)!r} {what}; it is left untouched", hint=f"put a backup in its place, {_ASIDE}"
    )


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """What the system refuses within the block is said of the store: StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"store {str(path)!r} cannot be opened: {error.strerror or error}", hint=f"ls -ld {path.parent} {path}"
        ) from error
