"""Other stores on this machine: which files are one, and whose sessions are theirs.

They are asked through SQLite alone: any other descriptor on a store's file lets go, when it is closed, of all locks
that this process has on it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from netra_loop.journal.tables import APPLICATION_ID

_PAGE = 512  # bytes; the least that a page of SQLite's has, so a database has a multiple of it
_NOT_ONE = ("-wal", "-shm", ".lock", ".new")


def stores_in(folder: Path) -> list[Path]:
    """The SQLite stores that lie in the folder itself, by name, but for those that were set aside as damaged."""
    try:
        return sorted(path for path in folder.iterdir() if ".damaged-" not in path.name and is_store(path))
    except OSError:
        return []


def is_store(path: Path) -> bool:
    """Whether the file at `path` is a store of ours, or a database so damaged, or closed to us, that it may be one.
    Nothing is made beside it.
    """
    if path.name.endswith(_NOT_ONE) or not _may_be(path):
        return False
    try:
        with _open(path, "mode=ro&immutable=1") as connection:
            return int(connection.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID
    except sqlite3.Error as error:
        return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB


def identity_at(path: Path) -> str | None:
    """The identity of the store at `path`; None where none is there, or one of an older version. OSError where there is
    one that cannot be read.
    """
    if not is_store(path):
        return None
    found = _ask(path, "SELECT id FROM store_identity")
    return None if found is None else str(found[0])


def knows(path: Path, session: str) -> bool:
    """Whether there is a store at `path` that has the session. OSError where it cannot be read."""
    return is_store(path) and _ask(path, "SELECT id FROM sessions WHERE id = ?", session) is not None


def _ask(path: Path, question: str, *values: str) -> tuple[object, ...] | None:
    try:
        with _open(path, "mode=ro") as connection:
            found: tuple[object, ...] | None = connection.execute(question, values).fetchone()
            return found
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise OSError(f"store {str(path)!r} cannot be read: {error}") from error
    except sqlite3.Error as error:
        raise OSError(f"store {str(path)!r} cannot be read: {error}") from error


@contextlib.contextmanager
def _open(path: Path, how: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
        yield connection


def _may_be(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0 and found.st_size % _PAGE == 0
