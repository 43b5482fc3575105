"""Asks the kernel how many bytes a TCP connection carried: for those whose bytes go past Python's `socket`."""

from __future__ import annotations

import functools
import socket
import struct
import sys
from typing import Any

COUNTED = sys.platform == "linux"  # elsewhere the kernel does not count bytes per connection

_INFO = 232
_RECEIVED = struct.Struct("=Q")
_SENT = struct.Struct("=QQ")  # sent, and sent again
_AT_RECEIVED, _AT_SENT = 128, 200  # offsets in the kernel's `struct tcp_info`
_ENDED = frozenset({6, 8, 9, 11})  # states in which the other side's FIN came, which counts as a byte
# taken hold of at import: observers may be around the methods of `socket.socket`, and tests replace them
_getsockopt = socket.socket.getsockopt


def counts(sock: Any) -> tuple[int, int] | None:
    """Bytes sent and received since it connected; None where the system does not tell. OSError where it is closed.

    `sock` is a socket, or what uvloop makes of one.
    """
    if not COUNTED:
        return None
    ask = functools.partial(_getsockopt, sock) if isinstance(sock, socket.socket) else sock.getsockopt
    info: Any = ask(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO)
    if len(info) < _AT_SENT + _SENT.size:
        return None  # an old kernel, or a sandbox's
    (received,) = _RECEIVED.unpack_from(info, _AT_RECEIVED)
    sent, again = _SENT.unpack_from(info, _AT_SENT)
    return sent - again, received - (info[0] in _ENDED)
