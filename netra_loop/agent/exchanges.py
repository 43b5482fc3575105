"""Writes down HTTP requests at the clients, and gives each the test's `traceparent` unless the test set one.

`http.client` carries urllib, urllib3 and requests; httpx and aiohttp are observed at their own classes.
"""

from __future__ import annotations

import weakref
from typing import Any

from . import evidence
from .wire import Message

HEADER = "traceparent"

_open: weakref.WeakKeyDictionary[Any, Message] = weakref.WeakKeyDictionary()  # connection to the exchange on it
_answers: weakref.WeakKeyDictionary[Any, Message] = weakref.WeakKeyDictionary()  # answer to its exchange
_own_header: weakref.WeakSet[Any] = weakref.WeakSet()  # connections on which the test sent a traceparent itself


def install_http_client(module: Any) -> None:
    """Wraps `http.client.HTTPConnection` and the reading of its answers."""
    kind = module.HTTPConnection
    putrequest, putheader, endheaders, getresponse = kind.putrequest, kind.putheader, kind.endheaders, kind.getresponse
    read = module.HTTPResponse.read

    def observed_putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        _quietly(_http_started, self, method, url)
        return putrequest(self, method, url, *args, **kwargs)

    def observed_putheader(self: Any, header: Any, *values: Any) -> Any:
        name = header.decode("latin-1") if isinstance(header, bytes) else header
        if str(name).lower() == HEADER:
            _own_header.add(self)
        return putheader(self, header, *values)

    def observed_endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
        value = None if self in _own_header else evidence.traceparent()
        if value is not None and self in _open:
            putheader(self, HEADER, value)
        return endheaders(self, *args, **kwargs)

    def observed_getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        entry = _open.pop(self, None)
        try:
            answer = getresponse(self, *args, **kwargs)
        except BaseException as error:
            if entry is not None:
                evidence.failed(entry, error)
            raise
        if entry is not None:
            evidence.answered(entry, answer.status)
            _quietly(_answers.__setitem__, getattr(answer, "_original_response", None) or answer, entry)
        return answer

    def observed_read(self: Any, *args: Any, **kwargs: Any) -> Any:
        content = read(self, *args, **kwargs)
        _quietly(_body_of, self, content)
        return content

    kind.putrequest, kind.putheader = observed_putrequest, observed_putheader
    kind.endheaders, kind.getresponse = observed_endheaders, observed_getresponse
    module.HTTPResponse.read = observed_read


def install_httpx(module: Any) -> None:
    """Wraps the one method of each httpx client that every single request goes through, redirects included."""
    sync, asynchronous = module.Client, module.AsyncClient
    send, asend = sync._send_single_request, asynchronous._send_single_request  # noqa: SLF001
    read, aread = module.Response.read, module.Response.aread

    def observed_send(self: Any, request: Any) -> Any:
        entry = _httpx_started(request)
        try:
            answer = send(self, request)
        except BaseException as error:
            evidence.failed(entry, error)
            raise
        return _httpx_answered(entry, answer)

    async def observed_asend(self: Any, request: Any) -> Any:
        entry = _httpx_started(request)
        try:
            answer = await asend(self, request)
        except BaseException as error:
            evidence.failed(entry, error)
            raise
        return _httpx_answered(entry, answer)

    def observed_read(self: Any) -> Any:
        content = read(self)
        _quietly(_body_of, self, content)
        return content

    async def observed_aread(self: Any) -> Any:
        content = await aread(self)
        _quietly(_body_of, self, content)
        return content

    sync._send_single_request, asynchronous._send_single_request = observed_send, observed_asend  # noqa: SLF001
    module.Response.read, module.Response.aread = observed_read, observed_aread


def install_aiohttp(module: Any) -> None:
    """Wraps aiohttp's session, whose WebSocket upgrades are requests too."""
    session = module.ClientSession
    request = session._request  # noqa: SLF001

    async def observed_request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        entry = evidence.exchange(method, str(url))
        _quietly(_aiohttp_header, self, kwargs)
        try:
            answer = await request(self, method, url, **kwargs)
        except BaseException as error:
            evidence.failed(entry, error)
            raise
        evidence.answered(entry, answer.status)
        return answer

    session._request = observed_request  # noqa: SLF001


def _quietly(function: Any, *args: Any) -> None:
    try:
        function(*args)
    except Exception as error:
        evidence.blind(error)


def _http_started(connection: Any, method: str, url: str) -> None:
    _own_header.discard(connection)
    if "://" not in url:
        scheme = "https" if connection.default_port == 443 else "http"
        port = "" if connection.port == connection.default_port else f":{connection.port}"
        url = f"{scheme}://{connection.host}{port}{url}"
    _open[connection] = evidence.exchange(method, url)


def _httpx_started(request: Any) -> Message:
    value = None if HEADER in request.headers else evidence.traceparent()
    if value is not None:
        request.headers[HEADER] = value
    return evidence.exchange(request.method, str(request.url))


def _httpx_answered(entry: Message, answer: Any) -> Any:
    evidence.answered(entry, answer.status_code)
    _quietly(_answers.__setitem__, answer, entry)
    return answer


def _body_of(answer: Any, content: Any) -> None:
    entry: Message | None = _answers.get(answer)
    if entry is not None and isinstance(content, bytes):
        evidence.body(entry, content)


def _aiohttp_header(session: Any, kwargs: Any) -> None:
    headers = dict(kwargs.get("headers") or {})
    known = {str(name).lower() for name in headers} | {str(name).lower() for name in session.headers}
    value = None if HEADER in known else evidence.traceparent()
    if value is not None and not hasattr(kwargs.get("headers"), "getall"):
        kwargs["headers"] = dict(headers, **{HEADER: value})
    elif value is not None:
        kwargs["headers"] = kwargs["headers"].copy()
        kwargs["headers"][HEADER] = value
