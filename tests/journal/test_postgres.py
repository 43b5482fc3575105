"""What is said of a PostgreSQL store that cannot be used, and what is never said."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from netra_loop.core.records import Batch
from netra_loop.errors import Defect, DiskFull, NetraLoopError, StoreDamaged, StoreError, UsageError
from netra_loop.journal import tables
from netra_loop.journal.postgres import PostgresGround
from netra_loop.journal.postgres_address import read_address
from netra_loop.journal.postgres_errors import meaning, passes
from netra_loop.journal.postgres_server import Server
from netra_loop.journal.store import open_store
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import head

PASSWORD = "s3cr3t-needle"


async def refused(url: str) -> NetraLoopError:
    """What the first question to the store comes to."""
    journal = open_store(url)
    try:
        with pytest.raises(NetraLoopError) as caught:
            await journal.sessions()
    finally:
        await journal.close()
    assert "\n" not in str(caught.value)
    assert "needle" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint
    return caught.value


class TestRefused:
    """Each is exit 5, in one line and with a hint, and nothing is written."""

    @pytest.fixture
    def tcp(self, postgres: PrivatePostgres) -> str:
        return f"127.0.0.1:{postgres.port}"

    async def test_a_wrong_password(self, postgres: PrivatePostgres, tcp: str):
        postgres.execute("DROP ROLE IF EXISTS needs_password")
        postgres.execute("CREATE ROLE needs_password LOGIN PASSWORD 'another one'")
        error = await refused(f"postgresql://needs_password:{PASSWORD}@{tcp}/postgres")
        assert (error.exit_code, "password authentication failed" in str(error)) == (5, True)
        assert "PGPASSWORD" in (error.hint or "")

    async def test_a_user_whom_the_server_rejects(self, postgres: PrivatePostgres, tcp: str):
        postgres.execute("DROP ROLE IF EXISTS nobody_may")
        postgres.execute("CREATE ROLE nobody_may LOGIN")
        error = await refused(f"postgresql://nobody_may:{PASSWORD}@{tcp}/postgres")
        assert (error.exit_code, "pg_hba.conf" in str(error)) == (5, True)

    @pytest.mark.parametrize(
        ("user", "database", "hint"), [("netra", "nowhere", "createdb"), ("stranger", "postgres", "createuser")]
    )
    async def test_no_such_database_or_user(self, tcp: str, user: str, database: str, hint: str):
        error = await refused(f"postgres://{user}:{PASSWORD}@{tcp}/{database}")
        assert (error.exit_code, "does not exist" in str(error)) == (5, True)
        assert hint in (error.hint or "")

    async def test_a_server_without_tls_where_it_is_asked_for(self, tcp: str):
        error = await refused(f"postgresql://netra:{PASSWORD}@{tcp}/postgres?sslmode=require")
        assert (error.exit_code, "SSL" in str(error)) == (5, True)
        assert "sslmode" in (error.hint or "")

    async def test_a_host_that_is_not(self):
        error = await refused(f"postgresql://u:{PASSWORD}@nowhere.invalid/db")
        assert error.exit_code == 5
        assert "nowhere.invalid" in str(error)

    async def test_another_programs_tables(self, postgres: PrivatePostgres):
        postgres.execute("CREATE SCHEMA theirs")
        postgres.execute("CREATE TABLE theirs.sessions (x int)")
        error = await refused(postgres.url(schema="theirs"))
        assert (error.exit_code, "tables of another program: sessions" in str(error)) == (5, True)
        assert postgres.execute("SELECT relname FROM pg_class WHERE relnamespace = 'theirs'::regnamespace") == [
            ("sessions",)
        ]

    async def test_a_newer_schema(self, postgres: PrivatePostgres):
        postgres.execute("CREATE SCHEMA newer")
        journal = open_store(postgres.url(schema="newer"))
        await journal.create(head(), Batch())
        await journal.close()
        postgres.execute("UPDATE newer.netra_loop_store SET schema = 99")
        error = await refused(postgres.url(schema="newer"))
        assert (error.exit_code, f"schema 99, this version knows {tables.SCHEMA}" in str(error)) == (5, True)

    async def test_an_older_schema_while_a_session_of_it_runs(self, postgres: PrivatePostgres):
        journal = open_store(url := postgres.url_of_new_schema())
        async with journal.own("golden-1"):
            older(postgres, url)
            assert "session 'golden-1' is held by process" in str(await refused(url))
        await journal.close()

    async def test_a_table_that_was_removed(self, postgres: PrivatePostgres):
        postgres.execute("CREATE SCHEMA lost")
        journal = open_store(url := postgres.url(schema="lost"))
        await journal.sessions()
        await journal.close()
        postgres.execute("DROP TABLE lost.results")
        assert "lost the tables results" in str(await refused(url))

    async def test_a_database_that_is_not_in_utf8(self, postgres: PrivatePostgres):
        postgres.execute("DROP DATABASE IF EXISTS latin")
        postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        error = await refused(postgres.url().replace("/postgres?", "/latin?"))
        assert "in LATIN1, expected UTF8" in str(error)

    async def test_a_user_who_may_make_no_tables(self, postgres: PrivatePostgres):
        postgres.execute("DROP ROLE IF EXISTS reader")
        postgres.execute("CREATE ROLE reader LOGIN")
        url = postgres.url_of_new_schema()
        postgres.execute(f"GRANT USAGE ON SCHEMA {url.rpartition('%3D')[2]} TO reader")
        error = await refused(url.replace("netra@", "reader@"))
        assert (error.exit_code, "permission denied" in str(error)) == (5, True)


def older(postgres: PrivatePostgres, url: str) -> None:
    """Makes a store one of the first schema."""
    schema = url.rpartition("%3D")[2]
    for index in ("selection_in_order", "results_counted"):
        postgres.execute(f"DROP INDEX {schema}.{index}")
    for statement in (
        "DROP TABLE {}.store_identity",
        "ALTER TABLE {}.sessions DROP COLUMN owner",
        "ALTER TABLE {}.netra_loop_owners DROP COLUMN owner",
        "ALTER TABLE {}.netra_loop_owners ALTER COLUMN asked TYPE integer USING NULL",
        "UPDATE {}.netra_loop_store SET schema = 1",
    ):
        postgres.execute(statement.format(schema))


def shape(postgres: PrivatePostgres, url: str) -> list[tuple[str, ...]]:
    schema = url.rpartition("%3D")[2]
    return sorted(postgres.execute(f"SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = '{schema}'"))


async def test_an_older_schema_is_brought_up_to_date_by_whoever_comes_first(postgres: PrivatePostgres):
    journal = open_store(url := postgres.url_of_new_schema())
    await journal.create(head(), Batch())
    await journal.close()
    new = shape(postgres, url)
    older(postgres, url)
    assert shape(postgres, url) != new
    journals = [open_store(url) for _ in range(3)]
    heads = await asyncio.gather(*(one.sessions() for one in journals))
    assert heads == [[head()]] * 3
    for one in journals:
        await one.close()
    assert shape(postgres, url) == new
    assert postgres.execute("SELECT schema FROM netra_loop_store", schema=url.rpartition("%3D")[2]) == [
        (tables.SCHEMA,)
    ]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:needle/x@h/db",
        "postgresql://u:nee@dle@h/db",
        "postgresql://u:needle?x@h/db",
        "postgresql://u:needle%zz@h/db",
        "postgresql://u:needle@h/db?needle",
        "postgresql://u:needle@h/db?needle=1",
        "postgresql+psycopg://u:needle@h:port:1/db?application",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str):
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert "needle" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_an_address_is_shown_without_its_password():
    address = read_address("postgres://me:a%40needle@h:5433/db?sslmode=require")
    assert address.shown == "postgresql://me@h:5433/db"
    assert "needle" not in repr(address)
    assert address.told("no a@needle, no a%40needle\n  here") == "no ***, no *** here"
    assert address.parameters()["password"] == "a@needle"


@pytest.mark.parametrize(
    ("error", "again", "kind"),
    [
        (psycopg.errors.AdminShutdown(), True, StoreError),
        (psycopg.errors.TooManyConnections(), True, StoreError),
        (psycopg.errors.SerializationFailure(), True, StoreError),
        (psycopg.OperationalError("server closed the connection unexpectedly"), True, StoreError),
        (psycopg.InterfaceError("the connection is closed"), True, StoreError),
        (psycopg.errors.DiskFull("no space left on device"), False, DiskFull),
        (psycopg.errors.InvalidPassword(), False, StoreError),
        (psycopg.errors.UndefinedTable('relation "events" does not exist'), False, StoreDamaged),
        (psycopg.errors.DataCorrupted("invalid page in block 3"), False, StoreDamaged),
        (psycopg.DataError("text fields cannot contain NUL"), False, Defect),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_passes_by_itself_and_what_the_rest_means(error: psycopg.Error, again: bool, kind: type):
    meant = meaning(error, read_address("postgresql://u@h/db"))
    assert (passes(error, seen=False), type(meant)) == (again, kind)
    assert passes(error, seen=True) == again


@pytest.mark.parametrize(
    "told",
    [
        'could not translate host name "db" to address: Temporary failure in name resolution',
        "SSL connection has been closed unexpectedly",
        "SSL error: certificate verify failed",
        'FATAL: password authentication failed for user "me"',
    ],
)
def test_what_may_never_pass_does_with_a_server_that_let_us_in_before(told: str):
    error = psycopg.OperationalError(told)
    assert [passes(error, seen=seen) for seen in (False, True)] == [False, True]


async def test_a_commit_means_that_it_is_on_disk(postgres: PrivatePostgres):
    postgres.execute("DROP ROLE IF EXISTS hasty")
    postgres.execute("CREATE ROLE hasty SUPERUSER LOGIN")
    postgres.execute("ALTER ROLE hasty SET synchronous_commit = off")
    url = postgres.url_of_new_schema(user="hasty")
    for connection, is_set in ((psycopg.connect(url), "off"), (Server(url).connect(), "on")):
        assert connection.execute("SHOW synchronous_commit").fetchone() == (is_set,)
        connection.close()


def test_what_a_role_prefers_does_not_change_how_a_journal_is_kept(postgres: PrivatePostgres):
    postgres.execute("DROP ROLE IF EXISTS strict")
    postgres.execute("CREATE ROLE strict SUPERUSER LOGIN")
    postgres.execute("ALTER ROLE strict SET statement_timeout = '1h'")
    postgres.execute("ALTER ROLE strict SET default_transaction_isolation = 'serializable'")
    ground = PostgresGround(postgres.url_of_new_schema(user="strict"))
    for writer, isolation in ((True, "read committed"), (False, "repeatable read")):
        lane = ground.lane(writer=writer)
        shown = lane.transaction(
            lambda connection: [
                connection.scalar(f"SHOW {one}") for one in ("transaction_isolation", "statement_timeout")
            ]
        )
        assert shown == [isolation, "0"]
        lane.close()
    ground.close()


def test_whoever_keeps_a_file_imports_nothing_of_it(tmp_path: Path):
    script = (
        "import asyncio, sys; from netra_loop.journal.store import open_store\n"
        "async def main():\n"
        "    journal = open_store(sys.argv[1]); await journal.sessions(); await journal.close()\n"
        "asyncio.run(main()); print(sorted(name for name in sys.modules if 'psycopg' in name or 'postgres' in name))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store" / "journal.db")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
