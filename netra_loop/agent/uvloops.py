"""Counts the bytes of uvloop's connections, which never pass Python's `socket`: by asking the kernel, per connection.

Asked when data arrives, when the connection ends, and whenever the evidence is looked at. Linux counts bytes per TCP
connection (`TCP_INFO`); elsewhere the peer is known, and that its bytes are not counted is told.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from . import evidence, names, tcp, whose
from .contacts import hand_over
from .wrapping import quietly, wrap

_open: dict[int, _Watched] = {}


class _Watched:
    """One connection, from the moment its protocol is made."""

    def __init__(self, host: str, port: int) -> None:
        self.peer = (host, port)
        self.loop: Any = None
        self.socket: Any = None
        self.inode = 0
        self.thread: Any = None  # that the loop runs in
        self.sent = 0
        self.received = 0

    def made(self, loop: Any, transport: Any) -> None:
        """It is up."""
        self.loop = loop
        self.thread = whose.here()
        self.socket = transport.get_extra_info("socket")
        self.inode = os.fstat(self.socket.fileno()).st_ino
        _open[id(self)] = self

    def measure(self) -> None:
        """Notes what came to the kernel's counters since the last time."""
        sock = self.socket
        counted = None if sock is None else tcp.counts(sock)
        if counted is None:
            return
        sent, received = max(counted[0], self.sent), max(counted[1], self.received)
        if (sent, received) != (self.sent, self.received):
            new = sent - self.sent, received - self.received
            self.sent, self.received = sent, received  # first: another thread may look while it is being told
            evidence.contact(*self.peer, *new, whose.beside(self.thread, self.loop))

    def lost(self) -> None:
        """It is about to be closed."""
        if self.socket is not None and self.still():
            self.measure()
        self.socket = None
        _open.pop(id(self), None)

    def still(self) -> bool:
        """Whether its descriptor is still its own."""
        sock = self.socket  # the loop's thread may let go of it at any time
        try:
            return sock is not None and not self.loop.is_closed() and os.fstat(sock.fileno()).st_ino == self.inode
        except OSError:
            return False


def install(module: Any) -> None:
    """Wraps the making of connections of `uvloop.Loop`."""

    def make(original: Any) -> Any:
        async def create_connection(
            self: Any, protocol_factory: Any, host: Any = None, port: Any = None, *args: Any, **kwargs: Any
        ) -> Any:
            __tracebackhide__ = True
            watched = quietly(_begin, host, port, kwargs.get("sock"))

            def factory() -> Any:
                protocol = protocol_factory()
                if watched is not None:
                    quietly(_watch, self, watched, protocol)
                return protocol

            return await original(self, factory, host, port, *args, **kwargs)

        return create_connection

    wrap(module.Loop, "create_connection", make)
    wrap(module.Loop, "start_tls", _starting_tls)
    wrap(module.Loop, "create_server", _serving)
    wrap(module.Loop, "getaddrinfo", names.resolving_on_loop)
    evidence.count_with(_measure_all)
    if not tcp.COUNTED:
        evidence.blind_to("the traffic of uvloop", OSError(f"{sys.platform} does not count bytes per connection"))


def _begin(host: Any, port: Any, sock: Any) -> _Watched | None:
    peer = hand_over(sock) if sock is not None else names.named((str(host), int(port)))
    if peer is None:
        return None
    evidence.contact(*peer, 0, 0)
    return _Watched(*peer)


def _watch(loop: Any, watched: _Watched, protocol: Any) -> None:
    # on the object itself: uvloop keeps its protocol's methods, and hands the transport to nobody but the protocol
    made, lost = protocol.connection_made, protocol.connection_lost

    def connection_made(transport: Any) -> Any:
        __tracebackhide__ = True
        quietly(watched.made, loop, transport)
        return made(transport)

    def connection_lost(error: Any) -> Any:
        __tracebackhide__ = True
        quietly(watched.lost)
        return lost(error)

    protocol.connection_made, protocol.connection_lost = connection_made, connection_lost
    _listen(watched, protocol)


def _listen(watched: _Watched, protocol: Any) -> None:
    for name in ("data_received", "buffer_updated"):
        received = getattr(protocol, name, None)
        if received is not None:
            setattr(protocol, name, _measuring(watched, received))


def _measuring(watched: _Watched, received: Any) -> Any:
    def observed(data: Any) -> Any:
        __tracebackhide__ = True
        quietly(watched.measure)
        return received(data)

    return observed


def _serving(original: Any) -> Any:
    async def create_server(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        server = await original(self, *args, **kwargs)
        for sock in server.sockets or ():
            quietly(names.listens, sock)
        return server

    return create_server


def _starting_tls(original: Any) -> Any:
    async def start_tls(self: Any, transport: Any, protocol: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        quietly(_follow, transport, protocol)
        return await original(self, transport, protocol, *args, **kwargs)

    return start_tls


def _follow(transport: Any, protocol: Any) -> None:
    number = transport.get_extra_info("socket").fileno()
    for watched in list(_open.values()):
        sock = watched.socket
        if sock is not None and sock.fileno() == number:
            _listen(watched, protocol)


def _measure_all() -> None:
    for key, watched in list(_open.items()):
        if watched.still():
            quietly(watched.measure)
        else:
            _open.pop(key, None)
