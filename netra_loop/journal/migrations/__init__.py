"""How the tables of an older version become this one's: one Alembic revision for each schema, by its number.

Alembic is imported only where a store of an older schema was found. A revision says what changes, for every database
alike; the number of the schema is the store's own affair, as are the transaction and whoever has to wait for it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from netra_loop.journal.tables import SCHEMA

OLDEST = 1


def upgrade(connection: sa.Connection, found: int, wanted: int = SCHEMA) -> None:
    """Brings the tables of schema `found` to `wanted`, inside the caller's transaction."""
    # half a second, and of use on one day in many
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    here = Path(__file__).parent
    scripts = ScriptDirectory(str(here), version_locations=[str(here / "versions")])
    steps = list(scripts.iterate_revisions(_name(wanted), _name(found)))
    with Operations.context(MigrationContext.configure(connection)):
        for step in reversed(steps):
            step.module.upgrade()


def _name(schema: int) -> str:
    return f"{schema:04}"
