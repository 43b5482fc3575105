"""An older SQLite store made this version's, when it is opened: after a snapshot, in one transaction, by one process.

Killed at any moment it is the old store or the new one. Whoever opens it meanwhile waits. No session may run: the
process that runs it is of the older version, and does not know the new tables.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path

from netra_loop.errors import NoSnapshot
from netra_loop.journal import migrations, ownership, using
from netra_loop.journal.keeping import Keeper
from netra_loop.journal.sql import SqliteConnection
from netra_loop.journal.tables import SCHEMA

_LONGEST_S = 3600.0


def migrate(store: Path, connect: Callable[[], sqlite3.Connection], within_s: float = using.WITHIN_S) -> None:
    """Brings the store to this version's schema. SessionHeld where one of its sessions runs, NoSnapshot where none can
    be made of it, StoreError where another process works on it for longer than `within_s`; nothing has happened then.
    `connect` opens it for writing, whatever its schema.
    """
    with contextlib.closing(connect()) as connection:
        if _schema(connection) >= SCHEMA:
            return  # another process did it, and the file itself lags behind its -wal
        with ownership.all_locked(store.parent, store.name, within_s), using.alone(store, "migrates", within_s):
            found = _schema(connection)
            if found >= SCHEMA:
                return  # while we waited
            why = Keeper(store, connect).make(_LONGEST_S, due=True)
            if why is not None:
                raise NoSnapshot(
                    f"store {str(store)!r} has schema {found}, expected {SCHEMA}, and is not changed without a "
                    f"snapshot, which could not be made: {why}",
                    hint=f"make room (df {shlex.quote(str(store.parent))}) or mend what is said above, then type the "
                    "same again; nothing was changed",
                )
            _upgrade(connection, found)


def _upgrade(connection: sqlite3.Connection, found: int) -> None:
    opened = SqliteConnection(connection)
    with opened.transaction("BEGIN EXCLUSIVE"):
        migrations.upgrade(opened, found)
        opened.run(f"PRAGMA user_version={SCHEMA}")  # part of the transaction


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
