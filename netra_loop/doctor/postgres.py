"""A store in PostgreSQL: whether it can be reached and used, and whether what it is told is safe there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from netra_loop.doctor.base import Line, fail, ok, warn
from netra_loop.errors import StoreError, UsageError

if TYPE_CHECKING:
    import psycopg

    from netra_loop.journal.postgres_address import Address

_FEW = 5  # connections; a session takes three, and whoever looks on takes one
_RIGHTS = "SELECT", "INSERT", "UPDATE", "DELETE"


async def lines(url: str) -> tuple[str, list[Line], bool]:
    """How the store is shown, what was found, and whether there are tables to look into. None are made."""
    return await asyncio.to_thread(_lines, url)


def _lines(url: str) -> tuple[str, list[Line], bool]:
    import psycopg  # costs what only a shared store is worth

    from netra_loop.journal.postgres_address import read_address
    from netra_loop.journal.postgres_errors import meaning
    from netra_loop.journal.postgres_tables import check_server, schema_of

    try:
        address = read_address(url)
    except UsageError as error:
        return "postgresql", [fail("store", str(error), error.hint or "")], False
    try:
        with psycopg.connect(**address.parameters(), autocommit=True) as connection:
            check_server(connection, address)
            there = schema_of(connection, address) is not None
            found = [_rights(connection) if there else _to_be_made(connection, address)]
            return address.shown, [*found, *_surroundings(connection, address)], there
    except psycopg.Error as error:
        meant = meaning(error, address)
        return address.shown, [fail("store", str(meant), meant.hint or "")], False
    except StoreError as error:
        return address.shown, [fail("store", str(error), error.hint or "")], False


def _to_be_made(connection: psycopg.Connection, address: Address) -> Line:
    schema, may = _row(connection, "SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE')")
    if not may:
        user = connection.info.user
        what = f"none yet, and {user!r} may not make tables in schema {schema!r} of {address.shown}"
        return fail("store", what, f"as its owner: GRANT CREATE, USAGE ON SCHEMA {schema} TO {user}")
    return ok("store", f"none yet; it will be made in schema {schema!r} of {address.shown}")


def _rights(connection: psycopg.Connection) -> Line:
    from netra_loop.journal.postgres_tables import names

    missing = [
        f"{right} on {name}"
        for name in names()
        for right in _RIGHTS
        if _row(connection, "SELECT has_table_privilege(%s, %s)", name, right) != (True,)
    ]
    if missing:
        schema, user = _row(connection, "SELECT current_schema()")[0], connection.info.user
        return fail(
            "store's rights",
            f"{user!r} lacks {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" if len(missing) > 3 else ""),
            f"as its owner: GRANT {', '.join(_RIGHTS)} ON ALL TABLES IN SCHEMA {schema} TO {user}",
        )
    return ok("store's rights", f"{connection.info.user!r} may read and write every table")


def _surroundings(connection: psycopg.Connection, address: Address) -> Iterator[Line]:
    version = connection.info.server_version
    told = f"PostgreSQL {version // 10000}.{version % 10000} at {address.shown}"
    encrypted = bool(connection.pgconn.ssl_in_use)
    if connection.info.host.startswith("/") or connection.info.hostaddr in {"127.0.0.1", "::1"}:
        yield ok("store's server", f"{told}, on this machine")
    elif encrypted:
        yield ok("store's server", f"{told}, over TLS")
    else:
        yield warn("store's server", f"{told}: what is sent can be read on the way", "add ?sslmode=require to the URL")
    if _row(connection, "SELECT pg_backend_pid()") != (connection.info.backend_pid,):
        yield warn(
            "store's pooler",
            "a connection pooler stands before the server; ownership needs one connection to stay one",
            "name the server itself with --store, or let the pooler work by session",
        )
    if _row(connection, "SHOW fsync") == ("off",):
        yield warn("store's durability", "the server runs with fsync=off: a power cut loses it", "set fsync = on there")
    (left,) = _row(
        connection,
        "SELECT current_setting('max_connections')::int - count(*) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'",
    )
    if int(str(left)) < _FEW:
        yield warn("store's connections", f"{left} are left; a session takes three", "raise max_connections there")


def _row(connection: psycopg.Connection, statement: str, *values: str) -> tuple[object, ...]:
    found = connection.execute(statement.encode(), values or None).fetchone()
    assert found is not None  # each of these statements answers with one row
    return tuple(found)
