"""aiohttp's client: its requests, and its end of WebSockets.

A server's close that the test neither receives nor meets with a `close` of its own is not seen: aiohttp does not look.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

from . import evidence
from .exchanges import HEADER
from .frames import LOST, message
from .wire import Message
from .wrapping import quietly, wrap

_closed: weakref.WeakSet[Any] = weakref.WeakSet()  # sockets whose end was told
_answers: weakref.WeakKeyDictionary[Any, Message] = weakref.WeakKeyDictionary()  # answer of an error to its exchange


def install(module: Any) -> None:
    """Wraps the session, through which requests and upgrades go, and the client's WebSocket."""
    wrap(module.ClientSession, "_request", _requesting)
    wrap(module.ClientSession, "_ws_connect", _connecting)
    wrap(module.ClientResponse, "read", _reading)
    kind = module.ClientWebSocketResponse
    wrap(kind, "receive", _receiving)
    wrap(kind, "send_str", _sending)
    wrap(kind, "send_bytes", _sending)
    wrap(kind, "close", _closing)
    if hasattr(kind, "send_frame"):
        wrap(kind, "send_frame", _sending_frame)


# ------------------------------------------------------------------------------------------------------- requests


def _requesting(original: Any) -> Any:
    async def _request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        entry = evidence.exchange(method, str(quietly(self._build_url, url) or url))
        quietly(_give_trace, self, kwargs)
        try:
            answer = await original(self, method, url, **kwargs)
        except BaseException as error:
            status = getattr(error, "status", None)
            if isinstance(status, int) and status > 0:  # raise_for_status
                evidence.answered(entry, status)
            else:
                evidence.failed(entry, error)
            raise
        quietly(_answered, entry, answer)
        return answer

    return _request


def _give_trace(session: Any, kwargs: Any) -> None:
    headers = sys.modules["multidict"].CIMultiDict(kwargs.get("headers") or ())
    if HEADER in headers or HEADER in session.headers:
        return
    value = evidence.traceparent()
    if value is not None:
        headers[HEADER] = value
        kwargs["headers"] = headers


def _answered(entry: Message, answer: Any) -> None:
    # one call may have been several requests: the earlier ones were redirected
    for number, one in enumerate((*answer.history, answer)):
        this = entry if number == 0 else evidence.exchange(one.method, str(one.url))
        evidence.answered(this, one.status, str(one.url))
        if one.status >= 400:
            _answers[one] = this


def _reading(original: Any) -> Any:
    async def read(self: Any) -> Any:
        content = await original(self)
        if _answers:
            quietly(_body_of, self, content)
        return content

    return read


def _body_of(answer: Any, content: bytes) -> None:
    entry = _answers.pop(answer, None)
    if entry is not None:
        evidence.body(entry, content)


# ------------------------------------------------------------------------------------------------------ WebSockets


def _connecting(original: Any) -> Any:
    async def _ws_connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        socket = await original(self, *args, **kwargs)
        quietly(_opened, socket)
        return socket

    return _ws_connect


def _opened(socket: Any) -> None:
    evidence.frame(_url(socket), "open", "received")


def _receiving(original: Any) -> Any:
    async def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        received = await original(self, *args, **kwargs)
        quietly(_received, self, received)
        return received

    return receive


def _sending(original: Any) -> Any:
    async def send(self: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        quietly(message, _url(self), "sent", data)
        return await original(self, data, *args, **kwargs)

    return send


def _sending_frame(original: Any) -> Any:
    async def send_frame(self: Any, data: Any, opcode: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(opcode, "name", "") in ("TEXT", "BINARY"):
            text = opcode.name == "TEXT"
            quietly(message, _url(self), "sent", bytes(data).decode("utf-8", "replace") if text else data)
        return await original(self, data, opcode, *args, **kwargs)

    return send_frame


def _closing(original: Any) -> Any:
    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.closed and self not in _closed:
            quietly(_we_close, self, kwargs.get("code", args[0] if args else 1000))
        return await original(self, *args, **kwargs)

    return close


def _we_close(socket: Any, code: Any) -> None:
    for waiting in list(getattr(getattr(socket, "_reader", None), "_buffer", ())):
        # arrived before, and will be thrown away: the server may have said why, and may have closed first
        _received(socket, waiting[0] if isinstance(waiting, tuple) and not hasattr(waiting, "type") else waiting)
    if socket not in _closed and getattr(socket, "_close_code", None) is None:  # else the server's word is on its way
        _closed.add(socket)
        evidence.frame(_url(socket), "close", "sent", code=int(code), reason=None)


def _url(socket: Any) -> str:
    return str(getattr(getattr(socket, "_response", None), "url", ""))


def _received(socket: Any, received: Any) -> None:
    name = received.type.name
    if name == "TEXT":
        data = received.data
        message(_url(socket), "received", data if isinstance(data, str) else bytes(data).decode("utf-8", "replace"))
    elif name == "BINARY":
        message(_url(socket), "received", received.data)
    elif name in ("CLOSE", "CLOSED", "ERROR") and socket not in _closed:
        _closed.add(socket)
        direction, code, reason = _why(received)
        evidence.frame(_url(socket), "close", direction, code=code, reason=reason)


def _why(received: Any) -> tuple[str, int, str | None]:
    if received.type.name == "CLOSE":
        return "received", int(received.data), received.extra
    if received.type.name == "ERROR":  # with a code, we closed: over a frame that breaks the rules
        code = getattr(received.data, "code", None)
        return ("received" if code is None else "sent"), int(code or 1006), str(received.data)
    return "received", 1006, LOST
