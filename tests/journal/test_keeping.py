"""A copy is given up as soon as somebody waits for the process to end, unless it is the last one, which is due."""

import sqlite3
from pathlib import Path

import pytest

from netra_loop.core.records import Batch
from netra_loop.journal.keeping import Keeper
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head


@pytest.fixture
async def store(store_path: Path) -> Path:
    journal = open_store(str(store_path))
    await journal.create(head(), Batch())
    await journal.close()
    return store_path


def keeper_of(store: Path, *, hurried: bool) -> Keeper:
    """One that hears of the end just as its copy begins."""

    def connect() -> sqlite3.Connection:
        if hurried:
            made.hurry()
        return sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True, isolation_level=None)

    made = Keeper(store, connect)
    return made


async def test_a_copy_is_given_up_and_nothing_of_it_is_left(store: Path):
    assert keeper_of(store, hurried=True).make(30) == "netra-loop was to end"
    assert list((store.parent / "snapshots").iterdir()) == []


async def test_the_copy_at_the_end_is_made(store: Path):
    assert keeper_of(store, hurried=True).make(30, due=True) is None
    assert len(list((store.parent / "snapshots").iterdir())) == 1


async def test_none_is_begun_once_the_end_is_near(store: Path):
    keeper = keeper_of(store, hurried=False)
    keeper.hurry()
    assert keeper.make(30) == "netra-loop was to end"
    assert list((store.parent / "snapshots").iterdir()) == []
