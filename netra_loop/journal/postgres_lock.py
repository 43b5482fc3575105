"""Who owns a session, in PostgreSQL: an advisory lock on a connection of its own, and a row that tells whose it is.

The server lets go of the lock when the connection ends: at once where the process died, within half a minute where its
machine or network did. The lock's key holds a generation, which a take-over raises: so it needs no right to end
anybody, and whoever held the session before holds a lock that means nothing any more. The epoch stops him at his next
write.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import threading
import time
from typing import Any

import psycopg

from netra_loop.clock import Clock, from_rfc3339, rfc3339
from netra_loop.errors import SessionHeld, StoreError
from netra_loop.journal.base import Holder, check_id
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.postgres_errors import pooled
from netra_loop.journal.postgres_key import HELD, lock_key
from netra_loop.journal.postgres_server import Backend, Server
from netra_loop.journal.sql import Connection

_TRY_S = 0.4  # whoever was killed a moment ago has let go within this
_PAUSE_S = 0.02
_LOOKS = 3
_LETTING_GO_S = 2.0
_FIRST = 2**30  # generations begin below this, at random: one that was removed may still have an owner, who hangs
_CONFIRM = """\
UPDATE netra_loop_owners SET generation = ?, pid = ?, host = ?, since = ?, owner = ?, asked = NULL
WHERE session = ? AND generation IN (?, ?)"""
_LOOK_S = 1.0  # between two looks whether the connection is still there; nothing is sent


class PostgresLock:
    """`Lock` on one session. `keep` is called before each of its owner's transactions."""

    def __init__(self, server: Server, session: str, clock: Clock) -> None:
        check_id(session)
        self.owner = secrets.token_hex(8)
        self._server = server
        self._session = session
        self._clock = clock
        self._connection: psycopg.Connection | None = None
        self._backend: Backend | None = None
        self._found = 0  # the session's generation
        self._generation = 0  # and that of the key which we hold: the same, or the next one until it is confirmed
        self._schema = ""
        self._guard = threading.Lock()
        self._given_back = threading.Event()
        self._forgotten = False

    def take(self, *, takeover: bool = False) -> None:
        """See `Lock.take`. A take-over takes the key of the next generation, which nobody looks for yet: before
        `confirm` it changes nothing, and given up it leaves nothing.
        """
        self._server.patiently(lambda: self._take(takeover=takeover))
        threading.Thread(target=self._watch, name="journal-lock", daemon=True).start()

    def _take(self, *, takeover: bool) -> None:
        connection = self._server.connect()
        try:
            with self._server.watched(connection):
                self._backend = Backend(connection)
                self._check_alone(connection)
                self._get(connection, takeover=takeover)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _check_alone(self, connection: psycopg.Connection) -> None:
        """StoreError where a pooler hands the server's end of our connection to others between transactions, so
        that a lock would be whose it falls to. A pooler tells another number of that end than the server does.
        """
        assert self._backend is not None
        if connection.info.backend_pid == self._backend.pid:
            return
        with contextlib.closing(self._server.connect()) as other:
            for _ in range(_LOOKS):  # it may hand out the one that was used last, or each in turn
                with connection.transaction():
                    seen = [Backend(connection).pid]
                    Backend(other)
                theirs = Backend(other).pid
                seen.append(Backend(connection).pid)
                if theirs == self._backend.pid or set(seen) != {self._backend.pid}:
                    raise pooled(self._server.address)

    def _get(self, connection: psycopg.Connection, *, takeover: bool) -> None:
        until = time.monotonic() + _TRY_S
        while True:
            self._found = self._now(connection)
            for generation in (self._found, self._found + 1)[: 2 if takeover else 1]:
                if _locks(connection, self._key(generation)):
                    self._generation = generation
                    return
            if time.monotonic() >= until:  # with `takeover`: another takes it over at this moment
                raise SessionHeld(self._session, _named(self._owner(connection)))
            time.sleep(_PAUSE_S)  # in the writer's own thread: nothing else waits

    def _now(self, connection: psycopg.Connection) -> int:
        """The session's generation; its row is made where there is none."""
        asked = "SELECT generation, current_schema() FROM netra_loop_owners WHERE session = %s"
        while (found := connection.execute(asked, (self._session,)).fetchone()) is None:
            connection.execute(
                "INSERT INTO netra_loop_owners (session, generation) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (self._session, secrets.randbelow(_FIRST)),
            )
        self._schema = found[1]
        return int(found[0])

    def _owner(self, connection: psycopg.Connection) -> Holder | None:
        row = connection.execute(
            "SELECT pid, host, since, owner FROM netra_loop_owners WHERE session = %s", (self._session,)
        ).fetchone()
        return _holder(row)

    def confirm(self, connection: Connection) -> None:
        """See `Lock.confirm`. Here the session becomes ours, in the same transaction as its epoch does: its generation
        is that of the key which we hold, and its row says who we are.
        """
        said = (os.getpid(), socket.gethostname(), rfc3339(self._clock.now()), self.owner)
        written = connection.run(_CONFIRM, (self._generation, *said, self._session, self._found, self._generation))
        if written != 1 or not self._is_held(connection):
            raise SessionHeld(self._session, _named(holder_of(connection, self._session)))

    def _is_held(self, connection: Connection) -> bool:
        """Whether the server knows the lock as ours."""
        if self._backend is None:
            return False
        asked = (self._key(self._generation), self._backend.pid)
        return connection.first(f"{HELD} AND pid = ?", asked) is not None

    def keep(self) -> None:
        """Takes it again where its connection was lost. Where somebody else has it meanwhile, the epoch says so to the
        transaction that follows. Raises psycopg's errors while the server is away. In any thread.
        """
        with self._guard:
            if self._connection is not None and _is_lost(self._connection):
                self._connection.close()
                self._connection = self._retaken()

    def _retaken(self) -> psycopg.Connection:
        """A connection that has the lock, or one that is closed, so that it is tried again."""
        connection = self._server.connect()
        try:
            with self._server.watched(connection):
                if self._backend is not None:
                    self._backend.end(connection)
                self._backend = Backend(connection)
                until = time.monotonic() + _TRY_S
                while not _locks(connection, self._key(self._generation)):
                    if self._given_back.is_set() or time.monotonic() >= until:
                        connection.close()
                        break
                    time.sleep(_PAUSE_S)
        except BaseException:
            connection.close()
            raise
        return connection

    def _watch(self) -> None:
        """Keeps it while nothing is written for long: somebody else would find it free."""
        while not self._given_back.wait(_LOOK_S):
            with contextlib.suppress(psycopg.Error, StoreError):  # the next transaction says it
                self.keep()

    def _key(self, generation: int) -> int:
        return lock_key(self._schema, self._session, generation)

    def acknowledged(self) -> Acknowledged | None:
        """See `Lock.acknowledged`: nothing is known but what the server says."""
        return None

    def seat(self, epoch: int) -> None:
        """See `Lock.seat`: the transaction that raised the epoch did all of it."""

    def epoch(self) -> int:
        """See `Lock.epoch`: none."""
        return 0

    def acknowledge(self, seq: int, digest: str) -> None:
        """See `Lock.acknowledge`: the server keeps what it said."""

    def forget(self) -> None:
        """See `Lock.forget`: what is known of the session beside its rows goes with the lock."""
        self._forgotten = True

    def remember(self) -> None:
        """See `Lock.remember`."""
        self._forgotten = False

    def release(self) -> None:
        """See `Lock.release`."""
        self._given_back.set()
        with self._guard:
            connection, self._connection = self._connection, None
        if connection is None:
            return
        # the end of the connection does the same, a little later
        with contextlib.suppress(psycopg.Error), self._server.watched(connection, most_s=_LETTING_GO_S):
            if self._forgotten:
                connection.execute("DELETE FROM netra_loop_writes WHERE session = %s", (self._session,))
                connection.execute(
                    "DELETE FROM netra_loop_owners WHERE session = %s AND generation = %s",
                    (self._session, self._generation),
                )
            _unlocks(connection, self._key(self._generation))
        connection.close()


def holder_of(connection: Connection, session: str, *, older: bool = False) -> Holder | None:
    """Who owns the session now; None where nobody does. `older`: the tables are an older version's."""
    said = "pid, host, since, NULL" if older else "pid, host, since, owner"
    asked = f"SELECT current_schema(), generation, {said} FROM netra_loop_owners WHERE session = ?"  # noqa: S608 - names of ours
    found = connection.first(asked, (session,))
    if found is None or connection.first(HELD, (lock_key(found[0], session, found[1]),)) is None:
        return None
    return _holder(found[2:])


def _holder(row: tuple[Any, ...] | None) -> Holder | None:
    if row is None or row[0] is None:
        return None
    pid, host, since, owner = row
    return Holder(int(pid), str(host), from_rfc3339(since), str(owner or ""))


def _named(holder: Holder | None) -> str:
    return str(holder) if holder else "a process that took it this moment"


def _locks(connection: psycopg.Connection, key: int) -> bool:
    found = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return found == (True,)


def _unlocks(connection: psycopg.Connection, key: int) -> None:
    connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _is_lost(connection: psycopg.Connection) -> bool:
    """Whether the server, or the way to it, ended the connection; nothing is sent to find out."""
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if not waiting.poll(0):
        return False
    try:
        connection.pgconn.consume_input()  # a farewell, or the end
    except psycopg.Error:
        return True
    return connection.closed
