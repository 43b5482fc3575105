"""The way to a PostgreSQL server: connections set up as a journal needs them, and patience while there are none."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

import psycopg

from netra_loop.journal.postgres_address import SERVER_SIDE, read_address
from netra_loop.journal.postgres_errors import given_up, is_contended, meaning, passes
from netra_loop.journal.postgres_patience import Patience, Watchdog
from netra_loop.journal.postgres_tables import ensure

T = TypeVar("T")

RETRY_S = 60.0  # how long a server that was there is waited for
FIRST_S = 5.0  # and one that was not there yet: a name misspelt is no restart
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0
_SETTINGS = {
    "lock_timeout": "10s",
    "statement_timeout": "0",  # whatever the role's: a statement that it ends would be tried again, and end there again
    "idle_in_transaction_session_timeout": "10s",  # a writer that was suspended locks nobody out for longer
    "jit": "off",  # takes longer than the statements themselves
    **SERVER_SIDE,
}
_TOO_WEAK = "remote_write", "local", "off"  # what synchronous_commit may not be: an answer means that it is on disk


class Server:
    """The database at `url`; the first connection makes the tables that are missing (unless `make` is false: then that
    is a StoreError). Safe between threads.

    UsageError where the URL cannot be read. `retry_s` is how long errors that pass by themselves are waited out, once
    the server was reached; `first_s` before that.
    """

    def __init__(self, url: str, *, retry_s: float = RETRY_S, first_s: float = FIRST_S, make: bool = True) -> None:
        self.address = read_address(url)
        self._patience = Patience(retry_s, first_s)
        self._watchdog = Watchdog(self._patience)
        self._last: psycopg.Error | None = None  # what kept us from the server
        self._make = make
        self._ensured = False
        self._guard = threading.Lock()

    @property
    def retry_s(self) -> float:
        """How long a server that was there is waited for, and so one that does not answer."""
        return self._patience.retry_s

    def hurry(self, within_s: float) -> None:
        """From now on nothing waits for the server for longer than that. At once."""
        self._patience.hurry(within_s)

    def close(self) -> None:
        """Ends what watches the connections. After the last one was closed."""
        self._watchdog.close()

    def connect(self) -> psycopg.Connection:
        """A new connection that commits each statement by itself, to a database whose tables are there."""
        return self._patience.result(self._connect, psycopg.Connection.close)

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(**self.address.parameters(), autocommit=True)
        try:
            self._patience.seen = True
            connection.execute(
                "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS ours (name, value)",
                (list(_SETTINGS), list(_SETTINGS.values())),
            )
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = ANY(%s)",
                (list(_TOO_WEAK),),
            )
            with self._guard:
                if not self._ensured:
                    ensure(connection, self.address, make=self._make)
                    self._ensured = True
        except BaseException:
            connection.close()
            raise
        return connection

    def watched(self, connection: psycopg.Connection, *, most_s: float | None = None) -> AbstractContextManager[None]:
        """While the block talks to the server, it is seen to that an answer comes: within `most_s`, where it is given,
        and while there is time to wait for one. Else the connection is cut, and the block ends with an error.
        """
        return self._watchdog.over(connection, most_s)

    def patiently(
        self, attempt: Callable[[], T], *, unclear: Callable[[], bool] = lambda: False, patient: bool = True
    ) -> T:
        """What `attempt` returns, tried again while it fails with what passes, at random and ever longer intervals;
        once only unless `patient`.

        StoreAway once a server that was there has been away for too long, whoever waited for it; `unclear` then says
        whether a commit may have happened all the same. Another StoreError, or Defect, where it does not pass.
        """
        first, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            if self._last is not None and self._patience.is_lost():
                raise given_up(self._last, self.address, time.monotonic() - first, unclear=unclear())
            began = time.monotonic()
            try:
                result = attempt()
            except psycopg.Error as error:
                again = passes(error, seen=self._patience.seen)
                waited_s = time.monotonic() - first
                if again and not is_contended(error):
                    self._last = error
                    waited_s = self._patience.failed(error, began)
                if not again or not patient or self._patience.is_over(waited_s):
                    if unclear() or (self._patience.seen and again):
                        raise given_up(error, self.address, waited_s, unclear=unclear()) from error
                    raise meaning(error, self.address) from error
            else:
                self._patience.answered()
                return result
            self._patience.pause(random.uniform(0, pause_s))  # noqa: S311 - in a lane's own thread
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


class Backend:
    """The server's end of a connection, to be known again after the connection was lost."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._known = connection.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
        self.pid: int | None = None if self._known is None else self._known[0]  # the process at the server

    def end(self, connection: psycopg.Connection) -> None:
        """Ends it where it is still there: it would keep what it has locked until it finds out that we are gone. It is
        our own, by number and start; nobody else's is ever touched.
        """
        if self._known is not None:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s",
                tuple(self._known),
            )
