"""Counts bytes per peer, at the sockets themselves: whatever client, thread or event loop uses them goes through here.

Only sockets that connected from this process count; those that a test's own server accepted do not. A peer keeps the
name it was looked up by. TLS counts what was said, not the bytes on the wire; under asyncio, which
does its TLS in memory, the bytes on the wire. Not seen: what goes past `socket.socket` (`os.write` on a socket's
descriptor, `loop.sendfile`, gevent's sockets, C extensions); uvloop has an observer of its own (`uvloops`).
"""

from __future__ import annotations

import contextvars
import functools
import socket
import weakref
from collections.abc import Callable
from typing import Any

from . import evidence
from .wrapping import quietly, wrap

Peer = tuple[str, int]

_MOST = 256  # names that one context remembers

_names: dict[str, str] = {}
_looked_up: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("netra_loop_looked_up")
_peers: weakref.WeakKeyDictionary[Any, Peer] = weakref.WeakKeyDictionary()


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
    wrap(socket, "getaddrinfo", _resolving)


def install_tls(ssl: Any) -> None:
    """Wraps `ssl.SSLSocket`, which reads and writes past `socket.socket`."""
    kind = ssl.SSLSocket
    for name in ("send", "write"):
        wrap(kind, name, functools.partial(_when_tls, count=lambda result: (result or 0, 0)))
    wrap(kind, "read", functools.partial(_when_tls, count=lambda result: (0, _length(result))))

    def make(original: Any) -> Any:
        def wrap_socket(self: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
            peer = quietly(_peers.get, sock)
            wrapped = original(self, sock, *args, **kwargs)
            if peer is not None:
                _peers[wrapped] = peer
            return wrapped

        return wrap_socket

    wrap(ssl.SSLContext, "wrap_socket", make)


def install_asyncio(module: Any) -> None:
    """Has the name that asyncio looks up in another thread known where it then connects."""
    wrap(module.BaseEventLoop, "getaddrinfo", resolving_on_loop)


def resolving_on_loop(original: Any) -> Any:
    """Observes an event loop's `getaddrinfo`."""

    async def getaddrinfo(self: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
        found = await original(self, host, *args, **kwargs)
        quietly(_remember, host, found)
        return found

    return getaddrinfo


def peer_of(sock: Any) -> Peer | None:
    """To whom `sock` connected; None where it did not."""
    return _peers.get(sock)


def named(address: Any) -> Peer | None:
    """An address as `connect` takes it, under the name it was looked up by; None for one that is no host's."""
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str):
        name = _looked_up.get({}).get(address[0]) or _names.get(address[0], address[0])
        return name, int(address[1])
    return None


def _first_or_itself(result: Any) -> int:
    return int(result[0] if isinstance(result, tuple) else result)


def _length(result: Any) -> int:
    return result if isinstance(result, int) else len(result)


def _note(sock: Any, sent: int, received: int, peer: Peer | None = None) -> None:
    try:
        peer = peer or _peers.get(sock)
        if peer is not None:
            evidence.contact(peer[0], peer[1], sent, received)
    except Exception as error:
        evidence.blind(error)


def _connected(sock: Any, address: Any) -> None:
    peer = named(address)
    if peer is not None:
        _peers[sock] = peer
        evidence.contact(peer[0], peer[1], 0, 0)


def _connecting(method: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: Any, address: Any) -> Any:
        quietly(_connected, self, address)
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
        _note(self, len(data) if isinstance(data, bytes) else memoryview(data).nbytes, 0)
        return result

    return sendall


def _sending_to(method: Callable[..., Any]) -> Callable[..., Any]:
    def sendto(self: Any, *args: Any) -> Any:
        count = method(self, *args)
        _note(self, count, 0, quietly(named, args[-1]))
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
        _note(self, 0, size(result[0]), _peers.get(self) or quietly(named, result[1]))
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
        quietly(_remember, host, found)
        return found

    return getaddrinfo


def _remember(host: Any, found: Any) -> None:
    # first for the context that looked: names that share an address are told apart by who asked; then for all the
    # others, because some clients look up in one thread or task and connect in the next
    name = host.decode() if isinstance(host, bytes) else host
    if not name:
        return
    addresses = {str(address[0]): str(name) for *_, address in found if address[0] != name}
    if addresses:
        _names.update(addresses)
        known = _looked_up.get({})
        _looked_up.set({**(known if len(known) < _MOST else {}), **addresses})
