"""Log entries on disk: appended, never changed, read in order of (timestamp, insert id, log).

SQLite in the state folder. Appends are gathered for a moment and committed together; a kill loses that moment at most.
Entries are LogEntry in its JSON form. `query` may run in another thread than the rest.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netra_loop.cloud.embedded.filter import Node, time_bounds
from netra_loop.cloud.embedded.times import instant_ns, rfc3339_ns

_log = logging.getLogger(__name__)
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
  at_ns INTEGER NOT NULL, insert_id TEXT NOT NULL, log TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (at_ns, insert_id, log)
) WITHOUT ROWID
"""
_GATHERED = 500
_MOST_WAITING = 20_000
_EARLIEST = -(2**62)
_LATEST = 2**62

Place = tuple[int, str, str]


@dataclass(frozen=True)
class Page:
    """Entries in order; `after` is the last one's place where there may be more, else None."""

    entries: tuple[dict[str, Any], ...]
    after: Place | None


class LogStore:
    """The entries of one state folder; one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[tuple[int, str, str, str]] = []
        self._last_ns = 0
        path.touch(mode=0o600)
        self._writer = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=NORMAL")
        self._writer.execute(_TABLE)

    def append(self, entry: dict[str, Any]) -> None:
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
        self._waiting.append((at_ns, whole["insertId"], whole["logName"], json.dumps(whole, ensure_ascii=False)))
        if len(self._waiting) >= _GATHERED:
            self.flush()
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[:_GATHERED]

    def flush(self) -> None:
        """Commits what was appended. What a full disk does not take goes on waiting, the oldest dropped in the end:
        a container is never held up by its log."""
        if not self._waiting:
            return
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)", self._waiting)
            self._writer.execute("COMMIT")
        except sqlite3.OperationalError as error:
            _log.warning("%d log entries wait to be stored: %s", len(self._waiting), error)
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            return
        self._waiting.clear()

    def query(self, wanted: Node, *, limit: int, newest_first: bool = False, after: Place | None = None) -> Page:
        """At most `limit` matching entries of those committed, going on behind `after`. Safe in any thread."""
        found = []
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA query_only=ON")
            for place, body in self._rows(connection, wanted, newest_first, after):
                entry = json.loads(body)
                if wanted.matches(entry):
                    found.append((place, entry))
                    if len(found) > limit:
                        break
        kept = found[:limit]
        more = len(found) > limit
        return Page(tuple(entry for _, entry in kept), kept[-1][0] if more and kept else None)

    def close(self) -> None:
        """Commits and lets go of the file."""
        self.flush()
        self._writer.close()

    def _rows(
        self, connection: sqlite3.Connection, wanted: Node, newest_first: bool, after: Place | None
    ) -> Iterator[tuple[Place, str]]:
        low, high = time_bounds(wanted)
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        start = after or ((_LATEST, "", "") if newest_first else (_EARLIEST, "", ""))
        rows = connection.execute(
            "SELECT at_ns, insert_id, log, body FROM entries WHERE at_ns BETWEEN ? AND ? "  # noqa: S608  # two fixed words
            f"AND (at_ns, insert_id, log) {beyond} (?, ?, ?) ORDER BY at_ns {order}, insert_id {order}, log {order}",
            (_EARLIEST if low is None else low, _LATEST if high is None else high, *start),
        )
        for at_ns, insert_id, log, body in rows:
            yield (at_ns, insert_id, log), body

    def _tick(self) -> int:
        """The wall clock, never the same instant twice, so that lines keep the order they were printed in."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1000)
        return self._last_ns


def _insert_id(nanoseconds: int) -> str:
    """24 hex digits that sort by time: 8 of seconds, 8 of microseconds, 8 at random."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{seconds:08x}{rest // 1000:08x}{secrets.token_hex(4)}"
