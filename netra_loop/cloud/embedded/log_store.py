"""Log entries on disk: appended, never changed, read in order of (timestamp, insert id).

SQLite in the state folder. Appends are gathered for a moment and committed together; a kill loses that moment at most.
Entries are LogEntry in its JSON form. What many entries share, log name, resource and severity, is kept once, as their
origin: a query is asked of the few origins first, and only what that leaves open of each entry. `query` may run in
another thread than the rest.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from netra_loop.cloud.embedded.fields import fold
from netra_loop.cloud.embedded.knobs import KnobFile, Knobs
from netra_loop.cloud.embedded.matching import Node, time_bounds, traces_of
from netra_loop.cloud.embedded.times import instant_ns, rfc3339_ns
from netra_loop.core.redact import Redactor
from netra_loop.core.redact_many import holds_none
from netra_loop.values import dataclass

_log = logging.getLogger(__name__)
_TABLES = """
CREATE TABLE IF NOT EXISTS origins (id INTEGER PRIMARY KEY, origin TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS lines (
  at_ns INTEGER NOT NULL, insert_id TEXT NOT NULL, origin INTEGER NOT NULL,
  readable_ns INTEGER NOT NULL, trace TEXT NOT NULL, body TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS line_order ON lines (at_ns, insert_id, origin);
"""
_GATHERED = 500
_TOGETHER = 32  # entries that are looked through at once
_MOST_WAITING = 20_000
_EARLIEST = -(2**62)
_LATEST = 2**62
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_SHARED = ("logName", "resource", "severity")

Place = tuple[int, str, int]
Heard = Callable[[dict[str, Any], int], None]  # an entry, and when it can be read


@dataclass(frozen=True)
class Page:
    """Entries in order; `after` is the last one's place where there may be more, else None."""

    entries: tuple[dict[str, Any], ...]
    after: Place | None


class LogStore:
    """The entries of one state folder; one process at a time. `knobs` say how late entries can be read. `redactor`
    takes out what must not be written; None: nothing is.
    """

    def __init__(self, path: Path, knobs: KnobFile | None = None, redactor: Redactor | None = None) -> None:
        self._path = path
        self._knobs = knobs
        self._redactor = redactor
        self._waiting: list[tuple[int, str, int, int, str, str]] = []
        self._unsaved: list[tuple[int, str]] = []
        self._last_ns = 0
        self._listeners: list[Heard] = []
        path.touch(mode=0o600)
        path.chmod(0o600)  # whatever the umask; SQLite gives its other files the same
        self._writer = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=NORMAL")
        self._writer.executescript(_TABLES)
        rows = self._writer.execute("SELECT id, origin FROM origins ORDER BY id").fetchall()
        self._ids = {text: number for number, text in rows}
        self._origins: dict[int, dict[str, Any]] = {number: json.loads(text) for number, text in rows}
        self._take_over()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Takes the entry in, with a timestamp, a receive time and an insert id where it has none.

        An entry of the same log, timestamp and insert id as one before is dropped. Durable after the next `flush`.
        """
        received_ns = self._tick()
        at_ns = instant_ns(entry["timestamp"]) if "timestamp" in entry else received_ns
        whole = {
            **entry,
            "timestamp": rfc3339_ns(at_ns),
            "receiveTimestamp": rfc3339_ns(received_ns),
            "insertId": entry.get("insertId") or _insert_id(received_ns),
            "severity": entry.get("severity", "DEFAULT"),
        }
        readable_ns = received_ns + _lateness_ns(self._knobs.last_good() if self._knobs else Knobs())
        self._gather(whole, at_ns, readable_ns)
        for heard in self._listeners:
            heard(whole, readable_ns)
        if len(self._waiting) >= _GATHERED:
            self.flush()
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[:_GATHERED]

    def listen(self, heard: Heard) -> Callable[[], None]:
        """Tells `heard` of every entry from now on, as it comes; what is returned ends that."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard)

    def flush(self) -> None:
        """Commits what was appended. What a full disk does not take goes on waiting, the oldest dropped in the end:
        a container is never held up by its log."""
        if not self._waiting:
            return
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("INSERT OR IGNORE INTO origins VALUES (?, ?)", self._unsaved)
            self._writer.executemany("INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?, ?, ?)", self._clean())
            self._writer.execute("COMMIT")
        except sqlite3.OperationalError as error:
            _log.warning("%d log entries wait to be stored: %s", len(self._waiting), error)
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            return
        self._waiting.clear()
        self._unsaved.clear()

    def query(
        self, wanted: Node, *, limit: int, newest_first: bool = False, after: Place | None = None, again: bool = False
    ) -> Page:
        """At most `limit` matching entries of those committed and readable, going on behind `after`; with `again` the
        one at `after` comes first once more. Of entries of one project with the same timestamp and insert id only the
        first is told. Safe in any thread.
        """
        found: list[tuple[Place, dict[str, Any]]] = []
        told = None if after is None or again else (after[0], after[1], self._project(after[2]))
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA query_only=ON")
            for place, entry in self._matching(connection, wanted, newest_first, after, again):
                key = (place[0], place[1], self._project(place[2]))
                if key == told:
                    continue
                told = key
                found.append((place, entry))
                if len(found) > limit:
                    break
        kept = found[:limit]
        more = len(found) > limit
        return Page(tuple(entry for _, entry in kept), kept[-1][0] if more and kept else None)

    def logs(self, project: str) -> list[str]:
        """The names of the logs of `project` (`projects/P`) that have entries, sorted."""
        self.flush()
        rows = self._writer.execute("SELECT DISTINCT origin FROM lines")
        names = {self._origins[number]["logName"] for (number,) in rows}
        return sorted(name for name in names if name.startswith(f"{project}/logs/"))

    def delete(self, log: str) -> int:
        """Forgets the entries of the log of that whole name; how many there were."""
        self.flush()
        numbers = [(number,) for number, origin in self._origins.items() if origin["logName"] == log]
        return self._writer.executemany("DELETE FROM lines WHERE origin = ?", numbers).rowcount if numbers else 0

    def close(self) -> None:
        """Commits and lets go of the file."""
        self.flush()
        self._writer.close()

    def _clean(self) -> list[tuple[int, str, int, int, str, str]]:
        """What waits, without secrets: looked at together, since few entries hold any."""
        redactor = self._redactor
        if redactor is None:
            return self._waiting
        clean = []
        for begin in range(0, len(self._waiting), _TOGETHER):
            some = self._waiting[begin : begin + _TOGETHER]
            if not holds_none(redactor, "\n".join(row[-1] for row in some)):
                some = [(*row[:-1], _encode(redactor.deep(json.loads(row[-1])))) for row in some]
            clean += some
        return clean

    def hidden(self, text: str) -> str:
        """`text` without what must not be written, before it is cut into entries."""
        return text if self._redactor is None else self._redactor.text(text)

    def _gather(self, whole: dict[str, Any], at_ns: int, readable_ns: int) -> None:
        origin = self._origin({name: whole[name] for name in _SHARED if name in whole})
        body = _encode({name: value for name, value in whole.items() if name not in _SHARED})
        trace = fold(whole.get("trace", ""))
        self._waiting.append((at_ns, whole["insertId"], origin, readable_ns, trace, body))

    def _origin(self, shared: dict[str, Any]) -> int:
        text = _encode(shared)
        number = self._ids.get(text)
        if number is None:
            number = self._ids[text] = max(self._origins, default=0) + 1
            self._origins[number] = shared
            self._unsaved.append((number, text))
        return number

    def _project(self, origin: int) -> str:
        found = self._origins.get(origin)
        return str(found["logName"]).partition("/logs/")[0] if found else ""

    def _matching(
        self, connection: sqlite3.Connection, wanted: Node, newest_first: bool, after: Place | None, again: bool
    ) -> Iterator[tuple[Place, dict[str, Any]]]:
        low, high, left = time_bounds(wanted)
        asked = {number: left.known_of(origin) for number, origin in tuple(self._origins.items())}
        numbers = ",".join(str(number) for number, known in asked.items() if known is not False)
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        start = after or ((_LATEST, "", 0) if newest_first else (_EARLIEST, "", 0))
        values: list[Any] = [_or(low, _EARLIEST), _or(high, _LATEST), *start, time.time_ns()]
        traces = traces_of(left) or ()
        of_traces = f"AND trace IN ({','.join('?' * len(traces))}) " if traces else ""
        rows = connection.execute(
            "SELECT at_ns, insert_id, origin, body FROM lines WHERE at_ns BETWEEN ? AND ? "  # noqa: S608  # our own words
            f"AND (at_ns, insert_id, origin) {beyond}{'=' if again else ''} (?, ?, ?) AND origin IN ({numbers}) "
            f"AND readable_ns <= ? {of_traces}ORDER BY at_ns {order}, insert_id {order}, origin {order}",
            (*values, *traces),
        )
        for at_ns, insert_id, number, body in rows:
            entry = {**self._origins[number], **json.loads(body)}
            known = asked[number]
            if known is True or (not isinstance(known, bool) and known.matches(entry)):
                yield (at_ns, insert_id, number), entry

    def _take_over(self) -> None:
        """Entries that an earlier version of netra-loop kept in another table."""
        if not self._writer.execute("SELECT 1 FROM sqlite_schema WHERE name = 'entries'").fetchone():
            return
        for at_ns, body in self._writer.execute("SELECT at_ns, body FROM entries ORDER BY at_ns").fetchall():
            self._gather(json.loads(body), at_ns, at_ns)
        self.flush()
        if not self._waiting:
            self._writer.execute("DROP TABLE entries")

    def _tick(self) -> int:
        """The wall clock, never the same instant twice, so that lines keep the order they were printed in."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1000)
        return self._last_ns


def _or(bound: int | None, otherwise: int) -> int:
    """A bound that a column can be compared with."""
    return otherwise if bound is None else max(_EARLIEST, min(bound, _LATEST))


def _lateness_ns(knobs: Knobs) -> int:
    disorder = random.uniform(0, knobs.reorder_window_ms)  # noqa: S311  # no secret
    return round((knobs.ingest_delay_ms + disorder) * 10**6)


def _insert_id(nanoseconds: int) -> str:
    """24 hex digits that sort by time: 8 of seconds, 8 of microseconds, 8 at random."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{seconds:08x}{rest // 1000:08x}{secrets.token_hex(4)}"
