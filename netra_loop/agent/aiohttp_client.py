"""aiohttp's client: its requests, and its end of WebSockets.

A server's close frame that the test neither receives nor meets with a `close` of its own is not seen: aiohttp does not
look.
"""

from __future__ import annotations

import contextvars
import sys
import weakref
from typing import Any
from urllib.parse import urlsplit

from . import drops, evidence
from .exchanges import HEADER
from .frames import LOST, message
from .wire import Message, wall
from .wrapping import Kept, quietly, wrap

_PING = 6  # bytes of aiohttp's own
_PINGS = (0x89, 0x8A)  # how pings and pongs begin


class _Call:
    """One call of the test's: as many exchanges as requests left, redirects and retries among them."""

    def __init__(self) -> None:
        self.began = wall()
        self.last: Message | None = None


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("netra_loop_call", default=None)
_asked = Kept()  # by request, then by its answer while that is not there
_answers = Kept()  # by answer of an error
_traces = Kept()  # by request: the header that is ours


def install(module: Any) -> None:
    """Wraps the session, through which calls and upgrades go, each of their requests, and the client's WebSocket."""
    wrap(module.ClientSession, "_request", _calling)
    wrap(module.BaseConnector, "connect", _reaching)
    wrap(module.ClientRequest, "send", _sending_request)
    wrap(module.ClientResponse, "start", _starting)
    wrap(module.ClientResponse, "read", _reading)
    wrap(module.ClientSession, "_ws_connect", _connecting)
    handler = sys.modules["aiohttp.client_proto"].ResponseHandler
    for name in ("close", "abort"):
        if hasattr(handler, name):
            wrap(handler, name, _letting_go)
    wrap(handler, "data_received", _hearing)
    wrap(handler, "eof_received", _hearing_eof)
    wrap(handler, "connection_lost", _losing)
    kind = module.ClientWebSocketResponse
    wrap(kind, "receive", _receiving)
    wrap(kind, "send_str", _sending)
    wrap(kind, "send_bytes", _sending)
    wrap(kind, "close", _closing)
    if hasattr(kind, "_send_heartbeat"):
        wrap(kind, "_send_heartbeat", _beating)
    if hasattr(kind, "send_frame"):
        wrap(kind, "send_frame", _sending_frame)


# ------------------------------------------------------------------------------------------------------- requests


def _calling(original: Any) -> Any:
    async def _request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        call = _Call()
        token = _call.set(call)
        try:
            return await original(self, method, url, **kwargs)
        except BaseException as error:
            quietly(_failed, self, call, method, url, error)
            raise
        finally:
            _call.reset(token)

    return _request


def _failed(session: Any, call: _Call, method: str, url: Any, error: BaseException) -> None:
    entry = call.last
    if entry is None:  # nothing was asked at all
        entry = evidence.exchange(method, str(quietly(session._build_url, url) or url))  # noqa: SLF001
        entry["at"] = call.began
    if entry["status"] is None:  # else of what was made of the answer
        evidence.failed(entry, error)


def _reaching(original: Any) -> Any:
    async def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        quietly(_begin, req)
        try:
            return await original(self, req, *args, **kwargs)
        except BaseException as error:
            quietly(_unanswered, req, error)
            raise

    return connect


def _sending_request(original: Any) -> Any:
    async def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if _asked.get(self) is None:  # of a connector that does all itself
            quietly(_begin, self)
        try:
            answer = await original(self, *args, **kwargs)
        except BaseException as error:
            quietly(_unanswered, self, error)
            raise
        entry = _asked.pop(self)
        if entry is not None:
            quietly(_asked.put, answer, entry)
        return answer

    return send


def _starting(original: Any) -> Any:
    async def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            quietly(_unanswered, self, error)
            raise
        quietly(_answered, self)
        return result

    return start


def _begin(request: Any) -> None:
    if request.method == "CONNECT":
        return  # to a proxy, for the request that follows
    _give_trace(request)
    entry = evidence.exchange(request.method, str(request.url))
    _asked.put(request, entry)
    call = _call.get()
    if call is not None:
        call.last = entry


def _give_trace(request: Any) -> None:
    given = request.headers.get(HEADER)
    if given is not None and given != _traces.get(request):  # ours may be of an earlier try
        return
    value = evidence.traceparent()
    if value is not None:
        request.headers[HEADER] = value
        _traces.put(request, value)


def _unanswered(asked: Any, error: BaseException) -> None:
    entry = _asked.pop(asked)
    if entry is not None:
        evidence.failed(entry, error)


def _answered(answer: Any) -> None:
    entry = _asked.pop(answer)
    if entry is not None:
        evidence.answered(entry, answer.status)
        if answer.status >= 400:
            _answers.put(answer, entry)


def _reading(original: Any) -> Any:
    async def read(self: Any) -> Any:
        __tracebackhide__ = True
        content = await original(self)
        if _answers:
            quietly(_body_of, self, content)
        return content

    return read


def _body_of(answer: Any, content: bytes) -> None:
    entry = _answers.pop(answer)
    if entry is not None:
        evidence.body(entry, content)


# ------------------------------------------------------------------------------------------------------ WebSockets


class _End:
    """The end of a WebSocket's connection: told at once, unless what came before it still waits to be received."""

    def __init__(self, socket: Any) -> None:
        self._socket = weakref.ref(socket)
        self.ours: bool | None = None

    def socket(self) -> Any:
        """Whose end it is; None once nobody holds it."""
        return self._socket()

    def dropped(self) -> None:
        """The test let go of it."""
        self._tell(ours=True)

    def lost(self) -> None:
        """The server did, or what lies between."""
        self._tell(ours=False)

    def mark(self, *, ours: bool) -> None:
        """Who ends it is known; that it has ended is told later."""
        if self.ours is None:
            self.ours = ours

    def _tell(self, *, ours: bool) -> None:
        self.mark(ours=ours)
        socket = self._socket()
        if socket is None or _closed.get(socket) or _waiting(socket):
            return
        failure = socket.exception()
        if failure is not None:  # no answer to a ping: aiohttp itself let go
            _over(socket, "received", 1006, str(failure))
        else:
            _over(socket, *_unsaid(self))


_closed = Kept()  # sockets whose end was told
_ends = Kept()  # by the protocol of the connection, and by the socket


def _connecting(original: Any) -> Any:
    async def _ws_connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        socket = await original(self, *args, **kwargs)
        quietly(_opened, socket)
        return socket

    return _ws_connect


def _opened(socket: Any) -> None:
    evidence.frame(_url(socket), "open", "received")
    end = _End(socket)
    _ends.put(socket, end)
    protocol = socket._response.connection.protocol  # noqa: SLF001
    _ends.put(protocol, end)
    if protocol.transport is not None:
        drops.watch(drops.below(protocol.transport), end)


def _letting_go(original: Any) -> Any:
    def close(self: Any) -> Any:
        __tracebackhide__ = True
        end = _ends.get(self)
        if end is not None and self.transport is not None:
            quietly(_let_go, end, self.transport)
        return original(self)

    return close


def _let_go(end: _End, transport: Any) -> None:
    end.mark(ours=not drops.theirs(transport))


def _hearing_eof(original: Any) -> Any:
    def eof_received(self: Any) -> Any:
        __tracebackhide__ = True
        end = _ends.get(self)
        if end is not None:
            quietly(drops.eof, end, self.transport)
        return original(self)

    return eof_received


def _losing(original: Any) -> Any:
    def connection_lost(self: Any, error: Any) -> Any:
        __tracebackhide__ = True
        end = _ends.get(self)
        if end is not None:
            quietly(drops.gone, end, self.transport, error)
        return original(self, error)

    return connection_lost


def _receiving(original: Any) -> Any:
    async def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        received = await original(self, *args, **kwargs)
        quietly(_received, self, received)
        return received

    return receive


def _sending(original: Any) -> Any:
    async def send(self: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        quietly(message, _url(self), "sent", data)
        return await original(self, data, *args, **kwargs)

    return send


def _sending_frame(original: Any) -> Any:
    async def send_frame(self: Any, data: Any, opcode: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if getattr(opcode, "name", "") in ("TEXT", "BINARY"):
            text = opcode.name == "TEXT"
            quietly(message, _url(self), "sent", bytes(data).decode("utf-8", "replace") if text else data)
        return await original(self, data, opcode, *args, **kwargs)

    return send_frame


def _beating(original: Any) -> Any:
    def _send_heartbeat(self: Any) -> Any:
        __tracebackhide__ = True
        waiting = self._pong_response_cb
        result = original(self)
        if self._pong_response_cb not in (None, waiting):
            quietly(_pinged, self)
        return result

    return _send_heartbeat


def _pinged(socket: Any) -> None:
    _kept_alive(socket, _PING, 0)


def _hearing(original: Any) -> Any:
    def data_received(self: Any, data: Any) -> Any:
        __tracebackhide__ = True
        end = _ends.get(self) if _ends else None
        if end is not None and 2 <= len(data) == 2 + data[1] and data[0] in _PINGS:
            quietly(_pings, end, len(data))
        return original(self, data)

    return data_received


def _pings(end: _End, size: int) -> None:
    # its parser tells nobody of them; one that comes together with other data is not looked for
    socket = end.socket()
    if socket is not None:
        _kept_alive(socket, 0, size)


def _kept_alive(socket: Any, sent: int, received: int) -> None:
    parts = urlsplit(_url(socket))
    more = _around(socket._response.connection.transport)  # noqa: SLF001
    port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    evidence.kept_alive(parts.hostname or "", port, sent and sent + more, received and received + more)


def _around(transport: Any) -> int:
    """Bytes that TLS puts around what is sent at once; 0 without TLS, and for ciphers of long ago."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return 0
    return 22 if tls.version() == "TLSv1.3" else 29 if "GCM" in tls.cipher()[0] else 0


def _closing(original: Any) -> Any:
    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if not self.closed and not _closed.get(self):
            quietly(_we_close, self, kwargs.get("code", args[0] if args else 1000))
        return await original(self, *args, **kwargs)

    return close


def _we_close(socket: Any, code: Any) -> None:
    for waiting in _waiting(socket):
        # arrived before, and will be thrown away: the server may have said why, and may have closed first
        _received(socket, waiting[0] if isinstance(waiting, tuple) and not hasattr(waiting, "type") else waiting)
    if not _closed.get(socket) and getattr(socket, "_close_code", None) is None:  # else the server's word is on its way
        _over(socket, "sent", int(code), None)


def _waiting(socket: Any) -> list[Any]:
    return list(getattr(getattr(socket, "_reader", None), "_buffer", ()))


def _over(socket: Any, direction: str, code: int | None, reason: str | None) -> None:
    _closed.put(socket, True)
    evidence.frame(_url(socket), "close", direction, code=code, reason=reason)


def _url(socket: Any) -> str:
    return str(getattr(getattr(socket, "_response", None), "url", ""))


def _received(socket: Any, received: Any) -> None:
    name = received.type.name
    if name == "TEXT":
        data = received.data
        message(_url(socket), "received", data if isinstance(data, str) else bytes(data).decode("utf-8", "replace"))
    elif name == "BINARY":
        message(_url(socket), "received", received.data)
    elif name in ("CLOSE", "CLOSED", "ERROR") and not _closed.get(socket):
        _over(socket, *_why(socket, received))


def _why(socket: Any, received: Any) -> tuple[str, int | None, str | None]:
    if received.type.name == "CLOSE":
        return "received", int(received.data), received.extra
    if received.type.name == "ERROR":  # with a code, we closed: over a frame that breaks the rules
        code = getattr(received.data, "code", None)
        return ("received" if code is None else "sent"), int(code or 1006), str(received.data)
    return _unsaid(_ends.get(socket))


def _unsaid(end: _End | None) -> tuple[str, int | None, str | None]:
    return ("sent", None, None) if end is not None and end.ours else ("received", 1006, LOST)
