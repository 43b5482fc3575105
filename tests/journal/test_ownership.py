"""The lock file of a session, above all when it is taken from its holder."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld, StaleEpoch
from netra_loop.journal import ownership
from netra_loop.journal.base import Journal
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
    before = ownership.acknowledged(lock_of(store_path))
    async with old.own(S), new.own(S, takeover=True):
        assert ownership.acknowledged(lock_of(store_path)) == before
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
    assert ownership.all_acknowledged(store_path.parent) == {S: ownership.Acknowledged(7, "f" * 64)}
    first.release()
    second.release()
