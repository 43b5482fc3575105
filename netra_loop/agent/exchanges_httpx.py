"""Writes down what httpx sends over the network, and says which transport stood in for the network where one did.

The `traceparent` is added below, in httpcore: no request that the test can look at, and none that is
answered within the process, carries a header that the test did not give it.
"""

from __future__ import annotations

from typing import Any

from . import evidence
from .exchanges import HEADER
from .wire import Message
from .wrapping import Kept, quietly, wrap

_IN_PROCESS = {"MockTransport", "ASGITransport", "WSGITransport", "_TestClientTransport"}
_NAME = HEADER.encode()

_answers = Kept()  # answer of an error to its exchange


def install_httpx(module: Any) -> None:
    """Wraps the one method of each httpx client that every single request goes through, redirects included."""
    wrap(module.Client, "_send_single_request", _sending)
    wrap(module.AsyncClient, "_send_single_request", _sending_async)
    wrap(module.Response, "read", _reading)
    wrap(module.Response, "aread", _reading_async)


def install_httpcore(module: Any, name: str) -> None:
    """Wraps the connection class `name` of one of httpcore's modules, through which each request leaves."""
    kind = getattr(module, name)
    asynchronous = hasattr(kind, "handle_async_request")

    def make(original: Any) -> Any:
        def handle_request(self: Any, request: Any) -> Any:
            __tracebackhide__ = True
            quietly(_give_trace, request)
            return original(self, request)

        async def handle_async_request(self: Any, request: Any) -> Any:
            __tracebackhide__ = True
            quietly(_give_trace, request)
            return await original(self, request)

        return handle_async_request if asynchronous else handle_request

    wrap(kind, "handle_async_request" if asynchronous else "handle_request", make)


def _give_trace(request: Any) -> None:
    if request.method == b"CONNECT" or any(name.lower() == _NAME for name, _ in request.headers):
        return
    value = evidence.traceparent()
    if value is not None:
        request.headers = [*request.headers, (_NAME, value.encode())]


def _sending(original: Any) -> Any:
    def _send_single_request(self: Any, request: Any) -> Any:
        __tracebackhide__ = True
        before, entry = quietly(_begun, request) or (0, None)
        try:
            answer = original(self, request)
        except BaseException as error:
            if entry is not None:
                quietly(_failed, self, request, entry, error)
            raise
        if entry is not None:
            quietly(_answered, self, entry, answer, before)
        return answer

    return _send_single_request


def _sending_async(original: Any) -> Any:
    async def _send_single_request(self: Any, request: Any) -> Any:
        __tracebackhide__ = True
        before, entry = quietly(_begun, request) or (0, None)
        try:
            answer = await original(self, request)
        except BaseException as error:
            if entry is not None:
                quietly(_failed, self, request, entry, error)
            raise
        if entry is not None:
            quietly(_answered, self, entry, answer, before)
        return answer

    return _send_single_request


def _begun(request: Any) -> tuple[int, Message]:
    return evidence.received(), evidence.exchange(request.method, str(request.url))


def _reading(original: Any) -> Any:
    def read(self: Any) -> Any:
        __tracebackhide__ = True
        content = original(self)
        if _answers:
            quietly(_body_of, self, content)
        return content

    return read


def _reading_async(original: Any) -> Any:
    async def aread(self: Any) -> Any:
        __tracebackhide__ = True
        content = await original(self)
        if _answers:
            quietly(_body_of, self, content)
        return content

    return aread


def _failed(client: Any, request: Any, entry: Message, error: BaseException) -> None:
    evidence.failed(entry, error)
    kind = type(client._transport_for_url(request.url))  # noqa: SLF001
    if kind.__name__ in _IN_PROCESS:
        _stood_in(entry, kind)


def _answered(client: Any, entry: Message, answer: Any, before: int) -> None:
    evidence.answered(entry, answer.status_code)
    if "network_stream" not in answer.extensions:  # httpcore puts it there
        kind = type(client._transport_for_url(answer.request.url))  # noqa: SLF001
        own = kind.__name__ in _IN_PROCESS or kind.__module__.startswith("httpx.")
        if own or evidence.received() == before:  # else a transport over another library's connections
            _stood_in(entry, kind)
            return
    if answer.status_code >= 400:
        _answers.put(answer, entry)


def _stood_in(entry: Message, kind: type) -> None:
    evidence.unreal(entry)
    module = kind.__module__.split(".", 1)[0] if kind.__module__.startswith("httpx.") else kind.__module__
    evidence.mock_seen(f"{module}.{kind.__name__} (answered without the network)")


def _body_of(answer: Any, content: bytes) -> None:
    entry = _answers.pop(answer)
    if entry is not None:
        evidence.body(entry, content)
