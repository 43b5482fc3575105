"""The evidence of one test while it runs, within bounds: of a flood, the beginning, the end, and what matters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any

from .wire import Message, wall

EACH = 1000  # of a test's exchanges, and of its frames, so many are kept of the first, the last, and in between
_KINDS = 300  # kinds of frames of which the first one is kept wherever it comes
_ROWS = 50  # exchanges, frames and contacts in one message


def exchange_matters(row: Message) -> bool:
    """Whether an exchange is kept though thousands came before and after it."""
    status = row.get("status")
    return status is None or status >= 500 or row.get("error") is not None


def frame_matters(row: Message) -> bool:
    """Whether a frame is kept though thousands came before and after it."""
    return row["kind"] in ("open", "close") or "error" in (row.get("event") or "").lower()


def thin(rows: dict[int, Message], matters: Callable[[Message], bool]) -> None:
    """Takes out of `rows`, which came one by one under their numbers, what `Rows` leaves out, once they are many."""
    if len(rows) <= 5 * EACH:
        return
    for number in sorted(rows)[EACH:-EACH]:
        if not matters(rows[number]):
            del rows[number]
    for number in sorted(rows)[2 * EACH : -EACH]:  # so many cannot matter
        del rows[number]


class Rows:
    """Rows by their number: the first `EACH`, the last `EACH`, and as many in between that matter."""

    def __init__(self, matters: Callable[[Message], bool]) -> None:
        self.untold: dict[int, Message] = {}  # came, or changed, since it was told
        self.left_out = 0
        self._matters = matters
        self._rows: dict[int, Message] = {}
        self._last: deque[int] | None = None  # the last ones, once there are more than `EACH`
        self._kinds: set[Hashable] = set()
        self._firsts: set[int] = set()  # of their kinds, after the first `EACH`
        self._between = 0
        self._count = 0

    def add(self, row: Message, kind: Hashable = None) -> int:
        """Its number. `kind` makes the first of its kind one that matters."""
        number = self._count
        self._count += 1
        self._rows[number] = self.untold[number] = row
        first = kind is not None and kind not in self._kinds and len(self._kinds) < _KINDS
        if first:
            self._kinds.add(kind)
        if number >= EACH:
            if first:
                self._firsts.add(number)
            if self._last is None:
                self._last = deque()
            self._last.append(number)
            if len(self._last) > EACH:
                self._pass(self._last.popleft())
        return number

    def _pass(self, number: int) -> None:
        row = self._rows[number]
        if self._between < EACH and (number in self._firsts or self._matters(row)):
            self._between += 1
            return
        del self._rows[number]
        self.untold.pop(number, None)
        self.left_out += 1

    def get(self, number: int) -> Message | None:
        """None where it was left out."""
        return self._rows.get(number)

    def all(self) -> list[Message]:
        """Those kept, in order."""
        return list(self._rows.values())

    def news(self, limit: int) -> list[tuple[int, Message]]:
        """At most `limit` of those that were not told yet."""
        told = [(number, self.untold.pop(number, None)) for number in list(islice(self.untold, limit))]
        return [(number, dict(row)) for number, row in told if row is not None]


class Record:
    """What one test did."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        self.began = wall()
        self.spans = 0
        self.contacts: dict[tuple[str, int, str | None], list[float]] = {}
        self.received = 0  # bytes, from whomever
        self.idle: dict[tuple[str, int], list[int]] = {}  # bytes of pings and pongs, by the URL's host and port
        self.exchanges = Rows(exchange_matters)
        self.frames = Rows(frame_matters)
        self.mocked: dict[str, None] = {}
        self.children: list[tuple[str, float, str]] = []  # program, when, and `shared`, `apart` or nothing
        self.blind: dict[str, None] = {}
        self.unanswered: set[int] = set()
        self.moved = False  # contacts, mocks or children changed since they were told
        self.messages = 0
        self.told_at = 0.0
        self.contacts_due = 0.0

    def news(self, limit: int = _ROWS) -> Message | None:
        """What was not told yet, at most `limit` of each kind; None where there is nothing."""
        if not self.moved and not self.exchanges.untold and not self.frames.untold:
            return None
        standing = self.standing(limit) if self.moved else {}
        self.moved = False
        return {"frames": self.frames.news(limit), "exchanges": self.exchanges.news(limit), **standing}

    def standing(self, limit: int | None = None) -> Message:
        """What is told whole where any of it changed, and replaces what was told before."""
        return {
            "contacts": self.peers(limit),
            "mocked": list(self.mocked)[:limit],
            "children": self.children[:limit],
            "blind": list(self.blind),
            "left_out": [self.exchanges.left_out, self.frames.left_out],
        }

    def peers(self, limit: int | None = None) -> list[list[Any]]:
        """The contacts as rows, with the thread at the end where it is none of the test's. What keeps connections
        alive is not counted: it is taken from what such threads did, and then from the test's own.
        """
        known = list(self.contacts.items())[:limit]
        rows: list[list[Any]] = [
            [host, port, *numbers, *([] if thread is None else [thread])] for (host, port, thread), numbers in known
        ]
        for (host, port), idle in list(self.idle.items()):
            there = [row for row in rows if row[1] == port]
            named = [row for row in there if row[0] == host] or there
            if len({row[0] for row in named}) > 1:
                continue  # it went by another name, or to a host that several names stand for
            left = list(idle)
            for row in sorted(named, key=len, reverse=True):
                for direction in (0, 1):
                    taken = min(row[2 + direction], left[direction])
                    row[2 + direction] -= taken
                    left[direction] -= taken
        return rows
