"""A server that is away for good, or answers no more: nobody waits for it beyond the end that a stop sets."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import trustme

from netra_loop.clock import SystemClock
from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import StoreAway, StoreError
from netra_loop.journal.base import Journal
from netra_loop.journal.postgres import PostgresGround
from netra_loop.journal.store import StoredJournal, open_store
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import head

S = "golden-1"
LONG_S = 300.0  # a test that waited for this would fail by its own limit


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[str], Journal]]:
    """Opens stores that are waited for very long, and closes them."""
    journals: list[Journal] = []

    def open_url(url: str) -> Journal:
        journals.append(StoredJournal(PostgresGround(url, retry_s=LONG_S, first_s=LONG_S), SystemClock()))
        return journals[-1]

    yield open_url
    for journal in journals:
        await journal.close()


def noted(text: str) -> Batch:
    return Batch(events=(Noted(text=text),))


async def texts(journal: Journal) -> list[str]:
    return [one.event.text for one in await journal.events(S)]


@contextlib.contextmanager
def suspended(postgres: PrivatePostgres) -> Iterator[None]:
    """The server's ends of all connections stand still, as on a machine that sleeps: nothing is refused or closed."""
    pids = [
        row[0] for row in postgres.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    ]
    _tell(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _tell(pids, signal.SIGCONT)


def _tell(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # the one that answered
            os.kill(pid, what)


@pytest.mark.parametrize("asked", ["while it waits", "before"])
async def test_a_stop_ends_the_waiting_for_a_server_that_is_gone(
    postgres: PrivatePostgres, opened: Callable[[str], Journal], asked: str
):
    journal = opened(postgres.url_of_new_schema())
    await journal.create(head(), Batch())
    async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(journal.own(S))
        await journal.append(S, noted("there"))
        postgres.stop(immediately=True)
        stack.callback(postgres.start)
        if asked == "before":
            journal.hurry(0.0)
        append = asyncio.create_task(journal.append(S, noted("not there")))
        await asyncio.wait({append}, timeout=0.2)
        journal.hurry(0.1)
        with pytest.raises(StoreAway) as caught:
            await append
        assert (caught.value.exit_code, "netra-loop resume" in (caught.value.hint or "")) == (5, True)


async def test_a_stop_ends_the_waiting_for_an_answer_that_does_not_come(
    postgres: PrivatePostgres, opened: Callable[[str], Journal]
):
    journal = opened(postgres.url_of_new_schema())
    await journal.create(head(), Batch())
    await journal.sessions()
    async with asyncio.timeout(60), journal.own(S):
        with suspended(postgres):
            tasks = [asyncio.create_task(journal.append(S, noted("a"))), asyncio.create_task(journal.sessions())]
            await asyncio.wait(tasks, timeout=0.2)
            journal.hurry(0.1)
            said = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in said] == [StoreAway, StoreAway]
        assert "gave no answer" in str(said[0])


async def test_a_write_without_an_answer_is_given_up_also_where_nobody_asks_to_stop(postgres: PrivatePostgres):
    journal = StoredJournal(PostgresGround(postgres.url_of_new_schema(), retry_s=1.5), SystemClock())
    await journal.create(head(), Batch())
    async with asyncio.timeout(60), journal.own(S):
        with suspended(postgres), pytest.raises(StoreAway, match="gave no answer for"):
            await journal.append(S, noted("a"))
        await journal.append(S, noted("b"))
        assert (await texts(journal))[-1] == "b"
    await journal.close()


async def test_a_stop_ends_the_waiting_for_a_connection_that_nobody_takes(opened: Callable[[str], Journal]):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        journal = opened(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=100")
        asked = asyncio.create_task(journal.sessions())
        await asyncio.wait({asked}, timeout=0.2)
        journal.hurry(0.0)
        async with asyncio.timeout(60):
            with pytest.raises(StoreError, match="no connection could be made in the time that was left"):
                await asked


async def test_a_stop_is_no_matter_to_a_server_that_is_there(postgres: PrivatePostgres):
    journal = open_store(postgres.url_of_new_schema())
    await journal.create(head(), Batch())
    async with journal.own(S):
        journal.hurry(0.0)
        for text in ("a", "b"):
            await journal.append(S, noted(text))
        assert await texts(journal) == ["a", "b"]
    await journal.close()


async def test_a_request_is_heard_after_the_server_was_away(
    postgres: PrivatePostgres, opened: Callable[[str], Journal]
):
    journal = opened(postgres.url_of_new_schema())
    await journal.create(head(), Batch())
    async with journal.own(S):
        listening = asyncio.create_task(journal.asked_to_stop(S))
        await asyncio.wait({listening}, timeout=0.1)
        postgres.stop(immediately=True)
        await asyncio.wait({listening}, timeout=1.0)
        postgres.start()
        async with asyncio.timeout(60):
            await journal.append(S, noted("there again"))
            assert not listening.done()
            assert await journal.ask_to_stop(S)
            await listening


class Certified:
    """A server that speaks TLS, with a certificate that can be changed."""

    def __init__(self, folder: Path) -> None:
        self.postgres = PrivatePostgres()
        self._authority, self._stranger = trustme.CA(), trustme.CA()
        self._root = folder / "root.crt"
        self._authority.cert_pem.write_to_path(self._root)
        self.certify(known=True)
        for setting in ("ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl = on"):
            self.postgres.execute(f"ALTER SYSTEM SET {setting}")
        self.reload()

    def certify(self, *, known: bool) -> None:
        """Gives it a certificate of the authority that clients know, or of another."""
        data = self.postgres.folder / "data"
        owner = data.stat()
        made = (self._authority if known else self._stranger).issue_cert("127.0.0.1")
        for path, blob in (
            (data / "server.crt", made.cert_chain_pems[0]),
            (data / "server.key", made.private_key_pem),
        ):
            blob.write_to_path(path)
            path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)

    def reload(self) -> None:
        self.postgres.execute("SELECT pg_reload_conf()")

    def url(self) -> str:
        plain = self.postgres.url_of_new_schema(host=f"127.0.0.1:{self.postgres.port}")
        return f"{plain}&sslmode=verify-full&sslrootcert={quote(str(self._root), safe='')}"

    def cut_everybody(self) -> None:
        self.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'netra-loop'"
        )


@pytest.fixture
def certified(postgres: PrivatePostgres, tmp_path: Path) -> Iterator[Certified]:
    """Skipped where `postgres` is, which finds out that there can be none."""
    made = Certified(tmp_path)
    yield made
    made.postgres.close()


class TestTls:
    async def test_a_connection_that_is_lost_is_made_again(self, certified: Certified):
        journal = open_store(certified.url())
        await journal.create(head(), Batch())
        async with journal.own(S):
            for number in range(6):
                if number % 3 == 1:
                    certified.cut_everybody()
                if number % 3 == 2:
                    certified.postgres.stop(immediately=True)
                    certified.postgres.start()
                await journal.append(S, noted(str(number)))
            assert await texts(journal) == [str(number) for number in range(6)]
        await journal.close()

    async def test_a_certificate_that_is_wrong_for_a_moment_is_waited_out(self, certified: Certified):
        journal = open_store(certified.url())
        await journal.create(head(), Batch())
        async with journal.own(S):
            certified.certify(known=False)
            certified.reload()
            certified.cut_everybody()
            append = asyncio.create_task(journal.append(S, noted("kept")))
            await asyncio.wait({append}, timeout=1.0)
            assert not append.done()
            certified.certify(known=True)
            certified.reload()
            await append
        await journal.close()

    async def test_a_certificate_that_was_never_right_is_said_at_once(self, certified: Certified):
        certified.certify(known=False)
        certified.reload()
        journal = open_store(certified.url())
        with pytest.raises(StoreError, match="certificate verify failed"):
            await journal.sessions()
        await journal.close()


def test_a_connection_that_was_given_up_while_it_was_made_is_closed_once_it_is(postgres: PrivatePostgres):
    before = threading.active_count()
    journal = PostgresGround(postgres.url_of_new_schema())
    lane = journal.lane(writer=False)
    journal.hurry(0.0)
    with contextlib.suppress(StoreError):
        lane.transaction(lambda connection: connection)
    lane.close()
    journal.close()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'netra-loop'"
        assert comes_true(lambda: connection.execute(asked).fetchone() == (0,))
    assert comes_true(lambda: threading.active_count() <= before)


def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether it does before anybody would have given up waiting."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            return False
    return True
