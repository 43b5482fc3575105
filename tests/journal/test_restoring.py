"""A snapshot put in the place of a store: who is kept out meanwhile, and what a failure leaves."""

import asyncio
import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld, StoreDamaged, StoreError
from netra_loop.journal import leftovers, locks, snapshots, using
from netra_loop.journal.base import Journal
from netra_loop.journal.restoring import restore
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head

S = "golden-1"
Open = Callable[[], Journal]
USES = """
import sys
from pathlib import Path
from netra_loop.journal import using
with using.alone(Path(sys.argv[1]), sys.argv[2]):
    print("has it", flush=True)
    sys.stdin.readline()
"""
HAS_IT_OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("select * from events").fetchall()
print("has it", flush=True)
sys.stdin.readline()
"""


async def note(journal: Journal, text: str) -> None:
    await journal.append(S, Batch(events=(Noted(text=text),)))


@pytest.fixture
async def snapshot(store_path: Path) -> Path:
    """Of one event, where two were acknowledged; the store is closed."""
    journal = open_store(str(store_path))
    await journal.create(head(), Batch())
    async with journal.own(S):
        await note(journal, "kept")
        assert await journal.snapshot(60) is None
        await note(journal, "lost")
    await journal.close()
    return snapshots.named(store_path)[-1]


def everything(store: Path) -> dict[str, object]:
    """What each file beside the store says, but for the one that is locked."""
    files = [path for path in store.parent.rglob("*") if path.is_file() and path != using.lock_of(store)]
    said = {str(path.relative_to(store.parent)): path.read_bytes() for path in files}
    return {name: json.loads(raw) if name.endswith(".lock") else raw for name, raw in said.items()}


def inode(path: Path) -> int:
    return path.stat().st_ino


def replaced(store: Path, by: Path) -> None:
    other = store.with_name("other")
    other.write_bytes(by.read_bytes())
    other.replace(store)


def removed(path: Path) -> None:
    path.unlink()


def put(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


@pytest.fixture
def another(store_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Runs a program on the store, and answers once it is where it should be."""
    started = []

    def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        words = [sys.executable, "-c", program, str(store_path), *arguments]
        started.append(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True))
        assert started[-1].stdout.readline() == "has it\n"
        return started[-1]

    yield start
    for one in started:
        let_go(one)


def let_go(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.communicate("\n")


class TestKeptOut:
    async def test_a_session_that_begins_waits_and_writes_to_no_store_that_is_over(
        self, snapshot: Path, store_path: Path, open_sqlite: Open
    ):
        """It was opened before; its first write is after."""
        begins = open_sqlite()
        assert len(await begins.events(S)) == 2
        restore(store_path, snapshot)
        for write in (begins.own(S).__aenter__(), begins.create(head("golden-2"), Batch()), begins.events(S)):
            with pytest.raises(StoreError, match="was replaced while it was open"):
                await write
        assert await open_sqlite().holder(S) is None
        assert [one.id for one in await open_sqlite().sessions()] == [S]
        async with open_sqlite().own(S):
            pass

    async def test_one_that_begins_meanwhile_says_who_is_in_its_way(
        self, snapshot: Path, store_path: Path, another: Callable[..., "subprocess.Popen[str]"]
    ):
        begins = open_store(str(store_path), busy_timeout_s=0.2)
        other = another(USES, "restores")
        with pytest.raises(StoreError, match=rf"process {other.pid} restores the store .*; waited 0.2 s") as caught:
            await begins.create(head("golden-2"), Batch())
        assert caught.value.exit_code == 5
        await begins.close()

    async def test_one_that_writes_is_in_the_way(self, snapshot: Path, store_path: Path, open_sqlite: Open):
        """Without a session of its own that could be held."""
        journal = open_sqlite()
        await journal.create(head("golden-2"), Batch())
        before = inode(store_path)
        with pytest.raises(StoreError, match=r"writes to the store .*; waited 0.1 s"):
            restore(store_path, snapshot, within_s=0.1)
        assert inode(store_path) == before

    def test_another_program_that_has_it_open_is_named(
        self, snapshot: Path, store_path: Path, another: Callable[..., "subprocess.Popen[str]"]
    ):
        before = everything(store_path)
        other = another(HAS_IT_OPEN)
        with pytest.raises(StoreError, match=rf"process {other.pid} has the store .* open"):
            restore(store_path, snapshot)
        let_go(other)
        assert everything(store_path) == before
        restore(store_path, snapshot)


class TestReplaced:
    """Whatever took the store's place while somebody wrote: nothing counts as written any more."""

    @pytest.fixture
    async def journal(self, snapshot: Path, open_sqlite: Open) -> Journal:
        return open_sqlite()

    async def test_by_another_file(self, journal: Journal, snapshot: Path, store_path: Path):
        async with journal.own(S):
            before = locks.acknowledged(store_path.parent, S)
            replaced(store_path, by=snapshot)
            with pytest.raises(StoreError, match=r"was replaced .* nothing was written"):
                await note(journal, "to nobody")
            assert locks.acknowledged(store_path.parent, S) == before

    async def test_by_nothing(self, journal: Journal, snapshot: Path, store_path: Path):
        async with journal.own(S):
            removed(store_path)
            with pytest.raises(StoreDamaged, match="was removed while it was open") as caught:
                await note(journal, "to nobody")
        assert f"--restore {snapshot}" in (caught.value.hint or "")

    async def test_by_itself_without_its_wal(self, journal: Journal, snapshot: Path, store_path: Path):
        async with journal.own(S):
            await note(journal, "first")
            removed(Path(f"{store_path}-wal"))
            with pytest.raises(StoreDamaged, match=r"the -wal of store .* was removed while it was open") as caught:
                await note(journal, "to nobody")
        assert f"--restore {snapshot}" in (caught.value.hint or "")


class TestFailed:
    """All is as before, down to the byte."""

    @pytest.fixture
    def store(self, store_path: Path, snapshot: Path) -> Path:
        Path(f"{store_path}-wal").write_bytes(b"w" * 5000)
        Path(f"{store_path}-shm").write_bytes(b"s" * 5000)
        return store_path

    def test_where_what_is_there_cannot_be_set_aside(self, store: Path, snapshot: Path):
        store.rename(store.with_name("elsewhere"))
        store.symlink_to(store.with_name("elsewhere"))
        before = everything(store)
        with pytest.raises(StoreError, match="symbolic link"):
            restore(store, snapshot)
        assert everything(store) == before

    @pytest.mark.parametrize("fails", ["link", "rename", "fsync", "pwrite"])
    @pytest.mark.parametrize("at", [1, 2, 3, 4])
    def test_where_a_step_fails(self, store: Path, snapshot: Path, fails: str, at: int):
        """Whichever call of the system it is that fails, once, with an error of the disk."""
        before = everything(store)
        program = FAILS.format(call=fails, at=at, number=errno.EIO)
        done = subprocess.run(
            [sys.executable, "-c", program, str(store), str(snapshot)], capture_output=True, text=True, check=False
        )
        if done.stdout == "all is as before\n":
            assert everything(store) == before
        else:
            assert done.stdout == "restored\n", done.stderr
            assert asyncio.run(read(store)) == ["kept"]

    @pytest.mark.parametrize("call", ["link", "rename", "fsync", "pwrite"])
    @pytest.mark.parametrize("at", [1, 2, 3, 4])
    def test_killed_anywhere_it_is_known_to_be_damaged_or_whole_and_the_same_command_goes_on(
        self, store: Path, snapshot: Path, call: str, at: int
    ):
        program = DIES.format(call=call, at=at)
        subprocess.run([sys.executable, "-c", program, str(store), str(snapshot)], check=False)
        assert told(store) in (["kept"], ["kept", "lost"], f"--restore {snapshot}")
        restore(store, snapshot)
        assert asyncio.run(read(store)) == ["kept"]
        assert [path.name for path in store.parent.glob(".*.new")] == []


DIES = """
import os, sys
from pathlib import Path
from netra_loop.journal.restoring import restore

count = 0
real = os.{call}
def dying(*arguments, **others):
    global count
    count += 1
    if count == {at}:
        os._exit(9)
    return real(*arguments, **others)
os.{call} = dying
restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""
FAILS = """
import os, sys
from pathlib import Path
from netra_loop.errors import StoreError
from netra_loop.journal.restoring import restore

count = 0
real = os.{call}
def failing(*arguments, **others):
    global count
    count += 1
    if count == {at}:
        raise OSError({number}, "it broke")
    return real(*arguments, **others)
os.{call} = failing
try:
    restore(Path(sys.argv[1]), Path(sys.argv[2]))
    print("restored")
except StoreError as error:
    assert "all is as before" in str(error), error
    print("all is as before")
"""


def told(store: Path) -> list[str] | str:
    """The texts of its events, or what is to be typed where it is damaged."""
    try:
        return asyncio.run(read(store))
    except StoreDamaged as error:
        return (error.hint or "").partition("journal ")[2]


async def read(store: Path) -> list[str]:
    journal = open_store(str(store))
    try:
        return [one.event.text for one in await journal.events(S)]
    finally:
        await journal.close()


async def test_a_store_that_is_missing_is_put_back_beside_no_old_wal(
    snapshot: Path, store_path: Path, open_sqlite: Open
):
    removed(store_path)
    put(Path(f"{store_path}-wal"), b"of the store before")
    with pytest.raises(StoreDamaged, match=r"1 snapshot of it, what was acknowledged of 1 session, its -wal") as caught:
        open_sqlite()
    assert f"--restore {snapshot}" in (caught.value.hint or "")
    assert "without 1 acknowledged event that came later" in (caught.value.hint or "")
    done = restore(store_path, snapshot)
    assert done.aside is None
    assert done.lost == {S: (2, 1)}
    assert await open_sqlite().verify(S) == 1


def test_what_killed_processes_left_goes_with_the_next_use(snapshot: Path, store_path: Path):
    folder = store_path.parent
    mine = [folder / f".{store_path.name}.4711.new", snapshot.with_name(f".{store_path.name}-4711.new")]
    small = [folder / ".reserve.4711.new", locks.lock_path(folder, S).with_name(f".{S}.lock.4711.new")]
    for draft in (*mine, *small):
        draft.write_bytes(b"half")
    os.utime(small[0], (0, 0))
    asyncio.run(read(store_path))
    assert [draft.exists() for draft in (*mine, *small)] == [False, False, False, True]  # that one may still be made


def test_a_draft_is_left_to_whoever_makes_it(
    snapshot: Path, store_path: Path, another: Callable[..., "subprocess.Popen[str]"]
):
    draft = store_path.parent / f".{store_path.name}.4711.new"
    draft.write_bytes(b"half")
    other = another(USES, "restores")
    leftovers.sweep(store_path)
    assert draft.exists()
    let_go(other)
    leftovers.sweep(store_path)
    assert not draft.exists()


def test_sessions_that_run_are_named(snapshot: Path, store_path: Path):
    async def tries() -> None:
        journal = open_store(str(store_path))
        async with journal.own(S):
            with pytest.raises(SessionHeld, match=f"held by process {os.getpid()}"):
                restore(store_path, snapshot)
        await journal.close()

    asyncio.run(tries())


def test_what_is_set_aside_is_ours_alone(snapshot: Path, store_path: Path):
    store_path.chmod(0o644)
    done = restore(store_path, snapshot)
    assert done.aside is not None
    assert done.aside.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(store_path) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()
