"""Bytes that are not what was written, wherever they lie: told, never read as something else, never touched."""

import asyncio
import hashlib
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import StoreDamaged, StoreError
from netra_loop.journal import snapshots
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import entry, head, result

S = "golden-1"
SEED = 20261121


async def filled(store: Path) -> list[str]:
    """A store with events, rows and a snapshot, closed; answers with the texts of its events."""
    journal = open_store(str(store))
    await journal.create(head(), Batch())
    texts = [f"needle-{number}" for number in range(60)]
    async with journal.own(S):
        for text in texts:
            batch = Batch(
                events=(Noted(text=text),), results=(result(text, output=text * 100),), entries=(entry(text),)
            )
            await journal.append(S, batch)
        assert await journal.snapshot(60) is None
    await journal.close()
    return texts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    store = tmp_path_factory.mktemp("whole") / ".netra-loop" / "journal.db"
    return store, asyncio.run(filled(store))


def copied(store: Path, to: Path) -> Path:
    shutil.copytree(store.parent, to / ".netra-loop")
    return to / ".netra-loop" / store.name


async def read_all(store: Path) -> list[str]:
    """Everything a session holds, read; the texts of its events."""
    journal = open_store(str(store))
    try:
        await journal.sessions()
        await journal.verify_all(S)
        return [one.event.text for one in await journal.events(S)]
    finally:
        await journal.close()


def digest(store: Path) -> bytes:
    return hashlib.sha256(store.read_bytes()).digest()


def without_wal(store: Path) -> Path:
    for part in ("-wal", "-shm"):
        Path(f"{store}{part}").unlink()
    return store


async def told(store: Path, read: Callable[[Path], Awaitable[list[str]]] = read_all) -> StoreError | list[str]:
    """What reading it comes to; the file is the same afterwards."""
    before = digest(store)
    found: StoreError | list[str]
    try:
        found = await read(store)
    except StoreError as error:
        found = error
    assert digest(store) == before
    assert isinstance(found, list) or found.exit_code == 5
    return found


def offers(error: StoreError, store: Path) -> bool:
    return f"journal --restore {snapshots.named(store)[-1]}" in (error.hint or "")


async def test_a_flipped_bit_anywhere_is_told_or_changes_no_event(whole: tuple[Path, list[str]], tmp_path: Path):
    texts = whole[1]
    store = copied(whole[0], tmp_path)
    raw = store.read_bytes()
    chance = random.Random(SEED)
    recognised = 0
    for place in [*range(0, 100, 3), *(chance.randrange(100, len(raw)) for _ in range(70))]:
        changed = bytearray(raw)
        changed[place] ^= 1 << chance.randrange(8)
        store.write_bytes(changed)
        found = await told(store)
        if isinstance(found, StoreError):
            recognised += 1
            assert not isinstance(found, StoreDamaged) or offers(found, store), (place, found.hint)
        else:
            assert found == texts, place
    assert recognised > 5


async def test_a_flipped_bit_in_any_event_is_told(whole: tuple[Path, list[str]], tmp_path: Path):
    store = copied(whole[0], tmp_path)
    raw = store.read_bytes()
    for text in whole[1][::10]:
        place = raw.index(f'{{"text":"{text}"}}'.encode())
        store.write_bytes(raw[: place + 9] + bytes([raw[place + 9] ^ 4]) + raw[place + 10 :])
        found = await told(store)
        assert isinstance(found, StoreDamaged)
        assert offers(found, store)


async def test_cut_off_anywhere(whole: tuple[Path, list[str]], tmp_path: Path):
    store = copied(whole[0], tmp_path)
    raw = store.read_bytes()
    chance = random.Random(SEED)
    for left in [0, 1, 99, 100, 4096, len(raw) - 4096, len(raw) - 1, *(chance.randrange(len(raw)) for _ in range(30))]:
        store.write_bytes(raw[:left])
        found = await told(store)
        assert isinstance(found, StoreDamaged), left
        assert offers(found, store)


async def test_a_wal_lost_after_a_kill(tmp_path: Path):
    """As it lies there while the owner runs: what it acknowledged is in the -wal alone."""
    living = tmp_path / "living" / "journal.db"
    journal = open_store(str(living))
    await journal.create(head(), Batch())
    async with journal.own(S):
        await journal.append(S, Batch(events=(Noted(text="first"),)))
        assert await journal.snapshot(60) is None
        await journal.append(S, Batch(events=(Noted(text="second"),)))
        store = copied(living, tmp_path)
    await journal.close()
    found = await told(without_wal(store))
    assert isinstance(found, StoreDamaged)
    assert "were acknowledged" in str(found)
    assert offers(found, store)


async def test_another_programs_file(whole: tuple[Path, list[str]], tmp_path: Path):
    store = copied(whole[0], tmp_path)
    store.unlink()
    with sqlite3.connect(store) as other:
        other.execute("create table theirs (x)")
    other.close()
    found = await told(store)
    assert isinstance(found, StoreDamaged)
    assert offers(found, store)


async def test_a_damaged_snapshot_is_not_offered(whole: tuple[Path, list[str]], tmp_path: Path):
    store = copied(whole[0], tmp_path)
    store.write_bytes(store.read_bytes()[:5000])
    [good] = snapshots.named(store)
    bad = good.with_name(good.name.replace("-000001-", "-000002-"))
    bad.write_bytes(good.read_bytes().replace(b"needle-7", b"noodle-7"))
    found = await told(store)
    assert isinstance(found, StoreDamaged)
    assert str(good) in (found.hint or "")
    good.unlink()
    found = await told(store)
    assert isinstance(found, StoreDamaged)
    assert "no good snapshot of it is kept" in (found.hint or "")


async def test_rows_beside_the_chain_are_read_by_verify(whole: tuple[Path, list[str]], tmp_path: Path):
    store = copied(whole[0], tmp_path)
    other = sqlite3.connect(store)
    with other:
        other.execute("update results set outcome = 'splendid' where id = 'needle-5'")
    other.close()

    async def verified(store: Path) -> list[str]:
        journal: Journal = open_store(str(store))
        try:
            assert await journal.verify(S) == 60  # the chain alone is whole
            await journal.verify_all(S)
        finally:
            await journal.close()
        return []

    found = await told(store, verified)
    assert isinstance(found, StoreDamaged)
    assert "row 'needle-5' of 'results'" in str(found)


async def test_a_store_without_a_name_of_its_own_is_taken_for_no_other(whole: tuple[Path, list[str]], tmp_path: Path):
    store = copied(whole[0], tmp_path)
    with sqlite3.connect(store) as connection:
        connection.execute("DELETE FROM store_identity")
    connection.close()
    journal = open_store(str(store))
    with pytest.raises(StoreDamaged, match="lost the row that tells it from others"):
        await journal.identity()
    await journal.close()
