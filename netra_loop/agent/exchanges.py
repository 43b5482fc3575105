"""Writes down HTTP requests at the clients, and gives each the test's `traceparent` unless the test set one.

`http.client` carries urllib, urllib3 and requests; httpx (`exchanges_httpx`) and aiohttp (`aiohttp_client`) are
observed at their own classes. What a test put in the network's place (an adapter, a transport) makes no exchange.
"""

from __future__ import annotations

import weakref
from typing import Any

from . import evidence
from .wire import Message
from .wrapping import quietly, wrap

HEADER = "traceparent"

_open: weakref.WeakKeyDictionary[Any, Message] = weakref.WeakKeyDictionary()  # connection to the exchange on it
_answers: weakref.WeakKeyDictionary[Any, Message] = weakref.WeakKeyDictionary()  # answer of an error to its exchange
_own_header: weakref.WeakSet[Any] = weakref.WeakSet()  # connections on which the test sent a traceparent itself


def install_http_client(module: Any) -> None:
    """Wraps `http.client.HTTPConnection` and the reading of its answers."""
    kind = module.HTTPConnection
    putheader = kind.putheader

    def starting(original: Any) -> Any:
        def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            quietly(_started, self, method, url)
            return original(self, method, url, *args, **kwargs)

        return putrequest

    def naming(original: Any) -> Any:
        def observed(self: Any, header: Any, *values: Any) -> Any:
            quietly(_named, self, header)
            return original(self, header, *values)

        return observed

    def heading(original: Any) -> Any:
        def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
            value = None if self in _own_header else evidence.traceparent()
            if value is not None and self in _open:
                putheader(self, HEADER, value)
            return original(self, *args, **kwargs)

        return endheaders

    wrap(kind, "putrequest", starting)
    wrap(kind, "putheader", naming)
    wrap(kind, "endheaders", heading)
    wrap(kind, "getresponse", _answering)
    wrap(module.HTTPResponse, "read", _reading)


def _answering(original: Any) -> Any:
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        entry = _open.pop(self, None)
        try:
            answer = original(self, *args, **kwargs)
        except BaseException as error:
            if entry is not None:
                evidence.failed(entry, error)
            raise
        if entry is not None:
            quietly(_answered, entry, answer)
        return answer

    return getresponse


def _reading(original: Any) -> Any:
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        content = original(self, *args, **kwargs)
        if _answers:
            quietly(_body_of, self, content)
        return content

    return read


def install_urllib3(module: Any) -> None:
    """Bodies sent in chunks, which urllib3 reads past `http.client`."""

    def make(original: Any) -> Any:
        def read_chunked(self: Any, *args: Any, **kwargs: Any) -> Any:
            for piece in original(self, *args, **kwargs):
                if _answers:
                    quietly(_body_of, getattr(self, "_original_response", None), piece)
                yield piece

        return read_chunked

    wrap(module.HTTPResponse, "read_chunked", make)


def install_requests(module: Any) -> None:
    """Tells of answers that no connection gave: of an adapter that a test mounted, or of a library that is one."""
    from http.client import HTTPResponse  # requests has imported it

    def make(original: Any) -> Any:
        def send(self: Any, request: Any, **kwargs: Any) -> Any:
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


def _started(connection: Any, method: str, url: str) -> None:
    _own_header.discard(connection)
    if "://" not in url:
        host, port = getattr(connection, "_tunnel_host", None), getattr(connection, "_tunnel_port", None)
        if not host:
            host, port = connection.host, connection.port
        scheme = "https" if connection.default_port == 443 else "http"
        address = f"[{host}]" if ":" in host else host
        url = f"{scheme}://{address}{'' if port in (None, connection.default_port) else f':{port}'}{url}"
    _open[connection] = evidence.exchange(method, url)


def _named(connection: Any, header: Any) -> None:
    name = header.decode("latin-1") if isinstance(header, bytes) else str(header)
    if len(name) == len(HEADER) and name.lower() == HEADER:
        _own_header.add(connection)


def _answered(entry: Message, answer: Any) -> None:
    evidence.answered(entry, answer.status)
    if answer.status >= 400:
        _answers[answer] = entry


def _body_of(answer: Any, content: Any) -> None:
    entry: Message | None = None if answer is None else _answers.get(answer)
    if entry is not None and isinstance(content, bytes):
        evidence.body(entry, content)
