"""Writes down the life of WebSockets seen from the client: opened, each message by type and size, closed and by whom.

The websockets library decides without I/O in `websockets.protocol`; observed there, its asyncio and its blocking client
are the same.
"""

from __future__ import annotations

import json
import weakref
from typing import Any

from . import evidence
from .exchanges import HEADER
from .wire import Message

_TEXT, _BINARY, _CLOSE = 1, 2, 8
_EVENT_LIMIT = 1 << 20  # larger messages are not looked into
_KEPT = 1000  # characters of a message that names an error

_decode = json.JSONDecoder().decode
_urls: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()  # connection to its URL
_upgrades: weakref.WeakKeyDictionary[Any, Message] = weakref.WeakKeyDictionary()  # connection to its upgrade's exchange
_opened: weakref.WeakSet[Any] = weakref.WeakSet()  # connections whose upgrade went through; only these can close
_closed: weakref.WeakSet[Any] = weakref.WeakSet()  # connections whose close frame was seen


def message(url: str, direction: str, data: Any) -> None:
    """A text (str) or binary (bytes) message went by."""
    if isinstance(data, str):
        size = len(data.encode("utf-8", "replace"))
        event, text = _read(data) if size <= _EVENT_LIMIT else (None, None)
        evidence.frame(url, "text", direction, size=size, event=event, text=text)
    else:
        evidence.frame(url, "binary", direction, size=memoryview(data).nbytes)


def _read(data: str) -> tuple[str | None, str | None]:
    try:
        value = _decode(data)
    except ValueError:
        return None, None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None, None
    event = value["type"][:200]
    return event, data[:_KEPT] if "error" in event.lower() else None


def install_websockets_client(module: Any) -> None:
    """The opening handshake: its `traceparent`, and whether it went through."""
    kind = module.ClientProtocol
    send_request, process_response = kind.send_request, kind.process_response

    def observed_send(self: Any, request: Any) -> Any:
        try:
            uri = getattr(self, "uri", None) or self.wsuri
            scheme = "wss" if uri.secure else "ws"
            _urls[self] = f"{scheme}://{uri.host}:{uri.port}{request.path}"
            value = None if HEADER in request.headers else evidence.traceparent()
            if value is not None:
                request.headers[HEADER] = value
            _upgrades[self] = evidence.exchange("GET", _urls[self])
        except Exception as error:
            evidence.blind(error)
        return send_request(self, request)

    def observed_response(self: Any, response: Any) -> Any:
        entry = _upgrades.pop(self, None) or evidence.exchange("GET", _urls.get(self, ""))
        evidence.answered(entry, response.status_code)
        body = getattr(response, "body", None)
        if body:
            evidence.body(entry, bytes(body))
        result = process_response(self, response)  # raises where the upgrade is refused
        _opened.add(self)
        evidence.frame(_urls.get(self, ""), "open", "received")
        return result

    kind.send_request, kind.process_response = observed_send, observed_response


def install_websockets(module: Any) -> None:
    """Frames of the library's protocol object, of clients only."""
    kind = module.Protocol
    send_frame, recv_frame, receive_eof = kind.send_frame, kind.recv_frame, kind.receive_eof

    def observed_send(self: Any, frame: Any) -> Any:
        _frame(self, "sent", frame)
        return send_frame(self, frame)

    def observed_receive(self: Any, frame: Any) -> Any:
        _frame(self, "received", frame)
        return recv_frame(self, frame)

    def observed_eof(self: Any) -> Any:
        unanswered = _upgrades.pop(self, None)
        if unanswered is not None:
            evidence.failed(unanswered, EOFError("the connection ended before the upgrade was answered"))
        if self in _opened and self not in _closed:
            _closed.add(self)
            evidence.frame(_urls[self], "close", "received", code=1006, reason="connection lost without a close frame")
        return receive_eof(self)

    kind.send_frame, kind.recv_frame, kind.receive_eof = observed_send, observed_receive, observed_eof


def _frame(protocol: Any, direction: str, frame: Any) -> None:
    try:
        url = _urls.get(protocol)
        if url is None:
            return
        data = bytes(frame.data)
        if frame.opcode == _TEXT:
            message(url, direction, data.decode("utf-8", "replace"))
        elif frame.opcode == _BINARY:
            message(url, direction, data)
        elif frame.opcode == _CLOSE and protocol not in _closed:
            _closed.add(protocol)  # the first one tells who closed; the answer to it tells nothing new
            code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
            evidence.frame(url, "close", direction, code=code, reason=data[2:].decode("utf-8", "replace"))
    except Exception as error:
        evidence.blind(error)


def install_aiohttp(module: Any) -> None:
    """The client's end of aiohttp's WebSockets."""
    kind = module.ClientWebSocketResponse
    receive, send_str, send_bytes, close = kind.receive, kind.send_str, kind.send_bytes, kind.close

    async def observed_receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        received = await receive(self, *args, **kwargs)
        _aiohttp_received(self, received)
        return received

    async def observed_str(self: Any, data: str, *args: Any, **kwargs: Any) -> Any:
        message(_aiohttp_url(self), "sent", data)
        return await send_str(self, data, *args, **kwargs)

    async def observed_bytes(self: Any, data: bytes, *args: Any, **kwargs: Any) -> Any:
        message(_aiohttp_url(self), "sent", data)
        return await send_bytes(self, data, *args, **kwargs)

    async def observed_close(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.closed and self not in _closed:
            _closed.add(self)
            code = kwargs.get("code", args[0] if args else 1000)
            evidence.frame(_aiohttp_url(self), "close", "sent", code=int(code), reason=None)
        return await close(self, *args, **kwargs)

    kind.receive, kind.send_str, kind.send_bytes, kind.close = (
        observed_receive,
        observed_str,
        observed_bytes,
        observed_close,
    )


def _aiohttp_url(socket: Any) -> str:
    return str(getattr(getattr(socket, "_response", None), "url", ""))


def _aiohttp_received(socket: Any, received: Any) -> None:
    try:
        name = received.type.name
        if name in ("TEXT", "BINARY"):
            message(_aiohttp_url(socket), "received", received.data)
        elif name in ("CLOSE", "CLOSED", "ERROR") and socket not in _closed:
            _closed.add(socket)
            code = received.data if name == "CLOSE" else 1006
            evidence.frame(_aiohttp_url(socket), "close", "received", code=int(code), reason=received.extra)
    except Exception as error:
        evidence.blind(error)
