"""The lock file of a session, above all when it is taken from its holder."""

import asyncio
import json
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import DiskFull, SessionHeld, StaleEpoch, StoreError
from netra_loop.journal import locks, ownership, snapshots
from netra_loop.journal.base import Journal
from netra_loop.journal.restoring import restore
from netra_loop.testing import FakeClock
from netra_loop.testing.rows import head

S = "golden-1"
Open = Callable[[], Journal]
TAKES_OVER = """
import asyncio, sys
from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import StoreError
from netra_loop.journal.store import open_store
async def main():
    journal = open_store(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        async with journal.own("golden-1", takeover=True) as epoch:
            print(epoch, flush=True)
            sys.stdin.readline()
            await journal.append("golden-1", Batch(events=(Noted(text=sys.argv[2]),)))
            print("wrote", flush=True)
    except StoreError as error:
        print(type(error).__name__, flush=True)
    await journal.close()
asyncio.run(main())
"""


async def made(journal: Journal, texts: int = 2) -> None:
    await journal.create(head(), Batch())
    async with journal.own(S):
        for number in range(texts):
            await journal.append(S, Batch(events=(Noted(text=f"n{number}"),)))


def lock_of(store: Path) -> Path:
    return store.parent / "sessions" / f"{S}.lock"


def said(store: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(lock_of(store).read_bytes())
    return found


def temporary(store: Path) -> list[Path]:
    return [path for path in (store.parent / "sessions").iterdir() if path.suffix != ".lock"]


async def test_what_was_acknowledged_is_carried_over(open_sqlite: Open, store_path: Path):
    old, new = open_sqlite(), open_sqlite()
    await made(old)
    before = locks.acknowledged(store_path.parent, S)
    async with old.own(S), new.own(S, takeover=True):
        assert locks.acknowledged(store_path.parent, S) == before
        assert before is not None
        assert before.seq == 2
    assert temporary(store_path) == []


async def test_the_old_owner_s_leaving_does_the_new_one_no_harm(open_sqlite: Open, store_path: Path):
    old, new, third = open_sqlite(), open_sqlite(), open_sqlite()
    await made(old)
    async with old.own(S) as first:
        taken = new.own(S, takeover=True)
        assert await taken.__aenter__() == first + 1
        with pytest.raises(StaleEpoch):
            await old.append(S, Batch(events=(Noted(text="late"),)))
    assert said(store_path)["pid"]  # the old one gave back what was nobody's any more
    with pytest.raises(SessionHeld):
        await third.own(S).__aenter__()
    await new.append(S, Batch(events=(Noted(text="ours"),)))
    assert said(store_path)["seq"] == 3
    await taken.__aexit__(None, None, None)
    assert await third.holder(S) is None


async def test_one_that_nobody_holds_is_just_taken(open_sqlite: Open, store_path: Path):
    journal = open_sqlite()
    await made(journal)
    before = lock_of(store_path).stat().st_ino
    async with journal.own(S, takeover=True):
        assert lock_of(store_path).stat().st_ino == before


async def test_of_many_who_take_it_over_at_once_one_has_it(open_sqlite: Open, store_path: Path):
    """Real processes: whoever holds the file in place is the one who can write, and nobody else wrote."""
    journal = open_sqlite()
    await made(journal, texts=0)
    pipe = subprocess.PIPE
    async with journal.own(S):
        many = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", TAKES_OVER, str(store_path), f"by {number}", stdin=pipe, stdout=pipe
            )
            for number in range(5)
        ]
        for one in many:
            assert await one.stdout.readline() == b"ready\n"
        for one in many:
            one.stdin.write(b"\n")
        answers = [(await one.stdout.readline()).decode().strip() for one in many]
        holder = await journal.holder(S)
        ends = [(await one.communicate(b"\n"))[0].decode().split() for one in many]
        with pytest.raises(StaleEpoch):
            await journal.append(S, Batch(events=(Noted(text="the first"),)))
    assert holder is not None
    wrote = [one.pid for one, end in zip(many, ends, strict=True) if "wrote" in end]
    assert wrote == [holder.pid]
    epochs = [int(answer) for answer in answers if answer.isdigit()]
    assert len(set(epochs)) == len(epochs)
    assert [answer for answer in answers if not answer.isdigit()] == ["SessionHeld"] * (5 - len(epochs))
    assert len(await journal.events(S)) == 1
    assert temporary(store_path) == []


def test_a_take_over_killed_before_its_end_leaves_nothing_in_the_way(store_path: Path):
    sessions = store_path.parent / "sessions"
    sessions.mkdir(parents=True)
    first, second = (ownership.SessionLock(store_path.parent, S, FakeClock()) for _ in range(2))
    first.take()
    first.seat(1)
    first.acknowledge(7, "f" * 64)
    (sessions / f".{S}.lock.{4711}.new").write_text("left by a kill")
    second.take(takeover=True)
    second.confirm()
    second.seat(2)
    with pytest.raises(SessionHeld):
        first.confirm()
    assert locks.all_acknowledged(store_path.parent) == {S: locks.Acknowledged(7, "f" * 64)}
    first.release()
    second.release()


# ---------------------------------------------------------------------------------------------------- what fails


KILLED_BEFORE_ITS_LOCK_IS_IN_PLACE = """
import sqlite3, sys
from pathlib import Path
from netra_loop.clock import SystemClock
from netra_loop.journal.ownership import SessionLock
store = Path(sys.argv[1])
lock = SessionLock(store.parent, "golden-1", SystemClock(), store.name)
lock.take(takeover=True)
other = sqlite3.connect(store)
with other:
    other.execute("update sessions set epoch = epoch + 1, owner = ?", (lock.owner,))
other.close()
print("committed", flush=True)
sys.stdin.readline()
"""


async def check_still_the_owner(old: Journal, third: Journal, store: Path) -> None:
    holder = await third.holder(S)
    assert holder is not None
    assert holder.pid == said(store)["pid"]
    with pytest.raises(SessionHeld):
        await third.own(S).__aenter__()
    await old.append(S, Batch(events=(Noted(text="still ours"),)))
    assert [path for path in temporary(store) if path.suffix != ".stop"] == []


async def test_a_take_over_that_cannot_write_leaves_the_owner_his_lock(open_sqlite: Open, store_path: Path):
    old, new, third = open_sqlite(), open_sqlite(), open_sqlite()
    await made(old)
    async with old.own(S):
        other = sqlite3.connect(store_path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreError, match="is locked by"):
            await new.own(S, takeover=True).__aenter__()
        other.close()
        await check_still_the_owner(old, third, store_path)


async def test_a_take_over_that_finds_the_disk_full_leaves_the_owner_his_lock(open_sqlite: Open, store_path: Path):
    old, new, third = open_sqlite(), open_sqlite(), open_sqlite()
    await made(old)
    async with old.own(S):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # room for a lock file, none for the journal
        try:
            with pytest.raises(DiskFull):
                await new.own(S, takeover=True).__aenter__()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await check_still_the_owner(old, third, store_path)


async def test_killed_between_epoch_and_lock_the_old_owner_ends_and_the_session_goes_on(
    open_sqlite: Open, store_path: Path
):
    old, third = open_sqlite(), open_sqlite()
    await made(old)
    pipe = subprocess.PIPE
    async with old.own(S) as first:
        command = (sys.executable, "-c", KILLED_BEFORE_ITS_LOCK_IS_IN_PLACE, str(store_path))
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert await process.stdout.readline() == b"committed\n"
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        with pytest.raises(SessionHeld):  # he has his lock, and ends before he writes
            await third.own(S).__aenter__()
        with pytest.raises(StaleEpoch):
            await old.append(S, Batch(events=(Noted(text="late"),)))
    async with third.own(S) as epoch:
        assert epoch > first + 1
        await third.append(S, Batch(events=(Noted(text="ours"),)))


async def test_epochs_go_on_after_the_store_was_put_back_to_an_earlier_time(open_sqlite: Open, store_path: Path):
    journal = open_sqlite()
    await made(journal)
    assert await journal.snapshot(30, due=True) is None
    for _ in range(3):
        async with journal.own(S) as last:
            pass
    await journal.close()
    [snapshot] = snapshots.named(store_path)
    restore(store_path, snapshot)
    async with open_sqlite().own(S) as epoch:
        assert epoch > last


# ---------------------------------------------------------------------------------------------------- all of them


HOLDS_ALL = """
import resource, sys
from pathlib import Path
from netra_loop.journal import ownership, snapshots
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
with ownership.all_locked(Path(sys.argv[1]), "journal.db") as locks:
    for lock in locks.values():
        lock.restart(lock.acknowledged().seq - 1, "e" * 64)
    print(len(locks))
"""


def test_however_many_sessions_there_are_few_files_are_open(store_path: Path):
    sessions = store_path.parent / "sessions"
    sessions.mkdir(parents=True)
    for number in range(200):
        text = json.dumps({"seq": 7, "hash": "f" * 64, "store": "journal.db"})
        (sessions / f"s-{number}.lock").write_text(text.ljust(512))
    command = [sys.executable, "-c", HOLDS_ALL, str(store_path.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("200\n", "")
    known = locks.all_acknowledged(store_path.parent, "journal.db")
    assert set(known.values()) == {locks.Acknowledged(6, "e" * 64)}


async def test_while_all_are_locked_none_is_taken_and_none_that_is_held_is_locked(open_sqlite: Open, store_path: Path):
    journal = open_sqlite()
    await made(journal)
    async with journal.own(S):
        with pytest.raises(SessionHeld), ownership.all_locked(store_path.parent, store_path.name):
            pass
    with ownership.all_locked(store_path.parent, store_path.name):
        taking = asyncio.ensure_future(journal.own(S).__aenter__())
        done, _ = await asyncio.wait({taking}, timeout=0.3)
        assert not done
    assert await asyncio.wait_for(taking, 20) > 0
