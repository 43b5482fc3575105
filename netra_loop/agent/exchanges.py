"""Writes down HTTP requests at the clients, and gives each the test's `traceparent` unless the test set one.

`http.client` carries urllib, urllib3 and requests; httpx (`exchanges_httpx`) and aiohttp (`aiohttp_client`) are
observed at their own classes. What a test put in the network's place (an adapter, a transport) makes no exchange.
"""

from __future__ import annotations

from typing import Any

from . import evidence
from .wire import Message
from .wrapping import quietly, wrap

HEADER = "traceparent"

# kept with the connection or the answer itself: nobody's `==`, `hash` or `__setattr__` is asked
_MARK = "_netra_loop_exchange"
_LINE = HEADER.encode() + b":"


def install_http_client(module: Any) -> None:
    """Wraps `http.client.HTTPConnection` and the reading of its answers."""
    kind = module.HTTPConnection
    putheader = kind.putheader

    def starting(original: Any) -> Any:
        def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            quietly(_started, self, method, url)
            return original(self, method, url, *args, **kwargs)

        return putrequest

    def heading(original: Any) -> Any:
        def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            quietly(_headed, self, putheader)
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:
                quietly(_unsent, self, error)
                raise

        return endheaders

    wrap(kind, "putrequest", starting)
    wrap(kind, "endheaders", heading)
    wrap(kind, "getresponse", _answering)
    wrap(module.HTTPResponse, "read", _reading)


def _answering(original: Any) -> Any:
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        entry = self.__dict__.pop(_MARK, None)
        try:
            answer = original(self, *args, **kwargs)
        except BaseException as error:
            if entry is not None:
                quietly(evidence.failed, entry, error)
            raise
        if entry is not None:
            quietly(_answered, entry, answer)
        return answer

    return getresponse


def _reading(original: Any) -> Any:
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        content = original(self, *args, **kwargs)
        if _MARK in self.__dict__:
            quietly(_body_of, self, content)
        return content

    return read


def install_urllib3(module: Any) -> None:
    """Bodies sent in chunks, which urllib3 reads past `http.client`."""

    def make(original: Any) -> Any:
        def read_chunked(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            for piece in original(self, *args, **kwargs):
                quietly(_body_of, getattr(self, "_original_response", None), piece)
                yield piece

        return read_chunked

    wrap(module.HTTPResponse, "read_chunked", make)


def install_requests(module: Any) -> None:
    """Tells of answers that no connection gave: of an adapter that a test mounted, or of a library that is one."""
    from http.client import HTTPResponse  # requests has imported it

    def make(original: Any) -> Any:
        def send(self: Any, request: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            answer = original(self, request, **kwargs)
            quietly(_requests_answered, self, answer, HTTPResponse)
            return answer

        return send

    wrap(module.Session, "send", make)


def _requests_answered(session: Any, answer: Any, real: type) -> None:
    origin = getattr(answer.raw, "_original_response", None)
    if isinstance(origin, real) or answer.history:
        return
    adapter = type(session.adapters.get(next(iter(session.adapters), ""), None))
    for prefix, one in session.adapters.items():  # the longest prefix comes first
        if str(answer.url).lower().startswith(prefix.lower()):
            adapter = type(one)
            break
    origin_of = type(answer.raw) if adapter.__module__.startswith("requests.") else adapter
    evidence.mock_seen(f"requests: answered by {origin_of.__module__}.{origin_of.__name__}")


def _started(connection: Any, method: str, target: str) -> None:
    connection.__dict__.pop(_MARK, None)
    # a whole URL is what a proxy is asked for; anything else, whatever its query holds, is asked of the connection
    url = target if target[:1] != "/" and "://" in target.partition("?")[0] else _url(connection, method, target)
    connection.__dict__[_MARK] = evidence.exchange(method, url)


def _url(connection: Any, method: str, target: str) -> str:
    host, port = getattr(connection, "_tunnel_host", None), getattr(connection, "_tunnel_port", None)
    if not host:
        host, port = connection.host, connection.port
    scheme = "https" if connection.default_port == 443 else "http"
    address = f"[{host}]" if ":" in host else host
    place = "" if port in (None, connection.default_port) else f":{port}"
    path = "" if method == "CONNECT" else target if target[:1] == "/" else "/" + target
    return f"{scheme}://{address}{place}{path}"


def _headed(connection: Any, putheader: Any) -> None:
    if _MARK not in connection.__dict__:
        return
    written = getattr(connection, "_buffer", ())  # the lines of the request so far
    if any(line[: len(_LINE)].lower() == _LINE for line in written):
        return  # the test's own
    value = evidence.traceparent()
    if value is not None:
        putheader(connection, HEADER, value)


def _unsent(connection: Any, error: BaseException) -> None:
    entry = connection.__dict__.get(_MARK)
    if entry is not None:
        evidence.failed(entry, error)


def _answered(entry: Message, answer: Any) -> None:
    entry["error"] = None  # a server may refuse to read what is sent, and answer all the same
    evidence.answered(entry, answer.status)
    if answer.status >= 400:
        answer.__dict__[_MARK] = entry


def _body_of(answer: Any, content: Any) -> None:
    entry: Message | None = getattr(answer, "__dict__", {}).get(_MARK)
    if entry is not None and isinstance(content, bytes):
        evidence.body(entry, content)
