"""Asks the kernel how many bytes a TCP connection carried: for those whose bytes go past Python's `socket`."""

from __future__ import annotations

import functools
import socket
import struct
import sys
from typing import Any

if sys.platform == "linux":
    import fcntl
    import termios

COUNTED = sys.platform == "linux"  # elsewhere the kernel does not count bytes per connection

_INFO = 232
_RECEIVED = struct.Struct("=Q")
_SENT = struct.Struct("=QQ")  # sent, and sent again
_AT_RECEIVED, _AT_SENT = 128, 200  # offsets in the kernel's `struct tcp_info`
_ENDED = frozenset({6, 8, 9, 11})  # states in which the other side's FIN came, which counts as a byte
# taken hold of at import: observers may be around the methods of `socket.socket`, and tests replace them
_getsockopt = socket.socket.getsockopt
_UNREAD = struct.Struct("=i")


def counts(sock: Any) -> tuple[int, int] | None:
    """Bytes sent, and received by whoever reads, since it connected; None where the system does not tell. OSError where
    it is closed. What came and nobody has read yet is not received: the answer to somebody who is gone is no test's.

    `sock` is a socket, or what uvloop makes of one. Both only ever grow, but for what came between the two questions
    that it takes: the second may tell a little less than there was.
    """
    if not COUNTED:
        return None
    ask = functools.partial(_getsockopt, sock) if isinstance(sock, socket.socket) else sock.getsockopt
    info: Any = ask(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO)
    if len(info) < _AT_SENT + _SENT.size:
        return None  # an old kernel, or a sandbox's
    (received,) = _RECEIVED.unpack_from(info, _AT_RECEIVED)
    sent, again = _SENT.unpack_from(info, _AT_SENT)
    return sent - again, max(0, received - (info[0] in _ENDED) - _unread(sock))


def _unread(sock: Any) -> int:
    if sys.platform != "linux":
        return 0
    (count,) = _UNREAD.unpack(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(_UNREAD.size)))
    return int(count)
