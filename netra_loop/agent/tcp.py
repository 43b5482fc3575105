"""Asks the kernel how many bytes a TCP connection carried: for those whose bytes go past Python's `socket`."""

from __future__ import annotations

import functools
import socket
import struct
import sys
from typing import Any

from .wire import Real

COUNTED = sys.platform == "linux"  # elsewhere the kernel does not count bytes per connection
if COUNTED:
    import termios

    _FIONREAD = termios.FIONREAD

_INFO = 232
_RECEIVED = struct.Struct("=Q")
_SENT = struct.Struct("=QQ")  # sent, and sent again
_SEGMENTS = struct.Struct("=I")
_UNREAD = struct.Struct("=i")
_AT_RECEIVED, _AT_SEGMENTS, _AT_SENT = 128, 152, 200  # offsets in the kernel's `struct tcp_info`
_ENDED = frozenset({6, 8, 9, 11})  # states in which the other side's FIN came, which counts as a byte
_CLOSED = 7  # where either it came, or a reset did
_TRIES = 16
# taken hold of at import: observers may be around the methods of `socket.socket`, and tests replace them
_getsockopt = socket.socket.getsockopt


def counts(sock: Any) -> tuple[int, int] | None:
    """Bytes sent, and received by whoever reads, since it connected; None where the system does not tell. OSError where
    it is closed. What came and nobody has read yet is not received: the answer to somebody who is gone is no test's.

    `sock` is a socket, or what uvloop makes of one. How much came and how much is unread are two questions. What comes
    in between is unread, too, so that each pair tells at most what was read: the greatest is told, as soon as nothing
    came while it was asked.
    """
    if not COUNTED:
        return None
    ask = functools.partial(_getsockopt, sock) if isinstance(sock, socket.socket) else sock.getsockopt
    number, before, read = sock.fileno(), -1, 0
    for _ in range(_TRIES):
        info: Any = ask(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO)
        if len(info) < _AT_SENT + _SENT.size:
            return None  # an old kernel, or a sandbox's
        (came,) = _RECEIVED.unpack_from(info, _AT_RECEIVED)
        if came == before:
            break
        before = came
        (unread,) = _UNREAD.unpack(Real.ioctl(number, _FIONREAD, bytes(_UNREAD.size)))
        read = max(read, came - _end(info, came) - unread)
    sent, again = _SENT.unpack_from(info, _AT_SENT)
    return sent - again, read


def _end(info: bytes, came: int) -> int:
    """1 where the other side's FIN is counted. Of what is closed for good a reset after one byte is told from it by the
    segments that held anything; one after more is not, and a byte of those is lost.
    """
    if info[0] != _CLOSED:
        return int(info[0] in _ENDED)
    (segments,) = _SEGMENTS.unpack_from(info, _AT_SEGMENTS)
    return int(came > 1 or not segments)
