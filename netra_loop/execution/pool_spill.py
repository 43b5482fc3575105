"""Keeps what tests print from filling the disk.

A worker's output goes to files, as fast as the test writes; in the end only the head and the tail of it are kept. What
lies between is given back to the file system while the test still writes: the files keep their size and everybody's
place in them, but no blocks. Where the system cannot do that, nothing happens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
HEAD = 256 * 1024  # more than is ever shown of an output that is shown whole
TAIL = 256 * 1024
_STEP = 4 * 1024 * 1024  # a file is looked after again when it has grown by so much


class Spill:
    """One file. Call `trim` often."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = 0  # when it was last trimmed

    def trim(self, start: int = 0) -> bool:
        """Gives back what lies before `start`, and between the head that begins there and the tail; whether it did."""
        try:
            size = os.stat(self._path).st_size  # noqa: PTH116 - called very often
        except OSError:
            return False
        if size < self._size:
            self._size = 0  # it was begun anew
        if size - self._size < _STEP:
            return False
        begin, self._size = max(0, self._size - TAIL), size
        return _punch(self._path, ((begin, start), (max(begin, start + HEAD), size - TAIL)))


def _punch(path: str, gaps: tuple[tuple[int, int], ...]) -> bool:
    call = _fallocate()
    if call is None:
        return False
    try:
        number = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        done = [call(number, _PUNCH_HOLE | _KEEP_SIZE, begin, end - begin) for begin, end in gaps if end > begin]
    finally:
        os.close(number)
    return bool(done) and all(result == 0 for result in done)


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # of use once there are workers

    library = ctypes.CDLL(None, use_errno=True)
    call = library.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    found: Callable[[int, int, int, int], int] = call
    return found
