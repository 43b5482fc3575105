"""How long a server that is away is waited for: one patience for all who wait for it, and an end that may be set.

What one connection has waited, the next one need not; and once netra-loop was asked to stop, nobody waits for longer
than that leaves, whatever he waits for: the server to come back, a connection to be made, an answer on one that is cut
off without a word.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import psycopg

from netra_loop.journal.postgres_address import GONE_S

T = TypeVar("T")

_LOOK_S = 1.0  # between two looks whether a transaction takes too long
_LAST_S = 5.0  # for what was begun late, with a server of which nothing is known but that it answers


class Hung(psycopg.OperationalError):
    """No answer came for so long that the connection was given up, or nothing could be waited for any longer. `since`
    is when the waiting began, by the monotonic clock.
    """

    def __init__(self, what: str, since: float) -> None:
        super().__init__(what)
        self.since = since


class Patience:
    """With one server. Safe between threads; instants are the monotonic clock's.

    `retry_s` is how long a server that was there is waited for, `first_s` one that was not there yet.
    """

    def __init__(self, retry_s: float, first_s: float) -> None:
        self.retry_s = retry_s
        self._first_s = first_s
        self._changed = threading.Condition()
        self._away_since: float | None = None
        self._end: float | None = None
        self.seen = False  # set once the server let us in

    def answered(self) -> None:
        """A transaction was committed: the server is there."""
        self._away_since = None

    def failed(self, error: psycopg.Error, began: float) -> float:
        """An attempt that began then came to nothing. Returns for how many seconds nothing has succeeded."""
        now = time.monotonic()
        # a peer that is gone without a word is noticed that much later
        since = error.since if isinstance(error, Hung) else max(began, now - GONE_S)
        with self._changed:
            if self._away_since is None or since < self._away_since:
                self._away_since = since
            return now - self._away_since

    def is_over(self, waited_s: float) -> bool:
        """Whether a server that has been away for so long is not waited for any more."""
        return waited_s >= (self.retry_s if self.seen else self._first_s) or self._is_late()

    def is_lost(self) -> bool:
        """Whether nothing succeeded lately, and there is no time left to find out if it would now."""
        return self._away_since is not None and self._is_late()

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def hurry(self, within_s: float) -> None:
        """From now on nobody waits for longer than that. At once."""
        with self._changed:
            end = time.monotonic() + within_s
            self._end = end if self._end is None else min(end, self._end)
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Waits so long, or until there is no time left."""
        self._until(lambda: False, at_most=time.monotonic() + seconds)

    def result(self, make: Callable[[], T], undo: Callable[[T], None]) -> T:
        """What `make` returns or raises, called in a thread of its own; Hung where it takes longer than there is time.
        It then goes on, and what it comes to is undone.
        """
        began, made = time.monotonic(), Future[T]()
        made.add_done_callback(lambda _: self._notify())

        def work() -> None:
            try:
                result = make()
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                if made.set_running_or_notify_cancel():
                    made.set_exception(error)
                return
            if made.set_running_or_notify_cancel():
                made.set_result(result)
            else:
                undo(result)

        threading.Thread(target=work, name="journal-connecting", daemon=True).start()
        self._until(made.done, at_least=began + _LAST_S)
        if made.cancel():
            raise Hung("no connection could be made in the time that was left", began)
        return made.result()

    def _until(self, done: Callable[[], bool], *, at_most: float | None = None, at_least: float = 0.0) -> None:
        """Returns once it is done, at the instant `at_most`, or when there is no time left, whatever is first; in the
        last case not before `at_least`, as long as nothing is known against the server.
        """
        with self._changed:
            while not done():
                ends = [] if at_most is None else [at_most]
                if self._end is not None:
                    ends.append(self._end if self._away_since is not None else max(self._end, at_least))
                left = min(ends) - time.monotonic() if ends else None
                if left is not None and left <= 0:
                    return
                self._changed.wait(left)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def allows(self, began: float, most_s: float | None) -> bool:
        """Whether a transaction that began then may go on, of which no answer came yet. `most_s` None: for as long as
        there is time.
        """
        now = time.monotonic()
        if most_s is not None and now - began >= most_s:
            return False
        return not self._is_late() or (self._away_since is None and now - began < _LAST_S)

    def look(self) -> None:
        """Waits a second; less once there is little time left."""
        self.pause(_LOOK_S if self._end is None else _LOOK_S / 10)
        if self._is_late():
            time.sleep(_LOOK_S / 10)


class Watchdog:
    """Cuts connections on which no answer comes, so that whoever waits on one finds out. One for each server."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._guard = threading.Lock()
        self._watched: set[_Watched] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextlib.contextmanager
    def over(self, connection: psycopg.Connection, most_s: float | None) -> Iterator[None]:
        """While the block talks to the server: Hung in the place of the error that it ends with once `most_s` seconds
        were not enough, or there is no time left.
        """
        watched = _Watched(connection, most_s)
        with self._guard:
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="journal-watchdog", daemon=True)
                self._thread.start()
        try:
            yield
        except psycopg.Error as error:
            if not watched.was_cut:
                raise
            since_s = time.monotonic() - watched.began
            raise Hung(f"the server gave no answer for {since_s:.0f} s", watched.began) from error
        finally:
            with self._guard:
                self._watched.discard(watched)
                watched.close()

    def close(self) -> None:
        """Ends the watching, within a second. After the last block was left."""
        self._closed = True

    def _watch(self) -> None:
        while not self._closed:
            self._patience.look()
            with self._guard:
                for watched in self._watched:
                    if not watched.was_cut and not self._patience.allows(watched.began, watched.most_s):
                        watched.cut()


class _Watched:
    """A connection while somebody waits on it. It is cut by a descriptor of its own, which can be nobody else's."""

    def __init__(self, connection: psycopg.Connection, most_s: float | None) -> None:
        self.began = time.monotonic()
        self.most_s = most_s
        self.was_cut = False
        self._descriptor = os.dup(connection.fileno())

    def cut(self) -> None:
        self.was_cut = True
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as ours:
            ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        os.close(self._descriptor)
