"""Writes down the life of WebSockets seen from the client: opened, each message by type and size, closed and by whom.

The websockets library decides without I/O in `websockets.protocol`; observed there, its asyncio, its blocking and its
trio client are the same. Its legacy client and websocket-client hand their frames to `Life` as well; for aiohttp see
`aiohttp_client`.
"""

from __future__ import annotations

import json
import weakref
from typing import Any
from urllib.parse import urlsplit

from . import drops, evidence
from .cuts import cut
from .exchanges import HEADER
from .wire import Message
from .wrapping import Kept, quietly, wrap

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_HEAD, _MASK = 2, 4  # bytes before the content of a frame as short as a ping is; clients mask theirs
_EVENT_LIMIT = 1 << 20  # larger messages are not looked into
_KEPT = 1000  # characters of a message that names an error
LOST = "connection lost without a close frame"

_decode = json.JSONDecoder().decode


def message(url: str, direction: str, data: Any) -> None:
    """A text (str) or binary (bytes) message went by."""
    if isinstance(data, str):
        _text(url, direction, data.encode("utf-8", "replace"))
    else:
        evidence.frame(url, "binary", direction, size=memoryview(data).nbytes)


def _text(url: str, direction: str, data: bytes, size: int | None = None) -> None:
    size = len(data) if size is None else size
    event, text = _read(data.decode("utf-8", "replace")) if size <= _EVENT_LIMIT else (None, None)
    evidence.frame(url, "text", direction, size=size, event=event, text=text)


def _read(data: str) -> tuple[str | None, str | None]:
    try:
        value = _decode(data)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None, None
    event = value["type"][:200]
    return event, cut(data, _KEPT) if "error" in event.lower() else None


class Life:
    """One connection, from its upgrade on: told frame by frame, tells message by message."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.upgrade: Message | None = evidence.exchange("GET", url)
        self.opened = False
        self.closed = False
        self._parts: dict[str, tuple[int, bytearray, int]] = {}  # by direction: opcode, what is kept, whole size

    def answered(self, status: int, body: Any = None) -> None:
        """The upgrade was answered; whether it went through, `open` says."""
        entry = self.upgrade or evidence.exchange("GET", self.url)
        self.upgrade = None
        evidence.answered(entry, status)
        if body:
            evidence.body(entry, bytes(body))

    def failed(self, error: BaseException) -> None:
        """The upgrade was not answered; nothing where it was."""
        if self.upgrade is not None:
            evidence.failed(self.upgrade, error)
            self.upgrade = None

    def open(self) -> None:
        """The upgrade went through: from here on there can be an end."""
        self.opened = True
        evidence.frame(self.url, "open", "received")

    def lost(self) -> None:
        """No more data will come."""
        self.failed(EOFError("the connection ended before the upgrade was answered"))
        if self.opened and not self.closed:
            self.closed = True
            evidence.frame(self.url, "close", "received", code=1006, reason=LOST)

    def dropped(self) -> None:
        """We let go of the connection without a close frame."""
        self.failed(EOFError("the connection was let go of before the upgrade was answered"))
        if self.opened and not self.closed:
            self.closed = True
            evidence.frame(self.url, "close", "sent")

    def frame(self, direction: str, opcode: int, data: Any, *, fin: bool = True) -> None:
        """A frame went by; messages that come in several are told with their last."""
        if opcode == _CLOSE:
            self._close(direction, bytes(data))
        elif opcode in (_PING, _PONG):
            self._kept_alive(direction, len(data))
        elif opcode in (_TEXT, _BINARY) and fin:
            self._whole(direction, opcode, bytes(data), len(data))
        elif opcode in (_CONTINUATION, _TEXT, _BINARY):
            self._part(direction, opcode, data, fin=fin)

    def _kept_alive(self, direction: str, size: int) -> None:
        """Pings and pongs come and go by themselves, also while a test does nothing at all."""
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        if direction == "sent":
            evidence.kept_alive(parts.hostname or "", port, _HEAD + _MASK + size, 0)
        else:
            evidence.kept_alive(parts.hostname or "", port, 0, _HEAD + size)

    def _part(self, direction: str, opcode: int, data: Any, *, fin: bool) -> None:
        kind, kept, size = self._parts.pop(direction, (opcode, bytearray(), 0))
        size += len(data)
        if kind == _TEXT and size <= _EVENT_LIMIT:
            kept += data
        if fin:
            self._whole(direction, kind, bytes(kept), size)
        else:
            self._parts[direction] = (kind, kept, size)

    def _whole(self, direction: str, opcode: int, data: bytes, size: int) -> None:
        if opcode == _TEXT:
            _text(self.url, direction, data, size)
        else:
            evidence.frame(self.url, "binary", direction, size=size)

    def _close(self, direction: str, data: bytes) -> None:
        if self.closed:
            return  # the first one tells who closed; the answer to it tells nothing new
        self.closed = True
        code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
        evidence.frame(self.url, "close", direction, code=code, reason=data[2:].decode("utf-8", "replace"))


# --------------------------------------------------------------------------------------------- the websockets library

_lives = Kept()  # by protocol object; of clients only
_carriers = Kept()  # by protocol object: the connection that does its I/O


def give_trace(headers: Any) -> None:
    """Adds the test's `traceparent` to a mapping of headers that has none."""
    if HEADER not in headers:
        value = evidence.traceparent()
        if value is not None:
            headers[HEADER] = value


def url_of(uri: Any, path: str) -> str:
    """The URL of one of the library's parsed addresses, as a test would write it."""
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    return f"{'wss' if uri.secure else 'ws'}://{host}:{uri.port}{path}"


def install_websockets_client(module: Any) -> None:
    """The opening handshake: its `traceparent`, and whether it went through."""

    def sending(original: Any) -> Any:
        def send_request(self: Any, request: Any) -> Any:
            __tracebackhide__ = True
            quietly(_asked, self, request)
            return original(self, request)

        return send_request

    def processing(original: Any) -> Any:
        def process_response(self: Any, response: Any) -> Any:
            __tracebackhide__ = True
            quietly(_answered, self, response)
            result = original(self, response)  # raises where the upgrade is refused
            quietly(_opened, self)
            return result

        return process_response

    wrap(module.ClientProtocol, "send_request", sending)
    wrap(module.ClientProtocol, "process_response", processing)


def _asked(protocol: Any, request: Any) -> None:
    uri = getattr(protocol, "uri", None) or protocol.wsuri
    give_trace(request.headers)
    _lives.put(protocol, Life(url_of(uri, request.path)))


def _answered(protocol: Any, response: Any) -> None:
    life = _lives.get(protocol)
    if life is not None:
        life.answered(response.status_code, getattr(response, "body", None))


def _opened(protocol: Any) -> None:
    life = _lives.get(protocol)
    if life is not None:
        life.open()
        carrier = _carriers.get(protocol)
        drops.watch(_socket_of(None if carrier is None else carrier()), life)


def _socket_of(connection: Any) -> Any:
    if hasattr(connection, "transport"):  # of asyncio
        return drops.below(connection.transport)
    stream = getattr(connection, "stream", None)  # of trio
    socket = getattr(getattr(stream, "transport_stream", stream), "socket", None)
    return getattr(connection, "socket", None) if socket is None else getattr(socket, "_sock", None)


def install_websockets_connection(module: Any) -> None:
    """What does the I/O of a protocol object: its socket tells who ended it."""
    kind = module.Connection
    wrap(kind, "__init__", _carrying)
    if hasattr(kind, "connection_lost"):  # of asyncio
        wrap(kind, "eof_received", _hearing_eof)
        wrap(kind, "connection_lost", _losing)


def _carrying(original: Any) -> Any:
    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        original(self, *args, **kwargs)
        quietly(_carry, self)

    return initialise


def _carry(connection: Any) -> None:
    _carriers.put(connection.protocol, weakref.ref(connection))


def _hearing_eof(original: Any) -> Any:
    def eof_received(self: Any) -> Any:
        __tracebackhide__ = True
        life = _lives.get(self.protocol)
        if life is not None:
            quietly(drops.eof, life, self.transport)
        return original(self)

    return eof_received


def _losing(original: Any) -> Any:
    def connection_lost(self: Any, error: Any) -> Any:
        __tracebackhide__ = True
        life = _lives.get(self.protocol)
        if life is not None:
            quietly(drops.gone, life, self.transport, error)
        return original(self, error)

    return connection_lost


def install_websockets(module: Any) -> None:
    """Frames of the library's protocol object, of clients only."""

    def passing(direction: str) -> Any:
        def make(original: Any) -> Any:
            def observed(self: Any, frame: Any) -> Any:
                __tracebackhide__ = True
                life = _lives.get(self)
                if life is not None:
                    quietly(_frame, life, direction, frame)
                return original(self, frame)

            return observed

        return make

    def ending(original: Any) -> Any:
        def receive_eof(self: Any) -> Any:
            __tracebackhide__ = True
            life = _lives.get(self)
            if life is not None:
                quietly(life.lost)
            return original(self)

        return receive_eof

    wrap(module.Protocol, "send_frame", passing("sent"))
    wrap(module.Protocol, "recv_frame", passing("received"))
    wrap(module.Protocol, "receive_eof", ending)


def _frame(life: Life, direction: str, frame: Any) -> None:
    life.frame(direction, int(frame.opcode), frame.data, fin=frame.fin)
