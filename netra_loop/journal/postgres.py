"""A PostgreSQL database as the journal's ground, for sessions that several machines share.

Any error that passes by itself (the server restarts, is out of connections, the network is cut) is waited out, for a
minute at most; meanwhile the caller waits, and so does every effect that would have followed the write. Each write puts
a token of its own beside the session's rows, in the same transaction: where a COMMIT was sent and no answer came, the
token is looked up, under a lock that the lost transaction would still hold, before anything is sent again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from typing import TypeVar

import psycopg

from netra_loop.clock import Clock
from netra_loop.errors import StoreError
from netra_loop.journal.base import Holder, check_id
from netra_loop.journal.ground import Ask, Lane, Lock, Work
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.postgres_errors import pooled
from netra_loop.journal.postgres_lock import PostgresLock, holder_of
from netra_loop.journal.postgres_server import FIRST_S, RETRY_S, Backend, Server
from netra_loop.journal.postgres_sql import PostgresConnection
from netra_loop.journal.sql import Connection

T = TypeVar("T")

_PACE_S = 0.5  # between two looks whether somebody asked to stop
_ASK = "UPDATE netra_loop_owners SET asked = ? WHERE session = ? AND owner = ?"
_SIGN = """\
INSERT INTO netra_loop_writes (session, token) VALUES (?, ?)
ON CONFLICT (session) DO UPDATE SET token = excluded.token RETURNING pg_backend_pid()"""


class PostgresGround:
    """The database at `url`. Nothing is touched before the first lane or lock is used; then what is missing is made,
    unless `make` is false: then it is a StoreError.

    UsageError where the URL cannot be read. Safe between threads.
    """

    def __init__(self, url: str, *, retry_s: float = RETRY_S, first_s: float = FIRST_S, make: bool = True) -> None:
        self._server = Server(url, retry_s=retry_s, first_s=first_s, make=make)
        self.at = self._server.address.shown

    def lane(self, *, writer: bool) -> PostgresLane:
        """See `Ground.lane`."""
        return PostgresLane(self._server, writer=writer)

    def lock(self, session: str, clock: Clock) -> PostgresLock:
        """See `Ground.lock`."""
        return PostgresLock(self._server, session, clock)

    def holder(self, session: str, reader: Lane) -> Holder | None:
        """See `Ground.holder`."""
        check_id(session)
        return reader.transaction(lambda connection: holder_of(connection, session))

    def acknowledged(self, session: str) -> Acknowledged | None:
        """See `Ground.acknowledged`: nothing is known but what the server says."""
        check_id(session)
        return None

    def all_acknowledged(self) -> dict[str, Acknowledged]:
        """See `Ground.all_acknowledged`."""
        return {}

    def ask_to_stop(self, session: str, owner: str, writer: Lane) -> None:
        """See `Ground.ask_to_stop`."""
        writer.transaction(lambda connection: connection.run(_ASK, (owner, session, owner)))

    async def asked_to_stop(self, session: str, owner: str, ask: Ask) -> None:
        """See `Ground.asked_to_stop`."""

        def asked(connection: Connection) -> bool:
            said = connection.scalar("SELECT asked FROM netra_loop_owners WHERE session = ?", (session,))
            return bool(said == owner)

        while not await _or_no(ask(asked)):  # noqa: ASYNC110 - what changes is a row, and another process writes it
            await asyncio.sleep(_PACE_S)

    def reclaim(self, writer: Lane) -> int:  # noqa: ARG002 - the server's own autovacuum does
        """See `Ground.reclaim`."""
        return 0

    def snapshot(self, within_s: float, *, due: bool) -> str | None:  # noqa: ARG002 - its administrator keeps copies
        """See `Ground.snapshot`."""
        return None

    def hurry(self, within_s: float) -> None:
        """See `Ground.hurry`."""
        self._server.hurry(within_s)

    def close(self) -> None:
        """See `Ground.close`: each connection is its lane's or its lock's."""
        self._server.close()


class PostgresLane:
    """`Lane` on one connection, made anew as often as it is lost."""

    def __init__(self, server: Server, *, writer: bool) -> None:
        self._server = server
        self._writer = writer
        self._driver: psycopg.Connection | None = None
        self._backend: Backend | None = None

    def transaction(
        self, work: Work[T], *, session: str | None = None, lock: Lock | None = None, patient: bool = True
    ) -> T:
        """See `Lane.transaction`."""
        token = secrets.token_hex(16)
        done: list[T] = []  # what `work` returned before a COMMIT of which no answer came

        def attempt() -> T:
            if isinstance(lock, PostgresLock):
                lock.keep()
            if self._driver is None:
                self._driver = self._connect()
            connection = PostgresConnection(self._driver)
            most_s = self._server.retry_s if self._writer else None
            with self._server.watched(self._driver, most_s=most_s), connection.transaction():
                if session is not None:
                    if done and _is_ours(connection, session, token):
                        return done[0]
                    done.clear()
                    self._sign(connection, session, token)
                result = work(connection)
                if session is not None:
                    done.append(result)
            return result

        def guarded() -> T:
            try:
                return attempt()
            except psycopg.Error:
                self.close()  # whatever state it is in, the next attempt shall not meet it
                raise

        return self._server.patiently(guarded, unclear=lambda: bool(done), patient=patient)

    def _sign(self, connection: Connection, session: str, token: str) -> None:
        """Leaves the transaction's token; its row stays locked until the transaction ends. EnvironmentFailed where the
        server's end is another than the one that this connection began with.
        """
        pid = connection.scalar(_SIGN, (session, token))
        if self._backend is not None and self._backend.pid != pid:
            raise pooled(self._server.address)

    def _connect(self) -> psycopg.Connection:
        connection = self._server.connect()
        try:
            with self._server.watched(connection):
                self._prepare(connection)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: psycopg.Connection) -> None:
        if self._backend is not None:
            self._backend.end(connection)
        if self._writer:
            self._backend = Backend(connection)
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        else:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SET idle_in_transaction_session_timeout = 0")  # much may be read in one snapshot

    def close(self) -> None:
        """See `Lane.close`."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()


def _is_ours(connection: Connection, session: str, token: str) -> bool:
    """Whether the transaction that left `token` was committed; waits for it where it still goes on."""
    # waits for a row that is being made, which SELECT would not see
    connection.run("INSERT INTO netra_loop_writes (session, token) VALUES (?, '') ON CONFLICT DO NOTHING", (session,))
    return connection.locked("SELECT token FROM netra_loop_writes WHERE session = ?", (session,)) == (token,)


async def _or_no(answer: Awaitable[bool]) -> bool:
    try:
        return await answer
    except StoreError:  # the next write says it, to whom it concerns
        return False
