"""Which entries were read before: log entries come again and again, since late ones are read for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from netra_loop.core.records import LogEntry

Key = tuple[str, datetime, str]
_Place = tuple[str, datetime]

_FEW = 4_000  # keys


def key_of(entry: LogEntry) -> Key:
    """What makes an entry one: log, time and insert id."""
    return entry.log, entry.timestamp, entry.insert_id


class Seen:
    """The keys of entries: of those that may come once more, and of the last two lots.

    They are held by insert id, which nearly every entry has for itself: to look for the time, too, would take several
    times as long, entry by entry.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._others: set[Key] = set()  # of ids that have a place already
        self._lots: deque[dict[str, _Place]] = deque(maxlen=2)
        self._bound = _FEW

    def new(self, entries: Iterable[LogEntry]) -> list[LogEntry]:
        """Those of `entries` that are not among them."""
        if not self._places:
            return list(entries)
        place_of, others = self._places.get, self._others
        return [
            entry
            for entry in entries
            if (place := place_of(entry.insert_id)) is None
            or (place != (entry.log, entry.timestamp) and key_of(entry) not in others)
        ]

    def add(self, entries: Sequence[LogEntry], since: Callable[[], datetime]) -> None:
        """Another lot, of entries that were new. Once there are many, those before `since` are forgotten."""
        places, lot = self._places, {entry.insert_id: (entry.log, entry.timestamp) for entry in entries}
        if len(lot) == len(entries) and places.keys().isdisjoint(lot):
            places.update(lot)
        else:
            for entry in entries:
                if places.setdefault(entry.insert_id, place := (entry.log, entry.timestamp)) != place:
                    self._others.add(key_of(entry))
        self._lots.append(lot)
        if len(places) + len(self._others) > self._bound:
            self._forget(since())

    def _forget(self, since: datetime) -> None:
        last = set[str]().union(*self._lots)
        self._places = {name: place for name, place in self._places.items() if place[1] >= since or name in last}
        self._others = {key for key in self._others if key[1] >= since or key[2] in last}
        self._bound = max(_FEW, 2 * (len(self._places) + len(self._others)))
