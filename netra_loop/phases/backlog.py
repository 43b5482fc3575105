"""What runners have said and nobody has stored yet, in bounded memory.

Tests may print faster than what they print can be redacted and committed. Nothing is held up for that, since a deadline
would run out over it: from `_MOST_CHARS` on, what a test printed waits in a file without a name, that nobody else can
open and that is gone with this process. Losing it is losing what was in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import deque
from dataclasses import dataclass, replace
from typing import IO

from netra_loop.execution.base import Finished, RunEvent

_MOST_CHARS = 8_000_000
_HEAVY = 16_384  # characters; smaller ones are not worth a trip to the file


@dataclass(frozen=True, slots=True)
class _Aside:
    """An event whose texts are in the file: where they begin, how many bytes each has."""

    event: Finished
    begin: int
    output: int
    traceback: int


class Backlog(asyncio.Queue[RunEvent | None]):
    """A queue whose heavy events keep their texts in a file while too many wait. `close` it when done.

    Where the file cannot be written (a full disk), they are kept in memory after all.
    """

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - asyncio's signature
        self._waiting: deque[RunEvent | _Aside | None] = deque()
        self._chars = 0
        self._aside = 0
        self._end = 0
        self._file: IO[bytes] | None = None

    def qsize(self) -> int:
        """See `asyncio.Queue`."""
        return len(self._waiting)

    def empty(self) -> bool:
        """See `asyncio.Queue`."""
        return not self._waiting

    def _put(self, item: RunEvent | None) -> None:
        size = _size(item)
        kept: RunEvent | _Aside | None = item
        if isinstance(item, Finished) and size > _HEAVY and self._chars + size > _MOST_CHARS:
            with contextlib.suppress(OSError):
                kept = self._put_aside(item)
        if not isinstance(kept, _Aside):
            self._chars += size
        self._waiting.append(kept)

    def _get(self) -> RunEvent | None:
        item = self._waiting.popleft()
        if isinstance(item, _Aside):
            return self._back(item)
        self._chars -= _size(item)
        return item

    def _put_aside(self, event: Finished) -> _Aside:
        output, traceback = _raw(event.output), _raw(event.traceback)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._file.seek(self._end)
        self._file.write(output + traceback)
        self._file.flush()
        made = _Aside(replace(event, output="", traceback=""), self._end, len(output), len(traceback))
        self._end += len(output) + len(traceback)
        self._aside += 1
        return made

    def _back(self, item: _Aside) -> Finished:
        assert self._file is not None
        self._file.seek(item.begin)
        output, traceback = _text(self._file.read(item.output)), _text(self._file.read(item.traceback))
        self._aside -= 1
        if not self._aside:  # nothing of it is needed any more
            self._end = 0
            self._file.truncate(0)
        return replace(item.event, output=output, traceback=traceback)

    def close(self) -> None:
        """Gives the file back. Safe to repeat; what is still in it is lost."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _size(item: RunEvent | None) -> int:
    return len(item.output) + len(item.traceback) if isinstance(item, Finished) else 0


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")
