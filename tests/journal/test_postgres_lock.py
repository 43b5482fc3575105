"""Ownership in PostgreSQL changes hands whole or not at all, and is refused where a connection is not one."""

import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld, StoreError
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import head

S = "golden-1"
SAID = "SELECT generation, pid, owner FROM netra_loop_owners"


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[str], Journal]]:
    """Opens stores, and closes them."""
    journals: list[Journal] = []

    def open_url(url: str) -> Journal:
        journals.append(open_store(url))
        return journals[-1]

    yield open_url
    for journal in journals:
        await journal.close()


def schema_of(url: str) -> str:
    return url.rpartition("%3D")[2]


class TestTakeOver:
    async def test_one_that_fails_leaves_the_owner_as_he_was(
        self, postgres: PrivatePostgres, opened: Callable[[str], Journal]
    ):
        url = postgres.url_of_new_schema()
        owner, taker = opened(url), opened(url)
        await owner.create(head(), Batch())
        async with owner.own(S):
            before, said = await owner.holder(S), postgres.execute(SAID, schema=schema_of(url))
            postgres.execute("ALTER TABLE sessions RENAME epoch TO away", schema=schema_of(url))
            with pytest.raises(StoreError):
                await taker.own(S, takeover=True).__aenter__()
            postgres.execute("ALTER TABLE sessions RENAME away TO epoch", schema=schema_of(url))
            assert (await taker.holder(S), postgres.execute(SAID, schema=schema_of(url))) == (before, said)
            with pytest.raises(SessionHeld):
                await taker.own(S).__aenter__()
            await owner.append(S, Batch(events=(Noted(text="still mine"),)))
        assert await taker.holder(S) is None


class Pooler:
    """A pooler by transaction: a client has one of the server's ends from the first word of a transaction to its end,
    and somebody else has it afterwards. Clients are told numbers of its own, as poolers do.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._idle: list[socket.socket] = []
        self._all: list[socket.socket] = []
        self._guard = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._all.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            while (start := self._startup(client))[4:8] != struct.pack("!I", 196608):
                client.sendall(b"N")  # neither TLS nor GSSAPI
            client.sendall(self._greeting(start))
            while True:
                self._transaction(client, start)

    def _startup(self, client: socket.socket) -> bytes:
        size = _exactly(client, 4)
        return size + _exactly(client, struct.unpack("!I", size)[0] - 4)

    def _greeting(self, start: bytes) -> bytes:
        server, told = self._begun(start)
        with self._guard:
            self._idle.append(server)
        return b"".join(kind + size + (struct.pack("!II", 1, 1) if kind == b"K" else body) for kind, size, body in told)

    def _begun(self, start: bytes) -> tuple[socket.socket, list[tuple[bytes, bytes, bytes]]]:
        server = socket.create_connection(("127.0.0.1", self._port))
        self._all.append(server)
        server.sendall(start)
        told = [_message(server)]
        while told[-1][0] != b"Z":
            told.append(_message(server))
        return server, told

    def _transaction(self, client: socket.socket, start: bytes) -> None:
        server, under_way, status = None, 0, b"I"
        while server is None or under_way or status != b"I":
            if not under_way or server is None:
                kind, size, body = _message(client)
                if kind == b"X":
                    raise ConnectionError
                if server is None:
                    with self._guard:
                        server = self._idle.pop() if self._idle else self._begun(start)[0]
                server.sendall(kind + size + body)
                under_way += kind in {b"Q", b"S"}
                continue
            kind, size, body = _message(server)
            client.sendall(kind + size + body)
            if kind == b"Z":
                under_way, status = under_way - 1, body
        with self._guard:
            self._idle.append(server)

    def close(self) -> None:
        for one in (self._listening, *self._all):
            one.close()


def _exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = stream.recv(count - len(found))
        if not part:
            raise ConnectionError
        found += part
    return found


def _message(stream: socket.socket) -> tuple[bytes, bytes, bytes]:
    kind, size = _exactly(stream, 1), _exactly(stream, 4)
    return kind, size, _exactly(stream, struct.unpack("!I", size)[0] - 4)


@pytest.fixture
def pooler(postgres: PrivatePostgres) -> Iterator[Pooler]:
    made = Pooler(postgres.port)
    yield made
    made.close()


async def test_nobody_owns_a_session_behind_a_pooler_by_transaction(
    postgres: PrivatePostgres, pooler: Pooler, opened: Callable[[str], Journal]
):
    journal = opened(postgres.url_of_new_schema(host=pooler.host))
    assert await journal.sessions() == []
    with pytest.raises(StoreError, match=r"pooler that works by transaction, .* by session") as caught:
        await journal.own(S).__aenter__()
    assert (caught.value.exit_code, "pool_mode = session" in (caught.value.hint or "")) == (5, True)
