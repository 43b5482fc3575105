"""`sql.Connection` to a PostgreSQL server, over psycopg."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import psycopg

from netra_loop.journal.sql import Row, Values, translated

_AT_ONCE = 500  # rows on their way to the server: ten thousand are not all held once more beside what they are made of


class PostgresConnection:
    """`Connection` to a server. The driver's own is left to who made it; it begins a transaction with a statement."""

    is_shared = True

    def __init__(self, driver: psycopg.Connection) -> None:
        self._driver = driver
        self._open: list[psycopg.Cursor | psycopg.ServerCursor] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits what the block did, or nothing of it where it, or the commit, raises."""
        try:
            yield
            self._end()
            self._driver.commit()
        except BaseException:
            self._end()
            self._undo()
            raise

    def _undo(self) -> None:
        try:
            self._driver.rollback()
        except psycopg.Error:  # it is lost, and the server does so by itself; what the block raised is to be heard
            self._driver.close()

    def _end(self) -> None:
        while self._open:
            self._open.pop().close()

    def all(self, text: str, values: Values = ()) -> list[Row]:
        """See `Connection.all`."""
        return self._driver.execute(translated(text), values).fetchall()

    def first(self, text: str, values: Values = ()) -> Row | None:
        """See `Connection.first`."""
        return self._driver.execute(translated(text), values).fetchone()

    def locked(self, text: str, values: Values = ()) -> Row | None:
        """See `Connection.locked`."""
        return self.first(f"{text} FOR UPDATE", values)

    def scalar(self, text: str, values: Values = ()) -> Any:
        """See `Connection.scalar`."""
        found = self.first(text, values)
        return None if found is None else found[0]

    def rows(self, text: str, values: Values = (), *, at_once: int | None = None) -> Iterator[Row]:
        """See `Connection.rows`."""
        if at_once is None:
            cursor = self._driver.execute(translated(text), values)
            self._open.append(cursor)
            return iter(cursor)
        served = self._driver.cursor(f"netra_loop_{len(self._open)}")
        self._open.append(served)
        served.itersize = at_once
        return iter(served.execute(translated(text), values))

    def run(self, text: str, values: Values = ()) -> int:
        """See `Connection.run`."""
        return self._driver.execute(translated(text), values).rowcount

    def many(self, text: str, rows: Iterable[Values]) -> None:
        """See `Connection.many`."""
        left = iter(rows)
        with self._driver.cursor() as cursor:
            while some := list(islice(left, _AT_ONCE)):
                cursor.executemany(translated(text), some)
