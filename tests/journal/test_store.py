"""What only a store on disk can promise: files, locks, damage."""

import asyncio
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import Defect, StaleEpoch, StoreDamaged, StoreError, UsageError
from netra_loop.journal import chain
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head, result

S = "golden-1"
Open = Callable[[], Journal]


async def filled(journal: Journal, texts: int = 3) -> None:
    await journal.create(head(), Batch())
    async with journal.own(S):
        for number in range(texts):
            await journal.append(S, Batch(events=(Noted(text=f"needle-{number}"),)))


def wal_exists(store: Path) -> bool:
    return Path(f"{store}-wal").exists()


def another_program(script: str) -> subprocess.Popen[str]:
    """Runs `script`, which has `sqlite3` and prints a line once it is where it should be."""
    pipe = subprocess.PIPE
    program = subprocess.Popen([sys.executable, "-c", f"import sqlite3\n{script}"], stdin=pipe, stdout=pipe, text=True)
    program.stdout.readline()
    return program


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def meddled(store: Path, statement: str) -> None:
    other = sqlite3.connect(store)
    with other:
        other.execute(statement)
    other.close()


def typed(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True)


def removed(store: Path) -> None:
    store.unlink()


def wiped(store: Path) -> None:
    """Everything behind the first page becomes zeros."""
    raw = store.read_bytes()
    store.write_bytes(raw[:4096] + bytes(len(raw) - 4096))


class TestFiles:
    async def test_only_we_may_read_them(self, open_sqlite: Open, store_path: Path):
        before = os.umask(0)
        try:
            journal = open_sqlite()
            await filled(journal)
        finally:
            os.umask(before)
        assert mode(store_path.parent) == 0o700
        assert {mode(path) for path in store_path.parent.rglob("*") if path.is_file()} == {0o600}

    @pytest.mark.parametrize("url", ["sqlite://{}", "sqlite:///{}", "{}"])
    async def test_a_url_or_a_plain_path(self, tmp_path: Path, url: str):
        path = tmp_path / "store with space" / "j.db"
        await open_store(url.format(path)).close()
        assert path.is_file()

    @pytest.mark.parametrize("url", ["sqlite://", "", "mysql://x"])
    def test_any_other_url_is_the_users_mistake(self, url: str):
        with pytest.raises(UsageError, match="expected sqlite:///PATH or a path"):
            open_store(url)

    async def test_closed_is_closed(self, open_sqlite: Open, store_path: Path):
        journal = open_sqlite()
        await filled(journal)
        await journal.close()
        assert not wal_exists(store_path)
        with pytest.raises(Defect, match="after it was closed"):
            await journal.sessions()

    async def test_closing_one_of_two_leaves_the_other_its_locks(self, open_sqlite: Open, store_path: Path):
        one = open_sqlite()
        await filled(one)
        await open_sqlite().close()
        # somebody who thinks to be the last one would remove the -wal under `one`
        script = f"c = sqlite3.connect({str(store_path)!r}); c.execute('select * from events').fetchall(); c.close()"
        another_program(script).communicate()
        assert wal_exists(store_path)
        assert await one.verify(S) == 3


class TestRefused:
    """Each is exit 5 before anything is touched."""

    @pytest.fixture
    async def store(self, store_path: Path) -> Path:
        journal = open_store(str(store_path))
        await filled(journal)
        await journal.close()
        return store_path

    def refused(self, path: Path, because: str) -> StoreError:
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(StoreError, match=because) as caught:
            open_store(str(path))
        assert caught.value.exit_code == 5
        assert str(path.parent) in str(caught.value)
        assert caught.value.hint
        assert (path.read_bytes() if path.is_file() else None) == before
        return caught.value

    def test_a_folder_that_everybody_may_write(self, store: Path):
        store.parent.chmod(0o777)
        self.refused(store, "written by everybody")

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_read_only(self, store: Path, what: str):
        path = store if what == "file" else store.parent
        path.chmod(0o400 if what == "file" else 0o500)
        try:
            self.refused(store, "is read-only")
        finally:
            path.chmod(0o700)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_somebody_elses(self, store: Path, what: str):
        os.chown(store if what == "file" else store.parent, 12345, -1)
        self.refused(store, "belongs to user 12345")

    @pytest.mark.parametrize("part", ["", "-wal"])
    def test_a_symbolic_link(self, store: Path, part: str):
        link = Path(f"{store}{part}")
        target = store.with_name("elsewhere")
        shutil.copy(store, target)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        self.refused(store, "symbolic link")

    def test_a_folder_that_is_a_symbolic_link(self, store: Path):
        elsewhere = store.parent.with_name("elsewhere")
        store.parent.rename(elsewhere)
        store.parent.symlink_to(elsewhere)
        self.refused(store, "is a symbolic link, expected the folder itself")

    def test_a_dangling_link_is_not_filled(self, store: Path):
        store.unlink()
        store.symlink_to(store.with_name("nowhere"))
        self.refused(store, "symbolic link")
        assert not store.with_name("nowhere").exists()

    def test_a_folder_in_its_place(self, store: Path):
        store.unlink()
        store.mkdir()
        self.refused(store, "no plain file")

    @pytest.mark.parametrize("left", [0, 50, 4096, 20000])
    def test_cut_off(self, store: Path, left: int):
        os.truncate(store, left)
        assert isinstance(self.refused(store, "cut off"), StoreDamaged)

    def test_no_database_at_all(self, store: Path):
        store.write_bytes(b"once upon a time" * 100)
        self.refused(store, "no netra-loop store")

    def test_another_programs_database(self, store: Path):
        store.unlink()
        with sqlite3.connect(store) as other:
            other.execute("create table theirs (x)")
        other.close()
        assert isinstance(self.refused(store, "another program's database"), StoreDamaged)

    def test_a_newer_schema(self, store: Path):
        other = sqlite3.connect(store)
        other.execute("pragma user_version=99")
        other.close()
        self.refused(store, "schema 99, this version knows")


class TestDamage:
    """A chain that is not what was written is found when it is read, and named."""

    def changed(self, path: Path, old: bytes, new: bytes) -> None:
        raw = path.read_bytes()
        assert raw.count(old) == 1
        path.write_bytes(raw.replace(old, new))

    @pytest.fixture
    async def store(self, store_path: Path) -> Path:
        journal = open_store(str(store_path))
        await filled(journal)
        await journal.close()
        return store_path

    @pytest.mark.parametrize("byte", [b"N", b"\xff", b"\0"], ids=["letter", "no-utf8", "nul"])
    async def test_a_flipped_byte_in_an_event(self, store: Path, open_sqlite: Open, byte: bytes):
        self.changed(store, b"needle-1", byte + b"eedle-1")
        with pytest.raises(StoreDamaged, match=rf"event 2 of session '{S}' is not what was written"):
            await open_sqlite().events(S)

    @pytest.mark.parametrize(
        ("statement", "told"),
        [
            ("delete from events where seq = 2", "event 2 .* is missing"),
            ("delete from events where seq = 3", "2 events of session .* 3 were acknowledged"),
            ("update events set seq = 7 where seq = 3", "event 3 .*(missing|acknowledged)"),
            ("update events set outcome = 'met' where seq = 1", "event 1 .* not what was written"),
            ("update sessions set last_seq = 2", "event 3 .* not the last one"),
            ("delete from sessions", "0 events of session .* 3 were acknowledged"),
        ],
    )
    async def test_rows_that_were_meddled_with(self, store: Path, open_sqlite: Open, statement: str, told: str):
        other = sqlite3.connect(store)
        with other:
            other.execute(statement)
        other.close()
        with pytest.raises(StoreDamaged, match=told):
            await open_sqlite().events(S)

    async def test_a_page_of_nothing(self, store: Path, open_sqlite: Open):
        wiped(store)
        with pytest.raises(StoreDamaged, match="cannot be read"):
            await open_sqlite().events(S)

    async def test_a_row_beside_the_chain(self, store: Path, open_sqlite: Open):
        journal = open_sqlite()
        async with journal.own(S):
            await journal.append(S, Batch(results=(result(),)))
        other = sqlite3.connect(store)
        with other:
            other.execute("update results set outcome = 'splendid'")
        other.close()
        with pytest.raises(StoreDamaged, match=f"'results' of session '{S}'.*splendid"):
            await journal.results(S)

    async def test_a_lost_wal(self, store_path: Path, tmp_path: Path, open_sqlite: Open):
        """As a kill leaves it: the lock file says more than a store without its -wal holds."""
        living = open_sqlite()
        await filled(living)
        copy = tmp_path / "copy"
        shutil.copytree(store_path.parent, copy)
        (copy / "journal.db-wal").unlink()
        (copy / "journal.db-shm").unlink()
        lost = open_store(str(copy / "journal.db"))
        try:
            for read in (lost.sessions(), lost.events(S), lost.find("latest"), lost.own(S).__aenter__()):
                with pytest.raises(StoreDamaged, match=r"0 events of session 'golden-1', 3 were acknowledged"):
                    await read
        finally:
            await lost.close()

    async def test_without_a_snapshot_it_says_how_to_go_on_with_what_is_left(self, store: Path, open_sqlite: Open):
        end = "(select hash from events where seq = 2)"
        for statement in ("delete from events where seq = 3", f"update sessions set last_seq = 2, last_hash = {end}"):
            meddled(store, statement)
        with pytest.raises(StoreDamaged, match=r"2 events of session .* 3 were acknowledged") as caught:
            await open_sqlite().events(S)
        typed((caught.value.hint or "").partition("to go on with what is left: ")[2])
        assert await open_sqlite().verify(S) == 2

    async def test_a_removed_store_is_missing_and_begins_anew_by_what_is_said(self, store: Path, open_sqlite: Open):
        removed(store)
        for _ in range(2):  # nothing took its place
            with pytest.raises(StoreDamaged, match=r"there was one, .*: what was acknowledged of 1 session") as caught:
                open_sqlite()
        typed((caught.value.hint or "").partition("to begin anew: ")[2].partition(";")[0])
        assert await open_sqlite().sessions() == []

    async def test_an_event_of_a_newer_version(self, store: Path, open_sqlite: Open):
        row = {"seq": 1, "at": "2026-01-01T00:00:00.000000Z", "iteration": 0, "phase": None, "attempt": 0}
        row |= {"event": "time_travelled", "outcome": None, "detail": "{}"}
        digest = chain.link(chain.GENESIS, "golden-9", row)
        other = sqlite3.connect(store)
        with other:
            other.execute(
                "insert into sessions select 'golden-9', 9, loop, environment, state, iteration, phase, started_at, "
                "updated_at, exit_code, 0, 1, ?, owner from sessions",
                (digest,),
            )
            other.execute(
                "insert into events (session, seq, at, iteration, attempt, event, hash, detail) "
                "values ('golden-9', 1, ?, 0, 0, 'time_travelled', ?, '{}')",
                (row["at"], digest),
            )
        other.close()
        with pytest.raises(StoreError, match="written by a newer netra-loop") as caught:
            await open_sqlite().events("golden-9")
        assert not isinstance(caught.value, StoreDamaged)


class TestLocks:
    async def test_a_store_that_another_program_has_locked(self, open_sqlite: Open, store_path: Path):
        journal = open_sqlite()
        await filled(journal)
        connect = f"c = sqlite3.connect({str(store_path)!r}, isolation_level=None)"
        with another_program(f"{connect}; c.execute('begin immediate'); print('locked', flush=True); input()") as other:
            with pytest.raises(StoreError, match=rf"locked by process {other.pid}, waited 0.2 s"):
                await journal.create(head("golden-2"), Batch())
            assert [known.id for known in await journal.sessions()] == [S]  # readers do not wait
            other.communicate("\n")
        await journal.create(head("golden-2"), Batch())

    async def test_an_owner_who_lost_the_session_stops(self, open_sqlite: Open, store_path: Path):
        """The lock file was removed under it, so that another could take the session over."""
        old, new = open_sqlite(), open_sqlite()
        await filled(old)
        async with old.own(S) as before:
            (store_path.parent / "sessions" / f"{S}.lock").unlink()
            async with new.own(S) as now:
                assert now == before + 1
                with pytest.raises(StaleEpoch, match=f"our epoch {before}, now {now}"):
                    await old.append(S, Batch(events=(Noted(text="from the past"),), results=(result(),)))
                await new.append(S, Batch(events=(Noted(text="ours"),)))
        assert [one.event.text for one in (await new.events(S))[3:]] == ["ours"]
        assert await new.results(S) == []


class TestCancelling:
    async def test_a_cancelled_append_is_there_or_not_but_never_half(self, open_sqlite: Open):
        journal = open_sqlite()
        await filled(journal, texts=0)
        async with journal.own(S):
            for turns in range(6):
                before = await journal.verify(S)
                batch = Batch(events=(Noted(text="a"), Noted(text="b")), results=(result(f"t{turns}"),))
                task = asyncio.create_task(journal.append(S, batch))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                after = await journal.verify(S)
                assert after - before in {0, 2}
                assert bool(await journal.results(S, test=f"t{turns}")) == (after > before)

    async def test_however_often_it_is_cancelled_ownership_ends(self, open_sqlite: Open):
        journal = open_sqlite()
        await filled(journal, texts=0)
        owns = asyncio.Event()

        async def owner() -> None:
            async with journal.own(S):
                owns.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(owner())
        await owns.wait()
        big = Batch(results=tuple(result(f"t{n}") for n in range(2000)))
        busy = asyncio.create_task(journal.create(head("golden-2"), big))  # what giving back has to queue behind
        await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await busy
        assert await journal.holder(S) is None
        async with journal.own(S) as epoch:
            assert epoch == 3


def _tmpfs(folder: Path, size: str) -> bool:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False)
    return mounted.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    if os.geteuid() != 0 or not _tmpfs(folder, "400k"):
        pytest.skip("needs the right to mount a small tmpfs")
    folder.chmod(0o700)
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_leaves_nothing_half_written(small_disk: Path):
    journal = open_store(str(small_disk / "journal.db"))
    try:
        await filled(journal)
        async with journal.own(S):
            big = tuple(result(f"t{n}", message=os.urandom(4000).hex()) for n in range(100))
            with pytest.raises(StoreError, match=r"disk is full .* expected 16 MiB") as caught:
                await journal.append(S, Batch(events=(Noted(text="too much"),), results=big))
            assert re.search("make room", caught.value.hint or "")
            assert await journal.verify(S) == 3
            assert await journal.results(S) == []
            await journal.append(S, Batch(events=(Noted(text="small enough"),)))
        assert await journal.verify(S) == 4
    finally:
        await journal.close()
