"""A server that crashes, refuses and is cut off: nothing is lost, nothing is there twice, nobody writes who lost."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest

from netra_loop.clock import SystemClock
from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld, StaleEpoch, StoreDamaged, StoreError
from netra_loop.journal.base import Journal, Mark
from netra_loop.journal.postgres import PostgresGround
from netra_loop.journal.store import StoredJournal, open_store
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import attempt, head, result

S = "golden-1"
Open = Callable[[str], Journal]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens stores, and closes them."""
    journals: list[Journal] = []

    def open_url(url: str) -> Journal:
        journals.append(open_store(url))
        return journals[-1]

    yield open_url
    for journal in journals:
        await journal.close()


@pytest.fixture
def url(postgres: PrivatePostgres) -> str:
    return postgres.url_of_new_schema()


def noted(text: str) -> Batch:
    return Batch(events=(Noted(text=text),), results=(result(text),))


async def texts(journal: Journal) -> list[str]:
    return [one.event.text for one in await journal.events(S)]


class Proxy:
    """Stands between us and the server, and cuts the connection on which the next COMMIT is sent.

    `before`: the server never sees it. `after`: it does, and its answer is lost. `unnoticed`: it never sees it, and
    does not notice that the connection is gone either.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:" + str(self._listening.getsockname()[1])
        self.cut: str | None = None
        self.cuts = 0
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                lost = threading.Event()
                self._kept += [client, server]
                threading.Thread(target=self._up, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=self._down, args=(client, server, lost), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                how = self.cut if b"COMMIT" in data else None
                if how is not None:
                    self.cut = None
                    self.cuts += 1
                    lost.set()
                if how in {None, "after"}:
                    server.sendall(data)
                    continue
                client.shutdown(socket.SHUT_RDWR)
                if how == "unnoticed":
                    return
                break
            server.shutdown(socket.SHUT_RDWR)

    def _down(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(65536)) and not lost.is_set():
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
            if lost.is_set():
                server.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in (self._listening, *self._kept):
            one.close()


@pytest.fixture
def proxy(postgres: PrivatePostgres) -> Iterator[Proxy]:
    made = Proxy(postgres.port)
    yield made
    made.close()


class TestCutDuringCommit:
    @pytest.fixture
    async def journal(self, postgres: PrivatePostgres, proxy: Proxy, opened: Open) -> Journal:
        return opened(postgres.url_of_new_schema(host=proxy.host))

    @pytest.mark.parametrize("how", ["before", "after", "unnoticed"])
    async def test_an_append_is_there_once(self, journal: Journal, proxy: Proxy, how: str):
        await journal.create(head(), Batch())
        async with journal.own(S):
            first = await journal.append(S, noted("first"))
            proxy.cut = how
            second = await journal.append(S, noted("second"))
            third = await journal.append(S, noted("third"))
        assert proxy.cuts == 1
        assert await journal.events(S) == [*first, *second, *third]
        assert await texts(journal) == ["first", "second", "third"]
        assert len(await journal.results(S)) == 3

    @pytest.mark.parametrize("how", ["before", "after", "unnoticed"])
    async def test_a_session_is_made_once(self, journal: Journal, proxy: Proxy, how: str):
        assert await journal.sessions() == []
        proxy.cut = how
        made = await journal.create(head(), noted("begun"))
        assert proxy.cuts == 1
        assert await journal.events(S) == list(made)

    @pytest.mark.parametrize("how", ["before", "after", "unnoticed"])
    async def test_rows_without_events_are_there_once(self, journal: Journal, proxy: Proxy, how: str):
        await journal.create(head(), Batch())
        async with journal.own(S):
            proxy.cut = how
            await journal.append(S, Batch(results=(result("a"), result("b"))))
            await journal.append(S, noted("after"))
        assert [one.id for one in await journal.results(S)] == ["a", "after", "b"]

    @pytest.mark.parametrize("how", ["before", "after", "unnoticed"])
    async def test_a_session_is_removed_once(self, journal: Journal, proxy: Proxy, how: str):
        await journal.create(head(), noted("to go"))
        async with journal.own(S):
            proxy.cut = how
            await journal.forget(S)
        assert proxy.cuts == 1
        assert await journal.sessions() == []

    async def test_one_that_was_stored_is_not_sent_again_to_a_later_owner(
        self, journal: Journal, proxy: Proxy, postgres: PrivatePostgres
    ):
        await journal.create(head(), Batch())
        async with journal.own(S):
            for text in ("a", "b", "c"):
                proxy.cut = "after"
                await journal.append(S, noted(text))
        assert await texts(journal) == ["a", "b", "c"]


class TestCrashes:
    async def test_a_server_that_crashes_while_we_append_loses_nothing(self, postgres: PrivatePostgres, opened: Open):
        journal = opened(postgres.url_of_new_schema())
        await journal.create(head(), Batch())
        async with journal.own(S):
            for number in range(8):
                under_way = [asyncio.create_task(journal.append(S, noted(f"{number}-{part}"))) for part in range(20)]
                for _ in range(number):
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
                if number % 2:
                    postgres.stop(immediately=True)
                    postgres.start()
                stored = [one for answer in await asyncio.gather(*under_way) for one in answer]
                assert (await journal.events(S))[-20:] == sorted(stored, key=lambda one: one.seq)
            holder = await journal.holder(S)
            assert holder is not None
            assert holder.pid == os.getpid()
        assert sorted(await texts(journal)) == sorted(f"{number}-{part}" for number in range(8) for part in range(20))
        assert len(await journal.results(S)) == 160

    async def test_a_server_that_stays_away_is_given_up(self, postgres: PrivatePostgres):
        url = postgres.url_of_new_schema()
        journal = StoredJournal(PostgresGround(url, retry_s=0.6), SystemClock())
        await journal.create(head(), Batch())
        try:
            async with journal.own(S):
                await journal.append(S, noted("there"))
                postgres.stop(immediately=True)
                try:
                    with pytest.raises(
                        StoreError, match=r"could not be used for .* nothing was half-written"
                    ) as caught:
                        await journal.append(S, noted("not there"))
                    with pytest.raises(StoreError, match=r"could not be used for [1-9]\d* s"):
                        await journal.sessions()  # what one has waited, the next one need not
                finally:
                    postgres.start()
                assert caught.value.exit_code == 5
                assert "netra-loop resume" in (caught.value.hint or "")
                await journal.append(S, noted("there again"))
            assert await texts(journal) == ["there", "there again"]
        finally:
            await journal.close()

    async def test_one_that_is_out_of_connections_is_waited_for(self, postgres: PrivatePostgres, url: str):
        journal = open_store(url)
        taken: list[psycopg.Connection] = []
        with contextlib.suppress(psycopg.OperationalError):  # sorry, too many clients already
            while True:
                taken.append(psycopg.connect(postgres.url()))
        leave = threading.Timer(0.3, lambda: [one.close() for one in taken])
        leave.start()
        try:
            await journal.create(head(), Batch())
            assert [known.id for known in await journal.sessions()] == [S]
        finally:
            leave.join()
            await journal.close()


def locked_by(postgres: PrivatePostgres) -> list[int]:
    return [row[0] for row in postgres.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")]


def end_locks(postgres: PrivatePostgres) -> None:
    """Ends the connections that hold a session, as a failing network would."""
    assert postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'") == [(True,)]


APPENDS_TWICE = """
import asyncio, sys
from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import NetraLoopError
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import result

async def main():
    journal = open_store(sys.argv[1])
    async with journal.own("golden-1"):
        await journal.append("golden-1", Batch(events=(Noted(text="ours"),), results=(result("ours"),)))
        print("ours", flush=True)
        sys.stdin.readline()
        try:
            await journal.append("golden-1", Batch(events=(Noted(text="past"),), results=(result("past"),)))
        except NetraLoopError as error:
            print(type(error).__name__, error.exit_code, flush=True)
    await journal.close()

asyncio.run(main())
"""


class TestOwnership:
    async def test_a_lost_lock_is_taken_again(self, postgres: PrivatePostgres, opened: Open, url: str):
        journal, other = opened(url), opened(url)
        await journal.create(head(), Batch())
        async with journal.own(S) as epoch:
            before = locked_by(postgres)
            end_locks(postgres)
            async with asyncio.timeout(30):
                while locked_by(postgres) in ([], before):  # nothing is written meanwhile
                    await journal.holder(S)
            with pytest.raises(SessionHeld):
                await other.own(S).__aenter__()
        async with other.own(S) as later:
            assert later == epoch + 1

    async def test_one_who_sleeps_and_loses_it_stops_when_he_wakes_up(
        self, postgres: PrivatePostgres, opened: Open, url: str
    ):
        journal = opened(url)
        await journal.create(head(), Batch())
        pipe = asyncio.subprocess.PIPE
        old = await asyncio.create_subprocess_exec(sys.executable, "-c", APPENDS_TWICE, url, stdin=pipe, stdout=pipe)
        assert await old.stdout.readline() == b"ours\n"
        old.send_signal(signal.SIGSTOP)
        end_locks(postgres)
        async with journal.own(S):
            await journal.append(S, noted("theirs"))
            old.send_signal(signal.SIGCONT)
            said, _ = await old.communicate(b"\n")
            assert said == b"StaleEpoch 5\n"
        assert await texts(journal) == ["ours", "theirs"]
        assert [one.id for one in await journal.results(S)] == ["ours", "theirs"]

    async def test_a_take_over_needs_nobody_to_let_go(self, postgres: PrivatePostgres, opened: Open, url: str):
        old, new, third = opened(url), opened(url), opened(url)
        await old.create(head(), Batch())
        async with old.own(S) as before:
            async with new.own(S, takeover=True) as now:
                assert now == before + 1
                assert len(locked_by(postgres)) == 2  # nobody's connection was ended
                with pytest.raises(StaleEpoch):
                    await old.append(S, noted("from the past"))
                with pytest.raises(SessionHeld):
                    await third.own(S).__aenter__()
                await new.append(S, noted("ours"))
            assert await new.holder(S) is None
        async with old.own(S):  # given back twice, and free
            await old.append(S, noted("again"))
        assert await texts(new) == ["ours", "again"]

    async def test_of_two_take_overs_at_once_one_writes(self, opened: Open, url: str):
        journals = [opened(url) for _ in range(3)]
        await journals[0].create(head(), Batch())

        async def take(journal: Journal, text: str) -> str | None:
            try:
                async with journal.own(S, takeover=True):
                    await journal.append(S, noted(text))
            except (SessionHeld, StaleEpoch):
                return None
            return text

        async with journals[0].own(S):
            done = await asyncio.gather(*(take(journal, str(n)) for n, journal in enumerate(journals[1:])))
        assert sorted(await texts(journals[0])) == sorted(text for text in done if text is not None)
        assert any(done)

    async def test_sessions_of_the_same_name_in_two_schemas_are_two(self, postgres: PrivatePostgres, opened: Open):
        one, other = opened(postgres.url_of_new_schema()), opened(postgres.url_of_new_schema())
        async with one.own(S), other.own(S):
            assert await one.holder(S) is not None


async def test_rows_that_another_session_committed_meanwhile_hide_no_news(
    postgres: PrivatePostgres, opened: Open, url: str
):
    journal = opened(url)
    await journal.create(head(), Batch())
    await journal.create(head("golden-2"), Batch())
    schema = re.findall("s[0-9a-f]{12}", url)[0]
    with psycopg.connect(postgres.url(schema=schema)) as slow:  # its row is stored before, and committed after
        slow.execute(
            "INSERT INTO attempts (session, iteration, id, attempt, worker, started_at, trace_id) "
            "VALUES (%s, 1, 'slow', 1, 'w', '2026-01-01T00:00:00.000000Z', '')",
            (S,),
        )
        async with journal.own("golden-2"):
            await journal.append("golden-2", Batch(started=(attempt("theirs"),)))
        mark = (await journal.news(S, Mark())).mark
    assert [one.id for one in (await journal.news(S, mark)).attempts] == ["slow"]


async def test_a_server_that_fell_back_to_an_older_copy_is_found_out(postgres: PrivatePostgres, opened: Open, url: str):
    journal = opened(url)
    await journal.create(head(), Batch())
    schema = re.findall("s[0-9a-f]{12}", url)[0]
    async with journal.own(S):
        await journal.append(S, noted("kept"))
        [before] = postgres.execute("SELECT last_seq, last_hash FROM sessions", schema=schema)
        await journal.append(S, noted("lost"))
        postgres.execute(f"UPDATE sessions SET last_seq = {before[0]}, last_hash = '{before[1]}'", schema=schema)
        postgres.execute("DELETE FROM events WHERE seq = 2", schema=schema)
        with pytest.raises(StoreDamaged, match=r"holds 1 events .* 2 were acknowledged"):
            await journal.append(S, noted("more"))
    assert await texts(journal) == ["kept"]


async def test_whoever_makes_the_tables_at_once_makes_them_once(opened: Open, url: str):
    journals = [opened(url) for _ in range(4)]
    assert await asyncio.gather(*(journal.sessions() for journal in journals)) == [[], [], [], []]
    made = await asyncio.gather(
        *(journal.create(head(f"golden-{n}"), noted("a")) for n, journal in enumerate(journals)),
        *(journal.create(head("same"), Batch()) for journal in journals),
        return_exceptions=True,
    )
    refused = [error for error in made if isinstance(error, BaseException)]
    assert len(refused) == 3
    assert all("'same' exists already" in str(error) for error in refused)
    assert len(await journals[0].sessions()) == 5
