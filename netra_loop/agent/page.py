"""What the running test was seen to do so far, in a page of memory shared with a file.

The orchestrator reads it where the test's process does not live to tell. Writing there is no system call and wakes
nobody up: a message for each request would cost more than all the rest of watching it. A record is a JSON object after
its length in four bytes; the page begins with the number of bytes used, which is raised once a record is complete, so
that a kill at any instant leaves whole records. Nothing here raises into a test, and a page that cannot be had (a full
disk) or is full sends its writer back to messages.
"""

from __future__ import annotations

import _thread
import mmap
import os
import struct

from .wire import Message, Real, decoded, encoded

SIZE = 64 * 1024
_USUAL = 8 * 1024
_HEAD = struct.Struct("!I")


class Page:
    """The page of one worker. It belongs to the process that made it; a fork writes nothing into it."""

    def __init__(self, path: str) -> None:
        self._memory: mmap.mmap | None = None
        self._used = _HEAD.size
        self._open = True  # once something had to go another way, all that follows does: it keeps its order
        self._owner = Real.getpid()
        self._writing = _thread.allocate_lock()
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _take_from_disk(handle)  # now: later would be SIGBUS
                self._memory = mmap.mmap(handle, SIZE)
            finally:
                os.close(handle)
        except OSError:
            pass  # messages do the same

    def clear(self) -> None:
        """Another test begins."""
        if self._memory is not None:
            self._used = _HEAD.size
            self._open = True
            _HEAD.pack_into(self._memory, 0, self._used)

    def room(self) -> bool:
        """Whether `take` will do for a message of a usual size."""
        return self._open and self._memory is not None and SIZE - self._used > _USUAL and Real.getpid() == self._owner

    def take(self, message: Message) -> bool:
        """Whether `message` was written. False where it did not fit, now or before, and in a fork. Raises what encoding
        it does.
        """
        if not self._open or self._memory is None or Real.getpid() != self._owner:
            return False
        if not self._writing.acquire(blocking=False):  # another thread writes, or we are a signal's handler within it
            return False
        try:
            body = encoded(message)
            start, end = self._used + _HEAD.size, self._used + _HEAD.size + len(body)
            if end > SIZE:
                self._open = False
                return False
            _HEAD.pack_into(self._memory, self._used, len(body))
            self._memory[start:end] = body
            self._used = end
            _HEAD.pack_into(self._memory, 0, end)
        finally:
            self._writing.release()
        return True


def _take_from_disk(handle: int) -> None:
    """Raises OSError where there is no room."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, SIZE)  # what is not written to takes no memory
    elif os.write(handle, bytes(SIZE)) != SIZE:
        raise OSError("the disk is full")


def read(path: str) -> list[Message]:
    """What stands in a page, in order; empty where there is none. What is no page of ours ends it."""
    found: list[Message] = []
    try:
        with open(path, "rb") as file:
            content = file.read(SIZE)
        (used,), at = _HEAD.unpack_from(content), _HEAD.size
        while at + _HEAD.size <= min(used, len(content)):
            (length,) = _HEAD.unpack_from(content, at)
            at += _HEAD.size
            found.append(decoded(content[at : at + length]))
            at += length
    except (OSError, struct.error, ValueError):
        pass  # it never was, or the tests wrote into it
    return found
