import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld, StoreDamaged
from netra_loop.journal import locks, snapshots
from netra_loop.journal.base import Journal
from netra_loop.journal.restoring import restore
from netra_loop.testing.rows import head, result

S = "golden-1"
Open = Callable[[], Journal]


async def note(journal: Journal, text: str) -> None:
    await journal.append(S, Batch(events=(Noted(text=text),), results=(result(text),)))


@pytest.fixture
async def journal(open_sqlite: Open) -> Journal:
    opened = open_sqlite()
    await opened.create(head(), Batch())
    return opened


def content(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_it_holds_what_was_acknowledged_and_is_ours_alone(journal: Journal, store_path: Path):
    before = os.umask(0)
    try:
        async with journal.own(S):
            await note(journal, "one")
            assert await journal.snapshot(60) is None
            await note(journal, "two")
    finally:
        os.umask(before)
    found = snapshots.newest_good(store_path)
    assert found is not None
    assert found.ends[S][0] == 1
    assert (mode(found.path), mode(found.path.parent)) == (0o600, 0o700)
    assert [path.name for path in found.path.parent.iterdir()] == [found.path.name]  # nothing was made beside it


async def test_the_last_three_are_kept(journal: Journal, store_path: Path):
    async with journal.own(S):
        for number in range(5):
            await note(journal, f"n{number}")
            assert await journal.snapshot(60, due=True) is None
    assert [snapshots.read(path).ends[S][0] for path in snapshots.named(store_path)] == [3, 4, 5]


async def test_one_that_is_not_wanted_so_soon_is_left_out(journal: Journal, store_path: Path):
    for _ in range(3):
        assert await journal.snapshot(60) is None
    assert len(snapshots.named(store_path)) == 1


async def test_what_cannot_be_done_in_time_says_so_and_leaves_nothing(journal: Journal, store_path: Path):
    assert "cannot be copied within 1e-05 s" in (await journal.snapshot(1e-5, due=True) or "")
    assert "took longer" in (await journal.snapshot(0.001, due=True) or "")
    assert list((store_path.parent / snapshots.FOLDER).iterdir()) == []


async def test_a_damaged_store_pushes_no_good_snapshot_out(journal: Journal, store_path: Path):
    async with journal.own(S):
        await note(journal, "one")
    assert await journal.snapshot(60, due=True) is None
    other = sqlite3.connect(store_path)
    with other:
        other.execute("update events set outcome = 'met'")
    other.close()
    for _ in range(4):
        assert "not what was written" in (await journal.snapshot(60, due=True) or "")
    assert len(snapshots.named(store_path)) == 1
    assert snapshots.newest_good(store_path) is not None


async def test_what_a_kill_left_is_removed_by_the_next(journal: Journal, store_path: Path):
    folder = store_path.parent / snapshots.FOLDER
    folder.mkdir()
    left = folder / f".{store_path.name}-999999.new"
    put(left, b"half")
    assert await journal.snapshot(60) is None
    assert not left.exists()


async def test_writers_go_on_while_a_snapshot_is_read(journal: Journal, store_path: Path):
    """One read transaction: what is written meanwhile is not in it, and does not wait for it."""
    async with journal.own(S):
        await note(journal, "before")
        with sqlite3.connect(store_path, isolation_level=None) as reader:
            reader.execute("begin")
            reader.execute("select * from events").fetchall()
            await note(journal, "meanwhile")
            assert reader.execute("select count(*) from events").fetchone() == (1,)
        reader.close()


class TestRestoring:
    @pytest.fixture
    async def snapshot(self, journal: Journal, store_path: Path) -> Path:
        """Of one event, where three were acknowledged; the store is closed."""
        async with journal.own(S):
            await note(journal, "kept")
            assert await journal.snapshot(60) is None
            await note(journal, "lost")
            await note(journal, "lost too")
        await journal.close()
        return snapshots.named(store_path)[-1]

    async def test_the_session_goes_on_from_there(self, snapshot: Path, store_path: Path, open_sqlite: Open):
        damaged = content(store_path)[:5000]
        put(store_path, damaged)
        done = restore(store_path, snapshot)
        assert done.lost == {S: (3, 1)}
        assert done.aside is not None
        assert content(done.aside) == damaged
        assert mode(store_path) == 0o600
        again = open_sqlite()
        assert [one.event.text for one in await again.events(S)] == ["kept"]
        async with again.own(S):
            await note(again, "goes on")
        assert await again.verify(S) == 2

    async def test_a_session_that_runs_is_in_the_way(self, snapshot: Path, store_path: Path, open_sqlite: Open):
        running = open_sqlite()
        async with running.own(S):
            before = content(store_path)
            with pytest.raises(SessionHeld, match=f"held by process {os.getpid()}"):
                restore(store_path, snapshot)
            assert content(store_path) == before

    async def test_a_snapshot_that_is_not_whole_is_refused(self, snapshot: Path, store_path: Path):
        put(snapshot, content(snapshot)[:-4096])
        before = content(store_path)
        with pytest.raises(StoreDamaged):
            restore(store_path, snapshot)
        assert content(store_path) == before
        assert [path.name for path in store_path.parent.glob("*.damaged*")] == []

    async def test_killed_before_the_locks_were_told_it_is_done_again(
        self, snapshot: Path, store_path: Path, open_sqlite: Open
    ):
        lock = locks.lock_path(store_path.parent, S)
        said = content(lock)
        restore(store_path, snapshot)
        put(lock, said)  # as the kill would have left it
        with pytest.raises(StoreDamaged, match="3 were acknowledged") as caught:
            await open_sqlite().events(S)
        assert str(snapshot) in (caught.value.hint or "")
        restore(store_path, snapshot)
        assert await open_sqlite().verify(S) == 1

    async def test_a_stale_wal_never_comes_to_lie_beside_it(self, snapshot: Path, store_path: Path, open_sqlite: Open):
        put(Path(f"{store_path}-wal"), b"of the store before")
        done = restore(store_path, snapshot)
        assert content(Path(f"{done.aside}-wal")) == b"of the store before"
        assert await open_sqlite().verify(S) == 1
