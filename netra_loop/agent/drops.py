"""Who ended a connection that ended without a word: the test, which shut its own socket, or the other side.

A blocking client's socket is looked at where it is shut. A client on an event loop is told by its transport: of the
other side's end or failure; and without either, only when the transport was closed here. Only uvloop's TLS does not
tell: its transport, let go of by the test, is taken for one that the other side ended.
"""

from __future__ import annotations

import _socket
import socket
from typing import Any, Protocol

from .wrapping import Kept, quietly, wrap

_CLOSE, _CLOSE_WAIT, _LAST_ACK = 7, 8, 9  # of `TCP_INFO`: the other side reset the connection, or ended its half

_peek = _socket.socket.recv
_ask = _socket.socket.getsockopt


class Ending(Protocol):
    """What can end once. Both may be called late, twice, and one after the other: the first to come counts."""

    def dropped(self) -> None:
        """We let go of it."""

    def lost(self) -> None:
        """The other side did."""


_watched = Kept()  # by socket


def install() -> None:
    """Wraps what shuts a socket."""
    for name in ("shutdown", "close"):
        wrap(socket.socket, name, _shutting)


def watch(sock: Any, ending: Ending) -> None:
    """`ending` is told when `sock` is shut; it must not hold on to it."""
    if sock is not None:
        _watched.put(sock, ending)


def below(transport: Any) -> Any:
    """The socket of an asyncio transport; None where there is none that can be looked at, as under uvloop."""
    return getattr(_extra(transport, "socket"), "_sock", None)


def _extra(transport: Any, name: str) -> Any:
    try:
        return transport.get_extra_info(name)
    except AttributeError:  # of TLS that is closed: it has let go of what it asks
        return None


def eof(ending: Ending, transport: Any) -> None:
    """A transport's protocol was told that no more will come: TLS tells that of our own end as well."""
    if transport is not None and transport.is_closing():
        ending.dropped()
    else:
        ending.lost()


def gone(ending: Ending, transport: Any, error: BaseException | None) -> None:
    """A transport's protocol was told that the connection is no more."""
    if error is None and not _mute(transport) and not theirs(transport):
        ending.dropped()
    else:
        ending.lost()


def theirs(transport: Any) -> bool:
    """Whether the other side has ended already what a transport carries, as far as its socket tells."""
    return transport is not None and _theirs(below(transport))


def _mute(transport: Any) -> bool:
    # uvloop tells of no end of a TLS connection that came without a word: as if we had let go of it
    return type(transport).__module__.startswith("uvloop") and _extra(transport, "sslcontext") is not None


def _shutting(original: Any) -> Any:
    def shut(self: Any, *args: Any) -> Any:
        __tracebackhide__ = True
        if _watched:
            quietly(_shut, self)
        return original(self, *args)

    return shut


def _shut(sock: Any) -> None:
    ending = _watched.pop(sock)
    if ending is None:
        return
    if _theirs(sock):
        ending.lost()
    else:
        ending.dropped()


def _theirs(sock: Any) -> bool:
    # what was said and not read yet may hold a close frame: who does not read it ends the connection
    if sock is None or sock.fileno() < 0:
        return False
    state = _state(sock)
    if state == _CLOSE:  # nothing is asked of the socket, which may have an error to tell its owner
        return True
    if state is not None and state not in (_CLOSE_WAIT, _LAST_ACK):
        return False
    try:
        return _peek(sock, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _state(sock: Any) -> int | None:
    try:
        return _ask(sock, socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except (AttributeError, OSError):  # not on this system; not TCP
        return None
