"""Stores of older versions: what becomes of them when this one opens them. `schema-0001.sql` is the first version's."""

import asyncio
import contextlib
import fcntl
import os
import random
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld, StoreError
from netra_loop.journal import ownership, snapshots
from netra_loop.journal.store import open_store
from netra_loop.journal.tables import APPLICATION_ID, SCHEMA
from netra_loop.testing import FakeClock
from netra_loop.testing.rows import head, result, selected

S = "golden-1"
OLDER = (Path(__file__).parent / "schema-0001.sql").read_text()
TABLES = ("sessions", "events", "selection", "attempts", "results", "entries", "findings", "durations")
OPENS = """
import asyncio, sys
from netra_loop.journal.store import open_store
async def main():
    print("begun", flush=True)
    journal = open_store(sys.argv[1])
    print(await journal.verify("golden-1"), flush=True)
    await journal.close()
asyncio.run(main())
"""


async def _filled(store: Path, tests: int) -> None:
    journal = open_store(str(store))
    await journal.create(head(), Batch())
    async with journal.own(S):
        many = tuple(result(f"t{number}", message="m" * 400) for number in range(tests))
        chosen = tuple(selected(f"t{number}", number) for number in range(tests))
        await journal.append(S, Batch(events=(Noted(iteration=1, text="one"),), selected=chosen, results=many))
        await journal.append(S, Batch(events=(Noted(text="two"),)))
    await journal.close()


def older(store: Path, tests: int = 10) -> Path:
    """A store at `store` as the first version would have left it."""
    asyncio.run(_filled(store, tests))
    made = store.with_name("older.db")
    connection = sqlite3.connect(made)
    connection.executescript(OLDER)
    connection.execute("attach ? as newer", (str(store),))
    for table in TABLES:
        names = ", ".join(row[1] for row in connection.execute(f"pragma table_info({table})"))
        connection.execute(f"insert into {table} select {names} from newer.{table}")
    connection.commit()
    connection.execute("detach newer")
    connection.execute(f"pragma application_id={APPLICATION_ID}")
    connection.execute("pragma user_version=1")
    connection.execute("pragma journal_mode=wal")
    connection.close()
    made.chmod(0o600)
    made.replace(store)
    return store


def shape(store: Path) -> set[tuple[str, str, str]]:
    """Every table and index with its columns."""
    connection = sqlite3.connect(store)
    try:
        named = connection.execute("select type, name from sqlite_master").fetchall()
        of = {"table": "table_xinfo", "index": "index_xinfo"}
        return {(kind, name, str(connection.execute(f"pragma {of[kind]}({name})").fetchall())) for kind, name in named}
    finally:
        connection.close()


def schema(store: Path) -> int:
    connection = sqlite3.connect(store)
    try:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        return int(connection.execute("pragma user_version").fetchone()[0])
    finally:
        connection.close()


def opened(store: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", OPENS, str(store)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def ended(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    said = process.stdout.read()
    process.stdout.close()
    process.wait(60)
    return said


def test_it_becomes_what_a_new_one_is_after_a_snapshot(store_path: Path, tmp_path: Path):
    older(store_path)
    assert ended(opened(store_path)) == "2\n"
    new = tmp_path / "new" / "journal.db"
    asyncio.run(_filled(new, 1))
    assert (schema(store_path), shape(store_path)) == (SCHEMA, shape(new))
    [snapshot] = snapshots.named(store_path)
    assert snapshots.read(snapshot).ends[S][0] == 2
    assert sqlite3.connect(f"file:{snapshot}?immutable=1", uri=True).execute("pragma user_version").fetchone() == (1,)


async def test_what_it_holds_is_read_and_goes_on(store_path: Path):
    await asyncio.to_thread(older, store_path)
    journal = open_store(str(store_path))
    try:
        assert (await journal.verify_all(S)).rows == 20
        assert [one.id for one in await journal.results(S, 1)] == [f"t{number}" for number in range(10)]
        async with journal.own(S):
            await journal.append(S, Batch(events=(Noted(text="three"),)))
        assert await journal.verify(S) == 3
    finally:
        await journal.close()


def test_of_several_who_open_it_at_once_one_migrates(store_path: Path):
    older(store_path, tests=1000)
    processes = [opened(store_path) for _ in range(4)]
    assert [ended(process) for process in processes] == ["2\n"] * 4
    assert schema(store_path) == SCHEMA
    assert len(snapshots.named(store_path)) == 1


def test_killed_in_the_middle_it_is_the_old_one_or_the_new_one(store_path: Path):
    older(store_path, tests=4000)
    chance = random.Random(5)
    for _ in range(4):
        process = opened(store_path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.0, 0.1))
        process.kill()
        ended(process)
        assert schema(store_path) in {1, SCHEMA}
        if schema(store_path) == SCHEMA:
            break
    assert ended(opened(store_path)) == "2\n"
    assert schema(store_path) == SCHEMA


def test_a_session_that_an_older_version_runs_is_in_the_way(store_path: Path):
    older(store_path)
    lock = ownership.SessionLock(store_path.parent, S, FakeClock())
    lock.take()
    lock.seat(1)
    try:
        with pytest.raises(SessionHeld, match=f"held by process {os.getpid()}"):
            open_store(str(store_path))
    finally:
        lock.release()
    assert schema(store_path) == 1
    assert snapshots.named(store_path) == []


def refused(store: Path) -> StoreError:
    """Nothing was changed, and it says what to do."""
    with pytest.raises(StoreError) as caught:
        open_store(str(store), busy_timeout_s=0.2)
    assert schema(store) == 1
    assert caught.value.hint
    return caught.value


def without_snapshot(store: Path) -> str:
    error = refused(store)
    found = re.fullmatch(r".* schema 1, expected \d+, and is not changed without a snapshot, .*: (.*)", str(error))
    assert found is not None
    assert error.exit_code == 3
    return found[1]


def test_without_a_snapshot_nothing_is_changed(store_path: Path):
    older(store_path)
    (store_path.parent / snapshots.FOLDER).write_text("in the way")
    assert "expected a folder of our own" in without_snapshot(store_path)


def test_without_room_for_a_snapshot_nothing_is_changed(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=700", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        assert "MiB left, expected" in without_snapshot(older(disk / "journal.db"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_snapshot_that_another_process_makes_is_not_taken_for_one(store_path: Path):
    older(store_path)
    folder = store_path.parent / snapshots.FOLDER
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert "another process makes one now" in without_snapshot(store_path)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "what", ["using.alone(Path(sys.argv[1]), 'migrates')", "ownership.all_locked(Path(sys.argv[1]).parent)"]
)
def test_another_that_migrates_is_waited_for_a_while_and_named(store_path: Path, what: str):
    older(store_path)
    program = f"""
import sys
from pathlib import Path
from netra_loop.journal import ownership, using
with {what}:
    print("begun", flush=True)
    sys.stdin.readline()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store_path)], stdin=pipe, stdout=pipe, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        error = refused(store_path)
        assert re.search(rf"process {other.pid} .*migrates the store .*; waited 0.2 s", str(error))
        assert error.exit_code == 5
        other.communicate("\n")
    assert ended(opened(store_path)) == "2\n"


async def test_a_session_that_goes_on_after_it_is_in_nobody_s_way(store_path: Path):
    """The file's header lags behind its -wal then."""
    await asyncio.to_thread(older, store_path)
    journal = open_store(str(store_path))
    try:
        async with journal.own(S):
            assert await asyncio.to_thread(lambda: ended(opened(store_path))) == "2\n"
            await journal.append(S, Batch(events=(Noted(text="three"),)))
    finally:
        await journal.close()


def test_the_steps_are_imported_only_where_they_are_needed(store_path: Path):
    says = "import sys; print('netra_loop.journal.migrations' in sys.modules)"
    program = f"from netra_loop.journal.store import open_store; open_store({str(store_path)!r}); {says}"

    def answer() -> str:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert answer() == "False\n"
    for part in store_path.parent.glob("journal.db*"):
        part.unlink()
    older(store_path)
    assert answer() == "True\n"
