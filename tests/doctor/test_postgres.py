"""Tests of what a doctor says of a store in PostgreSQL."""

from __future__ import annotations

from netra_loop.core.records import Batch
from netra_loop.doctor.base import Line, Status
from netra_loop.doctor.postgres import lines
from netra_loop.journal.store import open_store
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import head


def told(found: list[Line]) -> dict[str, Status]:
    return {line.check: line.status for line in found}


async def test_none_yet_is_well_and_none_is_made(postgres: PrivatePostgres):
    url = postgres.url_of_new_schema()
    shown, found, there = await lines(url)
    assert (there, found[0].status) == (False, Status.OK)
    assert "none yet; it will be made in schema" in found[0].detail
    assert postgres.url().startswith(shown.partition("?")[0])
    assert (await lines(url))[2] is False


async def test_one_that_can_be_used(postgres: PrivatePostgres):
    url = postgres.url_of_new_schema()
    journal = open_store(url)
    await journal.create(head(), Batch())
    await journal.close()
    _, found, there = await lines(url)
    assert there
    assert told(found) == {
        "store's rights": Status.OK,
        "store's server": Status.OK,
        "store's durability": Status.WARN,  # tests wait for no disk
    }


async def test_rights_that_are_missing_are_named(postgres: PrivatePostgres):
    url = postgres.url_of_new_schema()
    schema = url.rpartition("%3D")[2]
    postgres.execute("DROP ROLE IF EXISTS guest")
    postgres.execute("CREATE ROLE guest LOGIN")
    postgres.execute(f"GRANT USAGE ON SCHEMA {schema} TO guest")
    theirs = url.replace("netra@", "guest@")
    first = (await lines(theirs))[1][0]
    assert (first.status, f"GRANT CREATE, USAGE ON SCHEMA {schema} TO guest" in first.mend) == (Status.FAIL, True)
    journal = open_store(url)
    await journal.sessions()
    await journal.close()
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO guest")
    first = (await lines(theirs))[1][0]
    assert (first.status, "INSERT on attempts" in first.detail) == (Status.FAIL, True)
    postgres.execute("DROP OWNED BY guest")


async def test_one_that_cannot_be_reached(postgres: PrivatePostgres):
    shown, [line], there = await lines(f"postgresql://u:needle@127.0.0.1:{postgres.port}/nowhere")
    assert (there, line.status) == (False, Status.FAIL)
    assert "needle" not in shown + line.detail + line.mend
    assert line.mend
