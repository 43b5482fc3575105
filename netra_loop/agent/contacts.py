"""Counts bytes per peer, at the sockets themselves: whatever client, thread or event loop uses them goes through here.

Only sockets that connected from this process count; those that a test's own server accepted do not. A peer goes by the
name that was looked up for it (`names`). TLS counts what was said, not the bytes on the wire; under asyncio, which
does its TLS in memory, the bytes on the wire. Of a connection whose bytes go past `socket.socket` (`os.write` on its
descriptor, `loop.sendfile`) the kernel is asked while it is open. Not seen: what leaves a detached descriptor,
gevent's sockets, C extensions; uvloop has an observer of its own (`uvloops`).
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Any

from . import evidence, names, tcp, whose
from .names import named
from .wrapping import Kept, quietly, wrap

_MOST = 1024  # descriptors that were let go


class Peer:
    """To whom one socket is connected, and how much was counted on it."""

    __slots__ = ("asked", "host", "port", "received", "sent", "silent", "thread")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.sent = self.received = 0
        self.asked = 0  # when a test last sent something on it: what comes then is its own, whoever takes it in
        self.thread = whose.here()  # that connected it
        self.silent = False  # in one direction at least no byte was seen yet, and the kernel can be asked


_NOBODY = Peer("", 0)  # of sockets that were accepted here, or go to no host
_peers = Kept()
_silent = Kept()  # sockets that are `silent`, for themselves
_let_go: dict[int, tuple[Any, Peer]] = {}  # descriptors that left their socket: the address, and who that was


def install() -> None:
    """Wraps the methods of `socket.socket`, once for the process."""
    kind: Any = socket.socket
    for name in ("connect", "connect_ex"):
        wrap(kind, name, _connecting)
    for name in ("send", "sendmsg", "_sendfile_use_sendfile"):
        wrap(kind, name, _sending)
    wrap(kind, "sendall", _sending_all)
    wrap(kind, "sendto", _sending_to)
    wrap(kind, "recv", functools.partial(_receiving, size=len))
    for name in ("recv_into", "recvmsg_into"):
        wrap(kind, name, functools.partial(_receiving, size=_first_or_itself))
    wrap(kind, "recvmsg", functools.partial(_receiving, size=lambda result: len(result[0])))
    wrap(kind, "recvfrom", functools.partial(_receiving_from, size=len))
    wrap(kind, "recvfrom_into", functools.partial(_receiving_from, size=int))
    wrap(kind, "accept", _accepting)
    wrap(kind, "dup", _duplicating)
    wrap(kind, "detach", _detaching)
    wrap(kind, "_real_close", _closing)
    evidence.count_with(_weigh_all)
    names.install()


def install_tls(ssl: Any) -> None:
    """Wraps `ssl.SSLSocket`, which reads and writes past `socket.socket`."""
    kind = ssl.SSLSocket
    for name in ("send", "write"):
        wrap(kind, name, functools.partial(_when_tls, count=lambda result: (result or 0, 0), sends=True))
    wrap(kind, "read", functools.partial(_when_tls, count=lambda result: (0, _length(result)), sends=False))
    wrap(ssl.SSLContext, "wrap_socket", _securing)


def peer_of(sock: Any) -> tuple[str, int] | None:
    """To whom `sock` connected; None where it did not."""
    peer = _peers.get(sock)
    return None if peer is None or peer is _NOBODY else (peer.host, peer.port)


def hand_over(sock: Any) -> tuple[str, int] | None:
    """As `peer_of`; from here on somebody else counts what goes past `socket.socket`."""
    peer = _peers.get(sock)
    if peer is not None:
        peer.silent = False
        _silent.pop(sock)
    return peer_of(sock)


# ------------------------------------------------------------------------------------------------------- counting


def _note(sock: Any, sent: int, received: int) -> None:
    try:
        peer = _peers.get(sock) or _found(sock)
        if peer is None or peer is _NOBODY:
            return
        evidence.contact(peer.host, peer.port, sent, received, _beside(peer, sent) if whose.watching else None)
        if peer.silent:
            peer.sent += sent
            peer.received += received
            if peer.sent and peer.received:
                peer.silent = False
                _silent.pop(sock)
    except Exception as error:
        evidence.blind(error)


def _beside(peer: Peer, sent: int) -> str | None:
    """The thread that does not work for the test, and did this."""
    when = whose.now()  # first: of a fixture's set-up that ends meanwhile
    thread = whose.beside()
    if thread is None:
        if sent:
            peer.asked = when
        return None
    return None if whose.holds(peer.asked) else thread


def _asks(sock: Any) -> None:
    """Before the test sends: a thread that reads may have the answer before the one that sent goes on."""
    when, peer = whose.now(), _peers.get(sock) or _found(sock)
    if peer is not None and peer is not _NOBODY and whose.beside() is None:
        peer.asked = when


def _found(sock: Any) -> Peer | None:
    """Who a socket talks to that was connected elsewhere; None while that is nobody."""
    try:
        address = sock.getpeername()
    except OSError:
        return None  # it may connect yet
    before, peer = _let_go.get(sock.fileno(), (None, None))
    if peer is None or before != address:
        place = named(address)
        peer = _NOBODY if place is None else _same(sock) or Peer(*place)
    _peers.put(sock, peer)
    return peer


def _same(sock: Any) -> Peer | None:
    """Of the same connection under another descriptor, for which the kernel is asked."""
    here = sock.getsockname()
    same = (one for one in _silent.living() if one.fileno() >= 0 and one.getsockname() == here)
    return next((_peers.get(one) for one in same), None)


def _weigh(sock: Any, peer: Peer) -> None:
    counted = tcp.counts(sock) if sock.fileno() >= 0 else None
    if counted is None:
        return
    sent, received = max(0, counted[0] - peer.sent), max(0, counted[1] - peer.received)
    if sent or received:
        evidence.contact(peer.host, peer.port, sent, received, whose.beside(peer.thread))  # who wrote is not known
        peer.sent += sent
        peer.received += received


def _weigh_silent(sock: Any) -> None:
    peer = _peers.get(sock)
    if peer is not None and peer.silent:
        _weigh(sock, peer)


def _weigh_all() -> None:
    if _silent:
        for sock in _silent.living():
            quietly(_weigh_silent, sock)


# ----------------------------------------------------------------------------------------- how connections come about


def _connected(sock: Any, address: Any) -> None:
    place = named(address)
    if place is None:
        return
    peer = Peer(*place)
    _peers.put(sock, peer)
    if tcp.COUNTED and sock.type == socket.SOCK_STREAM and not hasattr(sock, "_sslobj"):
        peer.silent = True
        _silent.put(sock)
    evidence.contact(peer.host, peer.port, 0, 0, whose.beside())


def _connecting(method: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: Any, address: Any) -> Any:
        __tracebackhide__ = True
        quietly(_connected, self, address)
        return method(self, address)

    return connect


def _accepting(method: Callable[..., Any]) -> Callable[..., Any]:
    def accept(self: Any) -> Any:
        __tracebackhide__ = True
        accepted = method(self)
        quietly(_peers.put, accepted[0], _NOBODY)
        return accepted

    return accept


def _duplicating(method: Callable[..., Any]) -> Callable[..., Any]:
    def dup(self: Any) -> Any:
        __tracebackhide__ = True
        other = method(self)
        quietly(_share, self, other)
        return other

    return dup


def _share(sock: Any, other: Any) -> None:
    peer = _peers.get(sock)
    if peer is not None:
        _peers.put(other, peer)
        if peer.silent:
            _silent.put(other)


def _detaching(method: Callable[..., Any]) -> Callable[..., Any]:
    def detach(self: Any) -> Any:
        __tracebackhide__ = True
        quietly(_lose, self)
        return method(self)

    return detach


def _lose(sock: Any) -> None:
    peer = _peers.get(sock)
    if peer is None or sock.fileno() < 0:
        return
    _end(sock)
    try:
        address = sock.getpeername()
    except OSError:
        return
    if len(_let_go) >= _MOST:
        _let_go.clear()
    _let_go[sock.fileno()] = (address, peer)


def _closing(method: Callable[..., Any]) -> Callable[..., Any]:
    def _real_close(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if _silent:
            quietly(_end, self)
        return method(self, *args, **kwargs)

    return _real_close


def _end(sock: Any) -> None:
    _weigh_silent(sock)
    _silent.pop(sock)


def _securing(original: Any) -> Any:
    def wrap_socket(self: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        peer = quietly(_peers.get, sock)
        if peer is not None:
            quietly(_secure, sock, peer, kwargs.get("server_hostname"))
        wrapped = original(self, sock, *args, **kwargs)
        if peer is not None:
            quietly(_peers.put, wrapped, peer)
        return wrapped

    return wrap_socket


def _secure(sock: Any, peer: Peer, hostname: Any) -> None:
    hand_over(sock)  # the kernel would count the handshake, too
    if isinstance(hostname, str) and hostname in names.of(peer.host):
        peer.host = hostname  # of the names that share the address


# ------------------------------------------------------------------------------------------------ sending, receiving


def _first_or_itself(result: Any) -> int:
    return int(result[0] if isinstance(result, tuple) else result)


def _length(result: Any) -> int:
    return result if isinstance(result, int) else len(result)


def _sending(method: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if whose.watching:
            quietly(_asks, self)
        count = method(self, *args, **kwargs)
        _note(self, count or 0, 0)
        return count

    return send


def _sending_all(method: Callable[..., Any]) -> Callable[..., Any]:
    def sendall(self: Any, data: Any, *args: Any) -> Any:
        __tracebackhide__ = True
        if whose.watching:
            quietly(_asks, self)
        result = method(self, data, *args)
        _note(self, len(data) if isinstance(data, bytes) else memoryview(data).nbytes, 0)
        return result

    return sendall


def _sending_to(method: Callable[..., Any]) -> Callable[..., Any]:
    def sendto(self: Any, *args: Any) -> Any:
        __tracebackhide__ = True
        count = method(self, *args)
        quietly(_datagram, self, args[-1], count, 0)
        return count

    return sendto


def _receiving(method: Callable[..., Any], size: Callable[[Any], int]) -> Callable[..., Any]:
    def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = method(self, *args, **kwargs)
        _note(self, 0, size(result))
        return result

    return receive


def _receiving_from(method: Callable[..., Any], size: Callable[[Any], int]) -> Callable[..., Any]:
    def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = method(self, *args, **kwargs)
        if _peers.get(self) is not None:
            _note(self, 0, size(result[0]))
        else:
            quietly(_datagram, self, result[1], 0, size(result[0]))
        return result

    return receive


def _datagram(sock: Any, address: Any, sent: int, received: int) -> None:
    place = named(address)
    if place is not None:
        evidence.contact(*place, sent, received, whose.beside())
    else:
        _note(sock, sent, received)


def _when_tls(
    method: Callable[..., Any], count: Callable[[Any], tuple[int, int]], *, sends: bool
) -> Callable[..., Any]:
    def observed(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        tls = getattr(self, "_sslobj", None) is not None  # without, it goes through socket.socket and is counted there
        if tls and sends and whose.watching:
            quietly(_asks, self)
        result = method(self, *args, **kwargs)
        if tls:
            _note(self, *count(result))
        return result

    return observed
