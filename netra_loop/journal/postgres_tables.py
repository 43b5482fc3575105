"""The journal's tables in PostgreSQL: `tables` once more, with what only a shared server needs, and made where missing.

Text is compared byte by byte (collation C), as SQLite and Python do. Rows that are read as news have a `place`, given
by the order of storing; a session has one writer at a time, so within a session that is the order of commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import psycopg

from netra_loop.errors import SessionHeld, StoreError
from netra_loop.journal import tables as t
from netra_loop.journal.postgres_address import Address
from netra_loop.journal.postgres_sql import PostgresConnection

APPLICATION = "netra-loop"
OLDEST = 130000  # libpq's number for PostgreSQL 13
MARK = "netra_loop_store"
_PLACED = {"attempts", "results", "entries"}
_MAKING = 0x6E4C6F70  # the advisory lock under which tables are made

_TYPES = {"TEXT": 'TEXT COLLATE "C"', "BLOB": "BYTEA"}

store = t.Table(MARK, (t.text("application"), t.integer("schema")))

owners = t.Table(
    "netra_loop_owners",
    (
        t.text("session"),
        t.integer("generation"),  # rises with each take-over; the lock's key holds it
        t.Column("pid", "BIGINT", null=True),
        t.text("host", null=True),
        t.text("since", null=True),
        t.text("owner", null=True),  # its own name for itself, random
        t.text("asked", null=True),  # the owner that was asked to stop
    ),
    key=("session",),
)

writes = t.Table(
    "netra_loop_writes",
    (
        t.text("session"),
        t.text("token"),  # of the transaction that was the last to write to the session
    ),
    key=("session",),
)

_TABLES = (*t.TABLES, owners, store, writes)


def statements() -> Iterator[str]:
    """What makes all tables and indexes."""
    for table in _TABLES:
        yield from (_placed(table) if table.name in _PLACED else table).making(_TYPES)


def _placed(table: t.Table) -> t.Table:
    place = t.Column("place", "BIGINT GENERATED ALWAYS AS IDENTITY", null=True)  # which it never is
    indexes = {**table.indexes, f"{table.name}_by_place": ("session", "place")}
    return replace(table, columns=(*table.columns, place), indexes=indexes)


def names() -> list[str]:
    """Every table that a store has, in the order of the alphabet."""
    return sorted(table.name for table in _TABLES)


def ensure(connection: psycopg.Connection, address: Address, *, make: bool = True) -> None:
    """Makes the tables where there are none (StoreError unless `make`), and this version's of an older one's, all or
    none of them. StoreError where the server is too old, where they are of a newer version, or where tables of these
    names are another program's; SessionHeld where a session of an older version runs. `connection` commits by itself.
    """
    check_server(connection, address)
    found = schema_of(connection, address)
    if found is None and not make:
        raise StoreError(
            f"there is no store at {address.shown!r}: the database has no tables of netra-loop, and none were made",
            hint="name another with --store or NETRA_LOOP_STORE; netra-loop run LOOP makes a new one",
        )
    if found is None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
            if schema_of(connection, address) is None:
                _make(connection, address)
    elif found < t.SCHEMA:
        connection.autocommit = False
        _migrate(connection, address)
        connection.autocommit = True


def check_server(connection: psycopg.Connection, address: Address) -> None:
    """StoreError unless the server is new enough and holds the database in UTF-8."""
    if connection.info.server_version < OLDEST:
        raise StoreError(
            f"store {address.shown!r} is on PostgreSQL {_major(connection)}, expected {OLDEST // 10000} or newer",
            hint="name a newer server with --store",
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f"store {address.shown!r} is a database in {encoding}, expected UTF8",
            hint="make one that is: createdb -E UTF8 -T template0 NAME",
        )


def schema_of(connection: psycopg.Connection, address: Address) -> int | None:
    """The version of the tables there are; None where there are none. StoreError where they are no use to us."""
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s)",
        (names(),),
    ).fetchall()
    present = sorted(row[0] for row in found)
    if not present:
        return None
    if MARK not in present:
        raise _foreign(address, f"has tables of another program: {', '.join(present)}")
    marks = connection.execute("SELECT application, schema FROM netra_loop_store").fetchall()
    if len(marks) != 1 or marks[0][0] != APPLICATION:
        raise _foreign(address, f"has a table {MARK!r} that is not netra-loop's")
    schema = int(marks[0][1])
    if schema > t.SCHEMA:
        raise StoreError(
            f"store {address.shown!r} has schema {schema}, this version knows {t.SCHEMA}: a newer netra-loop made it",
            hint="use the newer version, or name another store with --store",
        )
    missing = sorted(set(names()) - set(present))
    if missing and schema == t.SCHEMA:
        raise _foreign(address, f"lost the tables {', '.join(missing)}")
    return schema


def _make(connection: psycopg.Connection, address: Address) -> None:
    if connection.execute("SELECT current_schema()").fetchone() == (None,):
        raise StoreError(
            f"store {address.shown!r} has no schema to make tables in, expected one on its search_path",
            hint="add ?options=-csearch_path%3DNAME to the URL",
        )
    for statement in statements():
        connection.execute(statement.encode())
    connection.execute("INSERT INTO netra_loop_store VALUES (%s, %s)", (APPLICATION, t.SCHEMA))
    connection.execute("INSERT INTO store_identity (id, epochs) VALUES (%s, 0)", (secrets.token_hex(16),))


def _migrate(connection: psycopg.Connection, address: Address) -> None:
    # of use on one day in many
    from netra_loop.journal import migrations
    from netra_loop.journal.postgres_lock import holder_of

    opened = PostgresConnection(connection)
    with opened.transaction():
        opened.first("SELECT pg_advisory_xact_lock(?)", (_MAKING,))
        found = schema_of(connection, address)
        if found is None or found >= t.SCHEMA:
            return  # another process did it while we waited
        for (session,) in opened.all("SELECT session FROM netra_loop_owners"):
            holder = holder_of(opened, session, older=True)
            if holder is not None:  # it is of the older version, and does not know the new tables
                raise SessionHeld(session, str(holder))
        migrations.upgrade(opened, found)
        opened.run("UPDATE netra_loop_store SET schema = ?", (t.SCHEMA,))


def _foreign(address: Address, what: str) -> StoreError:
    return StoreError(
        f"store {address.shown!r} {what}; it is left untouched",
        hint="give netra-loop a database, or a schema (?options=-csearch_path%3DNAME), of its own",
    )


def _major(connection: psycopg.Connection) -> int:
    return connection.info.server_version // 10000
