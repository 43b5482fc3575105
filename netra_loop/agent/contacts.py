"""Counts bytes per peer, at the sockets themselves: whatever client, thread or event loop uses them goes through here.

Only sockets that connected from this process count; those that a test's own server accepted do not. A peer keeps the
name it was looked up by. TLS counts what was said, not the bytes on the wire; under asyncio, which
does its TLS in memory, the bytes on the wire.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable
from typing import Any

from . import evidence

Peer = tuple[str, int]

_names: dict[str, str] = {}
_peers: weakref.WeakKeyDictionary[Any, Peer] = weakref.WeakKeyDictionary()


def install() -> None:
    """Wraps the methods of `socket.socket`, once for the process."""
    kind: Any = socket.socket
    for name in ("connect", "connect_ex"):
        setattr(kind, name, _connecting(getattr(kind, name)))
    for name in ("send", "sendmsg"):
        setattr(kind, name, _sending(getattr(kind, name)))
    kind.sendall = _sending_all(kind.sendall)
    kind.sendfile = _sending(kind.sendfile)
    kind.sendto = _sending_to(kind.sendto)
    kind.recv = _receiving(kind.recv, len)
    for name in ("recv_into", "recvmsg_into"):
        setattr(kind, name, _receiving(getattr(kind, name), _first_or_itself))
    kind.recvmsg = _receiving(kind.recvmsg, lambda result: len(result[0]))
    kind.recvfrom = _receiving_from(kind.recvfrom, len)
    kind.recvfrom_into = _receiving_from(kind.recvfrom_into, int)
    socket.getaddrinfo = _resolving(socket.getaddrinfo)


def install_tls(ssl: Any) -> None:
    """Wraps `ssl.SSLSocket`, which reads and writes past `socket.socket`."""
    kind = ssl.SSLSocket
    kind.send = _when_tls(kind.send, lambda result: (result, 0))
    kind.write = _when_tls(kind.write, lambda result: (result, 0))
    kind.read = _when_tls(kind.read, lambda result: (0, result if isinstance(result, int) else len(result)))
    wrap = ssl.SSLContext.wrap_socket

    def wrap_socket(self: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
        peer = _peers.get(sock)
        wrapped = wrap(self, sock, *args, **kwargs)
        if peer is not None:
            _peers[wrapped] = peer
        return wrapped

    ssl.SSLContext.wrap_socket = wrap_socket


def _first_or_itself(result: Any) -> int:
    return int(result[0] if isinstance(result, tuple) else result)


def _named(address: Any) -> Peer | None:
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str):
        return _names.get(address[0], address[0]), int(address[1])
    return None


def _note(sock: Any, sent: int, received: int, peer: Peer | None = None) -> None:
    try:
        peer = peer or _peers.get(sock)
        if peer is not None:
            evidence.contact(peer[0], peer[1], sent, received)
    except Exception as error:
        evidence.blind(error)


def _connecting(method: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: Any, address: Any) -> Any:
        try:
            peer = _named(address)
            if peer is not None:
                _peers[self] = peer
                evidence.contact(peer[0], peer[1], 0, 0)
        except Exception as error:
            evidence.blind(error)
        return method(self, address)

    return connect


def _sending(method: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        count = method(self, *args, **kwargs)
        _note(self, count or 0, 0)
        return count

    return send


def _sending_all(method: Callable[..., Any]) -> Callable[..., Any]:
    def sendall(self: Any, data: Any, *args: Any) -> Any:
        result = method(self, data, *args)
        _note(self, memoryview(data).nbytes, 0)
        return result

    return sendall


def _sending_to(method: Callable[..., Any]) -> Callable[..., Any]:
    def sendto(self: Any, *args: Any) -> Any:
        count = method(self, *args)
        _note(self, count, 0, _named(args[-1]))
        return count

    return sendto


def _receiving(method: Callable[..., Any], size: Callable[[Any], int]) -> Callable[..., Any]:
    def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        _note(self, 0, size(result))
        return result

    return receive


def _receiving_from(method: Callable[..., Any], size: Callable[[Any], int]) -> Callable[..., Any]:
    def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        _note(self, 0, size(result[0]), _peers.get(self) or _named(result[1]))
        return result

    return receive


def _when_tls(method: Callable[..., Any], count: Callable[[Any], tuple[int, int]]) -> Callable[..., Any]:
    def observed(self: Any, *args: Any, **kwargs: Any) -> Any:
        tls = self._sslobj is not None  # without, it goes through socket.socket and is counted there
        result = method(self, *args, **kwargs)
        if tls:
            _note(self, *count(result))
        return result

    return observed


def _resolving(function: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        found = function(host, *args, **kwargs)
        try:
            name = host.decode() if isinstance(host, bytes) else host
            if name:
                for *_, address in found:
                    if address[0] != name:
                        _names[address[0]] = str(name)
        except Exception as error:
            evidence.blind(error)
        return found

    return getaddrinfo
