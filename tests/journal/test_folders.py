"""Whose a session's folder is, where several stores keep sessions of one name in a project."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.records import Batch
from netra_loop.errors import StoreError
from netra_loop.journal.base import Journal, StoreIdentity
from netra_loop.journal.folders import claim, whose
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head

SERVER = StoreIdentity("b" * 32, "postgresql://me@host/db")


@pytest.fixture
def folder(store_path: Path) -> Path:
    made = store_path.parent / "sessions" / "golden-1"
    made.mkdir(parents=True, mode=0o700)
    store_path.parent.chmod(0o700)
    return made


async def test_the_store_that_claimed_it_has_it(open_sqlite: Callable[[], Journal], folder: Path):
    ours = await open_sqlite().identity()
    claim(folder, ours)
    claim(folder, ours)
    assert whose(folder, ours) is None
    assert whose(folder, SERVER) == ours.at
    with pytest.raises(StoreError, match="is that of session 'golden-1' of another store"):
        claim(folder, SERVER)


async def test_a_server_is_known_however_its_url_is_written(folder: Path):
    claim(folder, SERVER)
    assert whose(folder, StoreIdentity(SERVER.id, "postgresql://host:5432/db")) is None
    assert whose(folder, StoreIdentity("c" * 32, "postgresql://host/db")) == SERVER.at


def made_at(path: Path) -> StoreIdentity:
    async def make() -> StoreIdentity:
        journal = open_store(str(path))
        found = await journal.identity()
        await journal.close()
        return found

    return asyncio.run(make())


def test_a_store_that_is_no_more_has_none(folder: Path, tmp_path: Path):
    there, moved = tmp_path / "other" / "night.db", tmp_path / "other" / "moved.db"
    theirs = made_at(there)
    claim(folder, theirs)
    there.rename(moved)
    assert whose(folder, StoreIdentity(theirs.id, str(moved))) is None
    assert whose(folder, SERVER) is None
    moved.rename(there)
    assert whose(folder, StoreIdentity(theirs.id, str(moved))) == str(there)  # who asks is a copy of it
    there.write_bytes(there.read_bytes()[:4096] + b"x" * 4096)
    assert whose(folder, SERVER) == str(there)  # damaged, but there


async def test_what_an_older_version_left_is_the_store_s_beside_that_knows_the_session(
    open_sqlite: Callable[[], Journal], folder: Path
):
    journal = open_sqlite()
    ours = await journal.identity()
    assert whose(folder, SERVER) is None
    await journal.create(head("golden-1"), Batch())
    assert whose(folder, SERVER) == ours.at
    assert whose(folder, ours) is None
    (folder / "store").write_text(json.dumps(["nonsense"]))
    assert whose(folder, SERVER) == ours.at
