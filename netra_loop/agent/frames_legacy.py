"""The legacy asyncio client of the websockets library, which does its own I/O."""

from __future__ import annotations

import weakref
from typing import Any

from . import drops
from .frames import Life, give_trace, url_of
from .wrapping import Kept, quietly, wrap


class _Reading:
    """A connection's life, whose end is told only after what came before it: the client reads frames in a task."""

    def __init__(self, protocol: Any, url: str) -> None:
        self.life = Life(url)
        self._protocol = weakref.ref(protocol)
        self._ours: bool | None = None

    def dropped(self) -> None:
        self._end(ours=True)

    def lost(self) -> None:
        self._end(ours=False)

    def _end(self, *, ours: bool) -> None:
        if self._ours is None:
            self._ours = ours
        task = getattr(self._protocol(), "transfer_data_task", None)
        if task is None or task.done():
            self.over()

    def over(self) -> None:
        """No more frame will be read."""
        if self._ours is not None:
            (self.life.dropped if self._ours else self.life.lost)()


_lives = Kept()
_addresses = Kept()  # by protocol: what it was told to connect to


def install_client(module: Any) -> None:
    """The opening handshake."""
    kind = module.WebSocketClientProtocol

    def shaking(original: Any) -> Any:
        async def handshake(self: Any, wsuri: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            quietly(_addresses.put, self, wsuri)
            result = await original(self, wsuri, *args, **kwargs)
            quietly(_opened, self)
            return result

        return handshake

    def writing(original: Any) -> Any:
        def write_http_request(self: Any, path: str, headers: Any) -> Any:
            __tracebackhide__ = True
            quietly(_asked, self, path, headers)
            return original(self, path, headers)

        return write_http_request

    def reading(original: Any) -> Any:
        async def read_http_response(self: Any) -> Any:
            __tracebackhide__ = True
            status, headers = await original(self)
            quietly(_answered, self, status)
            return status, headers

        return read_http_response

    wrap(kind, "handshake", shaking)
    wrap(kind, "write_http_request", writing)
    wrap(kind, "read_http_response", reading)


def install_protocol(module: Any) -> None:
    """Its frames, and the end of the connection."""
    kind = module.WebSocketCommonProtocol

    def reading(original: Any) -> Any:
        async def read_frame(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                frame = await original(self, *args, **kwargs)
            except BaseException:
                quietly(_over, self)
                raise
            quietly(_frame, self, "received", frame.opcode, frame.data, frame.fin)
            return frame

        return read_frame

    def writing(original: Any) -> Any:
        def write_frame_sync(self: Any, fin: bool, opcode: int, data: Any) -> Any:
            __tracebackhide__ = True
            quietly(_frame, self, "sent", opcode, data, fin)
            return original(self, fin, opcode, data)

        return write_frame_sync

    def losing(original: Any) -> Any:
        def connection_lost(self: Any, error: Any) -> Any:
            __tracebackhide__ = True
            life = _lives.get(self)
            if life is not None:
                quietly(drops.gone, life, self.transport, error)
            return original(self, error)

        return connection_lost

    def hearing_eof(original: Any) -> Any:
        def eof_received(self: Any) -> Any:
            __tracebackhide__ = True
            life = _lives.get(self)
            if life is not None:
                quietly(drops.eof, life, self.transport)
            return original(self)

        return eof_received

    wrap(kind, "read_frame", reading)
    wrap(kind, "write_frame_sync", writing)
    wrap(kind, "eof_received", hearing_eof)
    wrap(kind, "connection_lost", losing)


def _asked(protocol: Any, path: str, headers: Any) -> None:
    give_trace(headers)
    _lives.put(protocol, _Reading(protocol, url_of(_addresses.get(protocol), path)))


def _answered(protocol: Any, status: int) -> None:
    known = _lives.get(protocol)
    if known is not None:
        known.life.answered(status)


def _opened(protocol: Any) -> None:
    known = _lives.get(protocol)
    if known is not None:
        known.life.open()
        drops.watch(drops.below(protocol.transport), known)


def _frame(protocol: Any, direction: str, opcode: int, data: Any, fin: bool) -> None:
    known = _lives.get(protocol)
    if known is not None:
        known.life.frame(direction, int(opcode), data, fin=fin)


def _over(protocol: Any) -> None:
    known = _lives.get(protocol)
    if known is not None:
        known.over()
