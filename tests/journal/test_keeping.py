"""Snapshots that are made of a store that lost something: none of them pushes a good one out."""

import asyncio
import fcntl
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.journal import keeping, snapshots
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import entry, head, result

S, OTHER = "golden-1", "golden-2"
Open = Callable[[], Journal]


async def note(journal: Journal, session: str, number: int) -> None:
    text = f"{session}-{number}"
    batch = Batch(events=(Noted(iteration=1, text=text),), results=(result(text),), entries=(entry(text),))
    await journal.append(session, batch)


@pytest.fixture
async def journal(open_sqlite: Open) -> Journal:
    """Two sessions of three events, results and entries, and a snapshot of them."""
    opened = open_sqlite()
    for session in (S, OTHER):
        await opened.create(head(session), Batch())
        async with opened.own(session):
            for number in range(3):
                await note(opened, session, number)
    assert await opened.snapshot(60, due=True) is None
    return opened


def put(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def changed(store: Path, statement: str) -> None:
    other = sqlite3.connect(store)
    with other:
        other.execute(statement)
    other.close()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("delete from events where session = 'golden-2' and seq = 2", "event 2 .*'golden-2' is missing"),
        ("delete from events where session = 'golden-2' and seq = 3", "event 3 .*'golden-2' is missing"),
        ("delete from events where session = 'golden-2'", "event 1 .*'golden-2' is missing"),
        ("delete from sessions where id = 'golden-2'", "0 events of session 'golden-2', 3 were acknowledged"),
        ("update events set detail = '{}' where session = 'golden-2'", "event 1 .* is not what was written"),
        ("delete from results where id = 'golden-2-1'", "2 rows in 'results' of session 'golden-2', fewer by 1"),
        ("delete from entries where session = 'golden-2'", "0 rows in 'entries' of .*, fewer by 3"),
    ],
)
async def test_what_is_lost_is_told_and_the_snapshots_before_are_kept(
    journal: Journal, store_path: Path, statement: str, told: str
):
    before = snapshots.named(store_path)
    changed(store_path, statement)
    async with journal.own(S):
        for number in range(3, 3 + keeping.KEPT):
            await note(journal, S, number)  # the other one goes on
            assert re.search(told, await journal.snapshot(60, due=True) or "")
    assert snapshots.named(store_path) == before
    assert len(list(before[0].parent.iterdir())) == 1


async def test_a_chain_put_back_whole_to_an_earlier_time_is_told_by_what_was_acknowledged(
    journal: Journal, store_path: Path
):
    before = snapshots.named(store_path)
    earlier = "select hash from events where session = 'golden-2' and seq = 2"
    changed(store_path, f"update sessions set last_seq = 2, last_hash = ({earlier}) where id = 'golden-2'")
    changed(store_path, "delete from events where session = 'golden-2' and seq = 3")
    assert "2 events of session 'golden-2', 3 were acknowledged" in (await journal.snapshot(60, due=True) or "")
    assert snapshots.named(store_path) == before


async def test_a_session_that_was_pruned_is_not_missed(journal: Journal, store_path: Path):
    async with journal.own(OTHER):
        await journal.forget(OTHER)
    assert await journal.snapshot(60, due=True) is None
    assert snapshots.read(snapshots.named(store_path)[-1]).ends.keys() == {S}


async def test_one_of_that_name_begun_anew_is_another(journal: Journal, store_path: Path):
    async with journal.own(OTHER):
        await journal.forget(OTHER)
    await journal.create(head(OTHER), Batch())
    async with journal.own(OTHER):
        await note(journal, OTHER, 7)
    assert await journal.snapshot(60, due=True) is None


async def test_rows_of_a_snapshot_that_rotted_are_no_measure(journal: Journal, store_path: Path):
    [rotten] = snapshots.named(store_path)
    changed(rotten, "insert into attempts values ('golden-1', 1, 'never', 1, 'gw0', '', '')")
    changed(rotten, "update events set detail = '{}' where session = 'golden-1' and seq = 1")
    assert await journal.snapshot(60, due=True) is None


class TestTwoAtOnce:
    @pytest.fixture
    def busy(self, journal: Journal, store_path: Path) -> Iterator[None]:
        """Somebody else makes one now."""
        descriptor = os.open(store_path.parent / snapshots.FOLDER, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.close(descriptor)

    @pytest.mark.usefixtures("busy")
    async def test_one_that_is_due_says_that_it_was_not_made(self, journal: Journal, store_path: Path):
        assert await journal.snapshot(0.1, due=True) == "another process makes one now, waited 0.1 s"
        assert len(snapshots.named(store_path)) == 1

    @pytest.mark.usefixtures("busy")
    async def test_one_that_is_not_leaves_it_to_the_other(self, store_path: Path, open_sqlite: Open):
        assert await open_sqlite().snapshot(60) is None
        assert len(snapshots.named(store_path)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=700", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_what_a_kill_left_does_not_take_the_room_of_the_next(small_disk: Path):
    left = small_disk / snapshots.FOLDER / ".journal.db-999999.new"

    async def made() -> str | None:
        journal = open_store(str(small_disk / "journal.db"))
        await journal.create(head(), Batch())
        put(left, bytes(60 << 20))
        try:
            return await journal.snapshot(60, due=True)
        finally:
            await journal.close()

    left.parent.mkdir()
    assert asyncio.run(made()) is None
    assert not left.exists()


@pytest.fixture
async def closed_store(store_path: Path) -> Path:
    journal = open_store(str(store_path))
    await journal.create(head(), Batch())
    await journal.close()
    return store_path


def keeper_of(store: Path, *, hurried: bool) -> keeping.Keeper:
    """One that hears of the end just as its copy begins."""

    def connect() -> sqlite3.Connection:
        if hurried:
            made.hurry()
        return sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True, isolation_level=None)

    made = keeping.Keeper(store, connect)
    return made


async def test_a_copy_is_given_up_and_nothing_of_it_is_left(closed_store: Path):
    assert keeper_of(closed_store, hurried=True).make(30) == "netra-loop was to end"
    assert list((closed_store.parent / "snapshots").iterdir()) == []


async def test_the_copy_at_the_end_is_made(closed_store: Path):
    assert keeper_of(closed_store, hurried=True).make(30, due=True) is None
    assert len(list((closed_store.parent / "snapshots").iterdir())) == 1


async def test_none_is_begun_once_the_end_is_near(closed_store: Path):
    keeper = keeper_of(closed_store, hurried=False)
    keeper.hurry()
    assert keeper.make(30) == "netra-loop was to end"
    assert list((closed_store.parent / "snapshots").iterdir()) == []
