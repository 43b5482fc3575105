"""What a store's name may be; who only looks makes none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.records import Batch
from netra_loop.errors import StoreError, UsageError
from netra_loop.journal import neighbours
from netra_loop.journal.base import Journal
from netra_loop.journal.naming import check_name
from netra_loop.journal.store import open_store
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import head


@pytest.mark.parametrize(
    "name",
    [
        "postgres//me:s3cret@host/db",
        "postgresql:/me:s3cret@host/db",
        "postgresql:me:s3cret@host/db",
        "postgers://me:s3cret@host/db",
        "me:s3cret@postgresql://host/db",
        "me:s3cret@host/db",
        "//me:s3cret@host/db",
        "postgres/me:s3cret@host/db",
        "host=h user=me password=s3cret",
        "sqlite:/journal.db",
        "sqlite//journal.db",
        "http://me:s3cret@host",
    ],
)
def test_what_looks_like_a_server_is_no_path_and_its_password_is_not_told(name: str):
    with pytest.raises(UsageError, match=r"expected sqlite:///PATH or a path, or postgresql://") as told:
        open_store(name)
    assert "s3cret" not in f"{told.value} {told.value.hint}"


@pytest.mark.parametrize(
    "name", ["journal.db", "a/b c.db", "./me:you@there.db", "/x/me:you@there.db", "data//j.db", "night@home.db"]
)
def test_any_other_name_is_a_path(name: str):
    check_name(name)


def test_who_looks_makes_nothing_and_hears_what_is_near(store_path: Path, tmp_path: Path):
    store_path.parent.mkdir(parents=True, mode=0o700)
    with pytest.raises(StoreError, match=r"there is no store at .*, and none was made") as told:
        open_store(str(store_path), make=False)
    assert "nearby" not in str(told.value)
    assert list(store_path.parent.iterdir()) == []
    mistyped = tmp_path / "projekt" / ".netra-loop" / "journal.db"
    with pytest.raises(StoreError, match=r"is there, 'projekt' in it is not"):
        open_store(str(mistyped), make=False)
    assert not (tmp_path / "projekt").exists()


async def test_what_is_near_is_named(store_path: Path):
    await open_store(str(store_path)).close()
    for mistyped in (store_path.with_name("jornal.db"), store_path.parent.parent / "journal.db"):
        with pytest.raises(StoreError) as told:
            open_store(str(mistyped), make=False)
        assert f"found nearby: {str(store_path)!r}" in str(told.value)
    assert not store_path.with_name("jornal.db").exists()
    there: Journal = open_store(str(store_path), make=False)
    assert await there.sessions() == []
    await there.close()


async def test_who_looks_makes_no_tables(postgres: PrivatePostgres):
    url = postgres.url_of_new_schema()
    journal = open_store(url, make=False)
    with pytest.raises(StoreError, match=r"there is no store at .*: the database has no tables"):
        await journal.sessions()
    await journal.close()
    schema = url.rpartition("%3D")[2]
    assert postgres.execute(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'") == [(0,)]


async def test_a_store_that_is_looked_at_from_beside_is_as_before(open_sqlite: Callable[[], Journal], store_path: Path):
    await open_sqlite().close()
    before = {path.name: path.stat().st_mtime_ns for path in store_path.parent.iterdir()}
    assert neighbours.stores_in(store_path.parent) == [store_path]
    assert {path.name: path.stat().st_mtime_ns for path in store_path.parent.iterdir()} == before
    journal = open_sqlite()
    await journal.create(head("golden-1"), Batch())
    wal = store_path.with_name("journal.db-wal").stat().st_size
    assert neighbours.stores_in(store_path.parent) == [store_path]
    assert neighbours.knows(store_path, "golden-1")
    assert store_path.with_name("journal.db-wal").stat().st_size == wal > 0
