import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import Defect, StaleEpoch, StoreError, UsageError
from netra_loop.journal import forgetting, locks, tables, writing
from netra_loop.journal.base import Journal
from netra_loop.journal.sql import SqliteConnection
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import entry, finding, head, result, selected

Open = Callable[[], Journal]
TABLES = ("sessions", "events", "selection", "attempts", "results", "entries", "findings")


async def filled(journal: Journal, session: str, tests: int = 3) -> None:
    await journal.create(head(session), Batch())
    async with journal.own(session):
        batch = Batch(
            events=(Noted(iteration=1, text="one"),),
            selected=(selected(),),
            results=tuple(result(f"t{number}", output="x" * 3000) for number in range(tests)),
            entries=(entry(),),
            findings=(finding(),),
        )
        await journal.append(session, batch)


def rows(store: Path, session: str) -> int:
    connection = sqlite3.connect(store)
    try:
        names = {"sessions": "id"}
        asked = [f"select count(*) from {name} where {names.get(name, 'session')} = ?" for name in TABLES]
        return sum(int(connection.execute(one, (session,)).fetchone()[0]) for one in asked)
    finally:
        connection.close()


def size(store: Path) -> int:
    return store.stat().st_size


async def test_all_of_it_goes_and_nothing_of_another(open_sqlite: Open, store_path: Path):
    journal = open_sqlite()
    await filled(journal, "golden-1", tests=4500)  # more than one portion
    await filled(journal, "golden-2")
    async with journal.own("golden-1"):
        await journal.forget("golden-1")
    assert rows(store_path, "golden-1") == 0
    assert [one.id for one in await journal.sessions()] == ["golden-2"]
    assert (await journal.verify_all("golden-2")).rows == 6
    assert [path.name for path in (store_path.parent / "sessions").iterdir()] == ["golden-2.lock"]


async def test_the_contract(journal: Journal):
    await filled(journal, "golden-1")
    with pytest.raises(Defect, match="does not own it"):
        await journal.forget("golden-1")
    async with journal.own("golden-1"):
        await journal.forget("golden-1")
    assert await journal.reclaim() == 0
    with pytest.raises(UsageError):
        await journal.find("golden-1")
    await filled(journal, "golden-1")  # the name is free again
    assert len(await journal.results("golden-1", 1)) == 3


async def test_room_is_given_back(open_sqlite: Open, store_path: Path):
    journal = open_sqlite()
    await filled(journal, "golden-1", tests=1000)
    await journal.close()
    before = size(store_path)
    journal = open_sqlite()
    async with journal.own("golden-1"):
        await journal.forget("golden-1")
    assert await journal.reclaim() == 0
    await journal.close()
    assert size(store_path) < before / 2


async def test_what_a_kill_in_the_middle_left_is_nobodys(open_sqlite: Open, store_path: Path):
    """The session and its events are gone, the rows beside them are not yet."""
    journal = open_sqlite()
    for session in ("golden-1", "golden-2"):
        await filled(journal, session)
    await journal.close()
    for lock in (store_path.parent / "sessions").iterdir():
        lock.unlink()
    with sqlite3.connect(store_path) as other:
        other.execute("delete from sessions")
        other.execute("delete from events")
    other.close()
    journal = open_sqlite()
    assert await journal.sessions() == []
    await journal.create(head("golden-1"), Batch())
    assert await journal.results("golden-1", 1) == []  # a new one of the name begins without them
    await journal.reclaim()
    assert rows(store_path, "golden-2") == 0


async def test_rows_are_removed_of_nobody_but_who_is_no_more():
    """A session may be made again under the name between the look and the removal."""
    driver = sqlite3.connect(":memory:", isolation_level=None)
    connection = SqliteConnection(driver)
    with connection.transaction():
        for table in tables.TABLES:
            for statement in table.making({}):
                connection.run(statement)
        connection.run(tables.identity.insert, ("x", 0))
        writing.insert_session(connection, head("golden-1"), 1, "me")
        place = writing.place_of(connection, "golden-1")
        batch = Batch(results=(result("t1"),), entries=(entry(),))
        writing.write_batch(connection, "golden-1", place, batch, None, head("golden-1").started_at)
        assert not forgetting.forget_some(connection, "golden-1")
        assert connection.scalar(tables.results.count("")) == 1
        forgetting.forget_head(connection, "golden-1", 1)
        assert forgetting.strays(connection) == {"golden-1"}
        while forgetting.forget_some(connection, "golden-1"):
            continue
        assert connection.scalar(tables.results.count("")) == 0
    driver.close()


async def test_who_owned_one_that_was_removed_is_not_taken_for_the_owner_of_the_next(store_url: str):
    old, new = open_store(store_url), open_store(store_url)
    await filled(old, "golden-1")
    async with old.own("golden-1") as first:
        async with new.own("golden-1", takeover=True) as second:
            await new.forget("golden-1")
        async with new.own("golden-1") as third:
            await new.create(head("golden-1"), Batch(events=(Noted(text="one"),)))
            with pytest.raises(StaleEpoch):
                await old.append("golden-1", Batch(events=(Noted(text="late"),)))
    assert first < second < third
    assert [one.event for one in await new.events("golden-1")] == [Noted(text="one")]
    for journal in (old, new):
        await journal.close()


async def test_what_could_not_be_removed_is_known_as_before(open_sqlite: Open, store_path: Path):
    journal = open_sqlite()
    await filled(journal, "golden-1")
    before = locks.acknowledged(store_path.parent, "golden-1", store_path.name)
    async with journal.own("golden-1"):
        other = sqlite3.connect(store_path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreError, match="is locked"):
            await journal.forget("golden-1")
        other.close()
    assert before is not None
    assert locks.acknowledged(store_path.parent, "golden-1", store_path.name) == before
    assert await journal.verify("golden-1") == 1


async def test_what_killed_processes_left_beside_the_store_goes_too(open_sqlite: Open, store_path: Path):
    journal, folder = open_sqlite(), store_path.parent / "sessions"
    await filled(journal, "golden-1")
    async with journal.own("golden-2"):
        for name in ("gone.lock", "gone@0123.stop", "other@0123.stop"):
            (folder / name).write_text("")
        await journal.reclaim()
        assert sorted(path.name for path in folder.iterdir()) == ["golden-1.lock", "golden-2.lock"]
