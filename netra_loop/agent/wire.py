"""Messages between a tests' process and the orchestrator: JSON objects, each after its length in four bytes.

Blocking, for one thread. What the tests may replace at run time (time, json, socket functions) was taken hold of here
at import, before any of them could.
"""

from __future__ import annotations

import _socket
import _thread
import json
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

try:
    import fcntl
except ImportError:  # a system without, where nobody asks for it
    fcntl = None  # type: ignore[assignment]

Message = dict[str, Any]

_HEAD = struct.Struct("!I")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode
LET_GO = 113  # the exit code of a process whose tests closed its line


def encoded(message: Message) -> bytes:
    """A message as it goes over the wire, without its length."""
    return _encode(message).encode("utf-8")


def decoded(body: bytes) -> Message:
    """The reverse of `encoded`. ValueError for anything else."""
    return _decode(body.decode("utf-8"))  # type: ignore[no-any-return]


def wall() -> float:
    """Seconds since 1970, whatever the running test made of `time.time`."""
    return Real.time()


def monotonic() -> float:
    """`time.monotonic`, whatever the running test made of it."""
    return Real.monotonic()


def clean(text: str) -> str:
    """`text` without lone surrogates, which no UTF-8 can carry."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


class Real:
    """What the interpreter's functions were at import. In a class, for libraries that fake the time or the file system
    replace such functions in every module that names them.
    """

    time, monotonic = staticmethod(time.time), staticmethod(time.monotonic)
    getpid, exit = staticmethod(os.getpid), staticmethod(os._exit)
    fstat, pread = staticmethod(os.fstat), staticmethod(os.pread)
    ftruncate, lseek = staticmethod(os.ftruncate), staticmethod(os.lseek)
    ioctl: Any = None if fcntl is None else staticmethod(fcntl.ioctl)


class Line:
    """One connection to the orchestrator. It belongs to the process that made it; a copy in a fork ends that fork."""

    def __init__(self, path: str) -> None:
        # the type below `socket.socket`: nobody can wrap or forbid its methods, as tests do with those
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.settimeout(None)  # whatever default a conftest set
        self._socket.connect(path)
        self._poll = select.poll
        self._writable = select.poll()
        self._writable.register(self._socket.fileno(), select.POLLOUT)
        self._buffer = bytearray()
        self._file = self._now()
        self._owner = Real.getpid()
        self._sending = _thread.allocate_lock()

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, *messages: Message) -> None:
        """Several go out at once. Raises OSError where the orchestrator is gone."""
        if Real.getpid() != self._owner:
            Real.exit(1)  # a test forked and let its child run back into pytest: that child speaks for nobody
        bodies = [_encode(message).encode("utf-8") for message in messages]
        with self._sending:
            if self._now() != self._file:
                Real.exit(LET_GO)
            self._socket.sendall(b"".join([_HEAD.pack(len(body)) + body for body in bodies]))

    def offer(self, make: Callable[[], Message | None]) -> None:
        """Sends what `make` gives (None: nothing) if that takes no waiting, from whatever thread.

        `make` is not called where it would wait, and never in a fork of the owner. Raises OSError, and what `make` and
        its encoding raise.
        """
        if Real.getpid() != self._owner or not self._sending.acquire(blocking=False):
            return
        try:
            message = make() if self._writable.poll(0) else None
            if self._now() != self._file:
                return
            if message is not None:
                body = _encode(message).encode("utf-8")
                self._socket.sendall(_HEAD.pack(len(body)) + body)
        finally:
            self._sending.release()

    def receive(self) -> Message | None:
        """Waits for the next message; None once the orchestrator has closed."""
        while True:
            message = self._take()
            if message is not None:
                return message
            data = self._socket.recv(1 << 16)
            if not data:
                return None
            self._buffer += data

    def peek(self) -> Message | None:
        """The next message where one is there already, else None; does not wait."""
        while True:
            message = self._take()
            if message is not None:
                return message
            poll = self._poll()
            poll.register(self._socket.fileno(), select.POLLIN)
            if not poll.poll(0):
                return None
            data = self._socket.recv(1 << 16)
            if not data:
                return None
            self._buffer += data

    def buffered(self) -> bool:
        """Whether a whole message was read already, so that no selector will tell of it."""
        return len(self._buffer) >= _HEAD.size and len(self._buffer) >= _HEAD.size + _HEAD.unpack_from(self._buffer)[0]

    def _now(self) -> tuple[int, int] | None:
        # what the descriptor stands for: a test that closes those that are not its own may have been given its number
        try:
            found = Real.fstat(self._socket.fileno())
        except OSError:
            return None
        return (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Lets go of the connection; the other side reads its end."""
        self._socket.close()

    def _take(self) -> Message | None:
        if len(self._buffer) < _HEAD.size:
            return None
        (length,) = _HEAD.unpack_from(self._buffer)
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        message = _decode(self._buffer[_HEAD.size : end].decode("utf-8"))
        del self._buffer[:end]
        return message  # type: ignore[no-any-return]
