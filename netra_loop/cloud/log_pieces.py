"""Entries that were too large for one and came in pieces (`LogSplit`), put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from netra_loop.cloud.base import IN_PIECES
from netra_loop.core.records import LogEntry

_MOST_SPLITS = 200  # entries whose pieces are waited for at one time
_Read = Callable[[Any], LogEntry]


class Pieces:
    """The pieces seen in one sweep. The whole has the first piece's time, log and place, and the split's own id."""

    def __init__(self) -> None:
        self._open: dict[str, dict[int, Any]] = {}
        self._done: set[str] = set()

    def put_together(self, messages: Iterable[Any], read: _Read) -> list[LogEntry]:
        """The entries of a page: those in one piece, and those of which this page has the last piece."""
        entries = []
        for message in messages:
            if not message.HasField("split"):
                entries.append(read(message))
                continue
            uid, total = message.split.uid, message.split.total_splits
            if uid in self._done:
                continue
            known = self._open.setdefault(uid, {})
            known[message.split.index] = message
            if len(known) >= total:
                del self._open[uid]
                self._done.add(uid)
                entries.append(_whole(uid, known, read))
            elif len(self._open) > _MOST_SPLITS:
                oldest = next(iter(self._open))
                entries.append(_whole(oldest, self._open.pop(oldest), read))
        return entries

    def unfinished(self, read: _Read) -> list[LogEntry]:
        """What is known of the entries of which pieces are missing."""
        return [_whole(uid, known, read) for uid, known in self._open.items()]


def _whole(uid: str, pieces: dict[int, Any], read: _Read) -> LogEntry:
    read_ones = [read(pieces[index]) for index in sorted(pieces)]
    first = read_ones[0]
    payload = None if first.payload is None else _merged([one.payload or {} for one in read_ones])
    text = payload.get("message") if payload is not None else None
    return replace(
        first,
        timestamp=min(one.timestamp for one in read_ones),
        insert_id=f"{IN_PIECES}{uid}",
        message=text if isinstance(text, str) else "".join(one.message for one in read_ones),
        payload=payload,
    )


def _merged(payloads: list[dict[str, Any]]) -> dict[str, Any]:
    """Texts of one key are parts of one text, mappings are merged, lists go on; of anything else the first counts."""
    whole: dict[str, Any] = {}
    for payload in payloads:
        for key, value in payload.items():
            before = whole.get(key)
            if isinstance(before, str) and isinstance(value, str):
                whole[key] = before + value
            elif isinstance(before, dict) and isinstance(value, dict):
                whole[key] = _merged([before, value])
            elif isinstance(before, list) and isinstance(value, list):
                whole[key] = [*before, *value]
            elif key not in whole:
                whole[key] = value
    return whole
