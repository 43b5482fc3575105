"""SQL over the two databases there are: one set of statement texts, and a connection of either kind.

A statement marks its values with `?`, the way SQLite does; for PostgreSQL (`postgres_sql`) each is translated once. The
few that cannot be the same for both ask which it is (`is_shared`). Rows are tuples, in the order that the statement
names its columns. Errors are the drivers' own; what they mean is said by the ground whose connection it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Protocol

Row = tuple[Any, ...]
Values = Sequence[Any]

_AT_ONCE = 50  # rows that SQLite is given in one statement
_FETCHED = 10  # rows that are taken from it at one time, where there may be many and heavy ones


class Connection(Protocol):
    """A connection inside a transaction that somebody opened, for one thread alone."""

    is_shared: bool
    """Whether others write at the same time, as to a server; False: whoever writes to the file does so alone."""

    def all(self, text: str, values: Values = ()) -> list[Row]:
        """Every row of the answer."""
        ...

    def first(self, text: str, values: Values = ()) -> Row | None:
        """The first row of the answer; None where it has none."""
        ...

    def locked(self, text: str, values: Values = ()) -> Row | None:
        """The same; nobody else changes that row until the transaction ends."""
        ...

    def scalar(self, text: str, values: Values = ()) -> Any:
        """The first value of the first row; None where there is none."""
        ...

    def rows(self, text: str, values: Values = (), *, at_once: int | None = None) -> Iterator[Row]:
        """The rows a few at a time, so that heavy ones need not all be held at once; to be used up in the transaction.
        With `at_once` a server, too, hands out only so many at a time.
        """
        ...

    def run(self, text: str, values: Values = ()) -> int:
        """Changes rows, and says how many."""
        ...

    def many(self, text: str, rows: Iterable[Values]) -> None:
        """The same once for each of `rows`, which are taken as they are needed."""
        ...


class SqliteConnection:
    """`Connection` to a file. The driver's own is left to who made it; it begins no transactions by itself."""

    is_shared = False

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver
        self._lenient = driver.text_factory
        self._open: list[sqlite3.Cursor] = []

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[None]:
        """Commits what the block did, or nothing of it where it, or the commit, raises."""
        self._driver.execute(begin)
        try:
            yield
            self._end()
            self._driver.commit()
        except BaseException:
            self._end()
            self._driver.rollback()
            raise

    def _end(self) -> None:
        """Whoever stopped in the middle of an answer would keep its snapshot."""
        while self._open:
            self._open.pop().close()

    def all(self, text: str, values: Values = ()) -> list[Row]:
        """See `Connection.all`: in half the time where texts are well-formed, as all that we write are."""
        driver = self._driver
        driver.text_factory = str
        try:
            return driver.execute(text, values).fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is not None:
                raise  # SQLite's own
            driver.text_factory = self._lenient  # a flipped byte: what it says now is for the checks to find
            return driver.execute(text, values).fetchall()
        finally:
            driver.text_factory = self._lenient

    def first(self, text: str, values: Values = ()) -> Row | None:
        """See `Connection.first`."""
        found: Row | None = self._driver.execute(text, values).fetchone()
        return found

    def locked(self, text: str, values: Values = ()) -> Row | None:
        """See `Connection.locked`: nobody else changes any row, since whoever writes does so alone."""
        return self.first(text, values)

    def scalar(self, text: str, values: Values = ()) -> Any:
        """See `Connection.scalar`."""
        found = self._driver.execute(text, values).fetchone()
        return None if found is None else found[0]

    def rows(self, text: str, values: Values = (), *, at_once: int | None = None) -> Iterator[Row]:  # noqa: ARG002 - a file hands out few
        """See `Connection.rows`: some at a time, read as by `all`."""
        driver, given = self._driver, 0
        cursor = self._opened(text, values)
        while True:
            driver.text_factory = str
            try:
                some = cursor.fetchmany(_FETCHED)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", None) is not None:
                    raise
                driver.text_factory = self._lenient  # as above; what was given already is the same again
                yield from islice(self._opened(text, values), given, None)
                return
            finally:
                driver.text_factory = self._lenient
            if not some:
                return
            given += len(some)
            yield from some

    def _opened(self, text: str, values: Values) -> sqlite3.Cursor:
        cursor = self._driver.execute(text, values)
        self._open.append(cursor)
        return cursor

    def run(self, text: str, values: Values = ()) -> int:
        """See `Connection.run`."""
        return self._driver.execute(text, values).rowcount

    def many(self, text: str, rows: Iterable[Values]) -> None:
        """See `Connection.many`: of new rows several with each statement, which takes three quarters of the time."""
        left = iter(rows)
        if "VALUES (" in text:
            while len(some := list(islice(left, _AT_ONCE))) == _AT_ONCE:
                self._driver.execute(_of_several(text), list(chain.from_iterable(some)))
            left = iter(some)
        self._driver.executemany(text, left)


@lru_cache(maxsize=64)
def _of_several(text: str) -> str:
    """An INSERT of so many rows."""
    before, after = text.split("VALUES (")
    places, after = after.split(")", 1)
    return f"{before}VALUES {', '.join([f'({places})'] * _AT_ONCE)}{after}"


@lru_cache(maxsize=256)
def translated(text: str) -> bytes:
    """A statement as psycopg takes it. None of ours has a `?` that stands for itself."""
    return text.replace("%", "%%").replace("?", "%s").encode()


def several(number: int) -> str:
    """Places for so many values in a list: `?, ?, ?`."""
    return ", ".join("?" * number)
