"""The journal's tables in PostgreSQL: `tables` once more, with what only a shared server needs, and made where missing.

Text is compared byte by byte (collation C), as SQLite and Python do. Rows that are read as news have a `place`, given
by the order of storing; a session has one writer at a time, so within a session that is the order of commits.
"""

from __future__ import annotations

import secrets
from functools import cache

import psycopg
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from netra_loop.errors import SessionHeld, StoreError
from netra_loop.journal import tables as t
from netra_loop.journal.postgres_address import Address

APPLICATION = "netra-loop"
OLDEST = 130000  # libpq's number for PostgreSQL 13
MARK = "netra_loop_store"
_PLACED = {"attempts", "results", "entries"}
_MAKING = 0x6E4C6F70  # the advisory lock under which tables are made

own = MetaData()

store = Table(
    MARK,
    own,
    Column("application", Text, nullable=False),
    Column("schema", Integer, nullable=False),
)

owners = Table(
    "netra_loop_owners",
    own,
    Column("session", Text(collation="C"), primary_key=True),
    Column("generation", Integer, nullable=False),  # rises with each take-over; the lock's key holds it
    Column("pid", BigInteger),
    Column("host", Text),
    Column("since", Text),
    Column("owner", Text),  # its own name for itself, random
    Column("asked", Text),  # the owner that was asked to stop
)

writes = Table(
    "netra_loop_writes",
    own,
    Column("session", Text(collation="C"), primary_key=True),
    Column("token", Text, nullable=False),  # of the transaction that was the last to write to the session
)


@cache
def _statements() -> tuple[str, ...]:
    """What makes all tables and indexes."""
    metadata, dialect = MetaData(), postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in (*t.metadata.sorted_tables, *own.sorted_tables):
        made = table.to_metadata(metadata)
        for column in made.columns:
            if isinstance(column.type, Text):
                column.type = Text(collation="C")
        if table.name in _PLACED:
            made.append_column(Column("place", BigInteger, Identity(always=True), nullable=False))
            Index(f"{table.name}_by_place", made.c.session, made.c.place)
    texts = [str(CreateTable(made).compile(dialect=dialect)) for made in metadata.sorted_tables]
    texts += [
        str(CreateIndex(index).compile(dialect=dialect))
        for made in metadata.sorted_tables
        for index in sorted(made.indexes, key=lambda index: str(index.name))
    ]
    return tuple(texts)


def names() -> list[str]:
    """Every table that a store has."""
    return [table.name for table in (*t.metadata.sorted_tables, *own.sorted_tables)]


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
    marks = connection.execute(sql.SQL("SELECT application, schema FROM {}").format(sql.Identifier(MARK))).fetchall()
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
    for statement in _statements():
        connection.execute(statement)
    values = (APPLICATION, t.SCHEMA)
    connection.execute(sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(sql.Identifier(MARK)), values)
    connection.execute("INSERT INTO store_identity (id, epochs) VALUES (%s, 0)", (secrets.token_hex(16),))


def _migrate(connection: psycopg.Connection, address: Address) -> None:
    # of use on one day in many
    from netra_loop.journal import migrations
    from netra_loop.journal.postgres_lock import holder_of

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False
    )
    with engine.begin() as opened:
        opened.execute(select(func.pg_advisory_xact_lock(_MAKING)))
        found = schema_of(connection, address)
        if found is None or found >= t.SCHEMA:
            return  # another process did it while we waited
        for session in opened.execute(select(owners.c.session)).scalars().all():
            holder = holder_of(opened, session, older=True)
            if holder is not None:  # it is of the older version, and does not know the new tables
                raise SessionHeld(session, str(holder))
        migrations.upgrade(opened, found)
        opened.execute(update(store).values(schema=t.SCHEMA))


def _foreign(address: Address, what: str) -> StoreError:
    return StoreError(
        f"store {address.shown!r} {what}; it is left untouched",
        hint="give netra-loop a database, or a schema (?options=-csearch_path%3DNAME), of its own",
    )


def _major(connection: psycopg.Connection) -> int:
    return connection.info.server_version // 10000
