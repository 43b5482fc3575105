"""How the tables of an older version become this one's: one step for each schema, by the number it leads to.

Imported only where a store of an older schema was found. A step says what changes, for every database alike; the number
of the schema is the store's own affair, as are the transaction and whoever has to wait for it. A step stays as it is,
whatever becomes of `tables` later.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from netra_loop.journal.sql import Connection
from netra_loop.journal.tables import SCHEMA


def upgrade(connection: Connection, found: int) -> None:
    """Brings the tables of schema `found` to this version's, inside the caller's transaction."""
    for wanted in range(found + 1, SCHEMA + 1):
        STEPS[wanted](connection)


def _counted(connection: Connection) -> None:
    """Indexes that answer for a million results: how they stand, without their bodies; the selection in its order."""
    kinds = "session, iteration, attempt, outcome, flaky, authenticity"
    connection.run(f"CREATE INDEX results_counted ON results ({kinds})")
    connection.run("CREATE INDEX selection_in_order ON selection (session, iteration, position)")


def _owners(connection: Connection) -> None:
    """Who owns a session is told apart by more than a number that an older copy of the store would give again; and
    stores are told apart from each other.
    """
    text = 'TEXT COLLATE "C"' if connection.is_shared else "TEXT"
    connection.run(f"ALTER TABLE sessions ADD COLUMN owner {text}")
    connection.run(
        f"CREATE TABLE store_identity (\n\tid {text} NOT NULL, \n\tepochs INTEGER NOT NULL, \n\tPRIMARY KEY (id)\n)"
    )
    connection.run("INSERT INTO store_identity (id, epochs) VALUES (?, 0)", (secrets.token_hex(16),))
    if connection.is_shared:
        connection.run(f"ALTER TABLE netra_loop_owners ADD COLUMN owner {text}")
        connection.run(f"ALTER TABLE netra_loop_owners ALTER COLUMN asked TYPE {text}")


STEPS: Mapping[int, Callable[[Connection], None]] = {2: _counted, 3: _owners}
