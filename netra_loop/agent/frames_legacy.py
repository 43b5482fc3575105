"""The legacy asyncio client of the websockets library, which does its own I/O."""

from __future__ import annotations

import weakref
from typing import Any

from .frames import Life, give_trace, url_of
from .wrapping import quietly, wrap

_lives: weakref.WeakKeyDictionary[Any, Life] = weakref.WeakKeyDictionary()


def install_client(module: Any) -> None:
    """The opening handshake."""
    kind = module.WebSocketClientProtocol

    def shaking(original: Any) -> Any:
        async def handshake(self: Any, wsuri: Any, *args: Any, **kwargs: Any) -> Any:
            self._netra_loop_uri = wsuri
            result = await original(self, wsuri, *args, **kwargs)
            quietly(_opened, self)
            return result

        return handshake

    def writing(original: Any) -> Any:
        def write_http_request(self: Any, path: str, headers: Any) -> Any:
            quietly(_asked, self, path, headers)
            return original(self, path, headers)

        return write_http_request

    def reading(original: Any) -> Any:
        async def read_http_response(self: Any) -> Any:
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
            frame = await original(self, *args, **kwargs)
            quietly(_frame, self, "received", frame.opcode, frame.data, frame.fin)
            return frame

        return read_frame

    def writing(original: Any) -> Any:
        def write_frame_sync(self: Any, fin: bool, opcode: int, data: Any) -> Any:
            quietly(_frame, self, "sent", opcode, data, fin)
            return original(self, fin, opcode, data)

        return write_frame_sync

    def losing(original: Any) -> Any:
        def connection_lost(self: Any, error: Any) -> Any:
            quietly(_lost, self)
            return original(self, error)

        return connection_lost

    wrap(kind, "read_frame", reading)
    wrap(kind, "write_frame_sync", writing)
    wrap(kind, "connection_lost", losing)


def _asked(protocol: Any, path: str, headers: Any) -> None:
    give_trace(headers)
    _lives[protocol] = Life(url_of(protocol._netra_loop_uri, path))  # noqa: SLF001


def _answered(protocol: Any, status: int) -> None:
    _lives[protocol].answered(status)


def _opened(protocol: Any) -> None:
    _lives[protocol].open()


def _frame(protocol: Any, direction: str, opcode: int, data: Any, fin: bool) -> None:
    life = _lives.get(protocol)
    if life is not None:
        life.frame(direction, int(opcode), data, fin=fin)


def _lost(protocol: Any) -> None:
    life = _lives.get(protocol)
    if life is not None:
        life.lost()
