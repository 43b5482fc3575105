"""A new SQLite store: made complete under another name and then linked into place, so there never is a half-made one,
and two processes that make it at once end with one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

from netra_loop.errors import StoreError
from netra_loop.journal.snapshots import sync_folder
from netra_loop.journal.sql import SqliteConnection
from netra_loop.journal.tables import APPLICATION_ID, SCHEMA, TABLES


def make(path: Path) -> None:
    """Makes an empty store at `path`, whole or not at all; one that somebody else made meanwhile is left alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)  # left by a process of the same number that was killed right here
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        _fill(draft)
        os.fsync(descriptor)
    except sqlite3.Error as error:
        raise StoreError(
            f"store {str(path)!r} cannot be made: {error}", hint=f"make room on the disk of {path.parent}"
        ) from error
    finally:
        os.close(descriptor)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    sync_folder(path.parent)


def _fill(draft: Path) -> None:
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as driver:
        driver.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that pruning can give room back
        connection = SqliteConnection(driver)
        with connection.transaction():
            for table in TABLES:
                for statement in table.making({}):
                    connection.run(statement)
            connection.run("INSERT INTO store_identity (id, epochs) VALUES (?, 0)", (secrets.token_hex(16),))
            connection.run(f"PRAGMA application_id={APPLICATION_ID}")
            connection.run(f"PRAGMA user_version={SCHEMA}")
        driver.execute("PRAGMA journal_mode=WAL")
