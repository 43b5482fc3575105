"""One contract for every HTTP client: to whom, how much, which request, which status, under which trace."""

from __future__ import annotations

from typing import Any

import pytest

CLIENTS = """
import asyncio, http.client, ssl, threading, urllib.request
from urllib.parse import urlsplit
import aiohttp, httpx, pytest, requests, urllib3, uvloop

TLS = ssl.create_default_context(cafile=CA)

class Httpx:
    def __init__(self): self.client = httpx.Client(verify=TLS, follow_redirects=True)
    def get(self, url): return self.client.get(url).status_code
    def close(self): self.client.close()

class Requests:
    def __init__(self): self.session = requests.Session()
    def get(self, url): return self.session.get(url, verify=CA).status_code
    def close(self): self.session.close()

class Urllib3:
    def __init__(self): self.pool = urllib3.PoolManager(ssl_context=TLS)
    def get(self, url): return self.pool.request("GET", url).status
    def close(self): self.pool.clear()

class HttpClient:
    connection = None
    def get(self, url):
        parts = urlsplit(url)
        if self.connection is None:
            tls = {"context": TLS} if parts.scheme == "https" else {}
            kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
            self.connection = kind(parts.hostname, parts.port, **tls)
        self.connection.request("GET", parts.path)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status
    def close(self): self.connection.close()

class Urllib:
    def get(self, url):
        with urllib.request.urlopen(url, context=TLS if url.startswith("https") else None) as answer:
            answer.read()
            return answer.status
    def close(self): pass

class OnLoop:
    new_loop = staticmethod(asyncio.new_event_loop)
    def __init__(self):
        self.loop = self.new_loop()
        self.loop.run_until_complete(self.open())
    def get(self, url): return self.loop.run_until_complete(self.aget(url))
    def close(self):
        self.loop.run_until_complete(self.aclose())
        self.loop.close()

class AsyncHttpx(OnLoop):
    async def open(self): self.client = httpx.AsyncClient(verify=TLS, follow_redirects=True)
    async def aget(self, url): return (await self.client.get(url)).status_code
    async def aclose(self): await self.client.aclose()

class Aiohttp(OnLoop):
    async def open(self): self.session = aiohttp.ClientSession()
    async def aget(self, url):
        async with self.session.get(url, ssl=TLS) as answer:
            await answer.read()
            return answer.status
    async def aclose(self): await self.session.close()

class UvHttpx(AsyncHttpx): new_loop = staticmethod(uvloop.new_event_loop)
class UvAiohttp(Aiohttp): new_loop = staticmethod(uvloop.new_event_loop)

KINDS = {kind.__name__: kind for kind in (
    Httpx, Requests, Urllib3, HttpClient, Urllib, AsyncHttpx, Aiohttp, UvHttpx, UvAiohttp)}

def talk(name, url):
    client = KINDS[name]()
    try:
        assert client.get(url) == 200
    finally:
        client.close()

@pytest.fixture(scope="session")
def kept():
    clients = {}
    yield clients
    for client in clients.values(): client.close()

@pytest.mark.parametrize("way", ["direct", "thread", "warm", "kept"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", KINDS)
def test_get(name, scheme, way, kept):
    url = f"{HTTP if scheme == 'http' else HTTPS}/{name}/{scheme}/{way}"
    if way == "direct":
        talk(name, url)
    elif way == "thread":
        thread = threading.Thread(target=talk, args=(name, url))
        thread.start()
        thread.join()
    else:
        client = kept.get((name, scheme)) or KINDS[name]()
        kept[name, scheme] = client
        assert client.get(url) == 200

@pytest.mark.parametrize("name", KINDS)
def test_error(name):
    client = KINDS[name]()
    for path in ("broken", "pieces"):
        try:
            client.get(f"{HTTP}/{path}/{name}")
        except urllib.error.HTTPError as error:
            error.read()
            error.close()
    client.close()

@pytest.mark.parametrize("name", KINDS)
def test_redirect(name):
    if name != "HttpClient":
        client = KINDS[name]()
        client.get(f"{HTTP}/redirect/{name}")
        client.close()

@pytest.mark.parametrize("name", KINDS)
def test_nobody(name):
    client = KINDS[name]()
    with pytest.raises(Exception):
        client.get("http://localhost:9/nobody")
    client.close()

@pytest.mark.parametrize("name", ["httpx", "requests", "urllib3", "aiohttp"])
def test_own(name):
    headers = {"Traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    url = f"{HTTP}/own/{name}"
    if name == "aiohttp":
        async def go():
            async with aiohttp.ClientSession() as session:
                async with session.get(url, headers=headers) as answer: await answer.read()
        asyncio.run(go())
    elif name == "urllib3":
        urllib3.request("GET", url, headers=headers)
    else:
        {"httpx": httpx, "requests": requests}[name].get(url, headers=headers)

@pytest.mark.parametrize("name", [name for name in KINDS if name != "HttpClient"])
def test_query(name):
    client = KINDS[name]()
    client.get(f"{HTTP}/query?next=http://elsewhere/")
    client.close()

class Odd(Exception):
    def __str__(self): raise RuntimeError("no text")

def test_an_error_without_text():
    class Answer(http.client.HTTPResponse):
        def begin(self): raise Odd
    connection = http.client.HTTPConnection(urlsplit(HTTP).netloc)
    connection.response_class = Answer
    connection.request("GET", "/odd")
    with pytest.raises(Odd): connection.getresponse()
    connection.close()

class Transport(httpx.BaseTransport):
    def handle_request(self, request): raise Odd

def test_an_error_without_text_of_httpx():
    with httpx.Client(transport=Transport()) as client:
        with pytest.raises(Odd): client.get("http://nobody/odd")

def test_an_error_without_text_of_aiohttp():
    class Connector(aiohttp.TCPConnector):
        async def _create_connection(self, *args, **kwargs): raise Odd
    async def go():
        async with aiohttp.ClientSession(connector=Connector()) as session:
            with pytest.raises(Odd): await session.get("http://nobody/odd")
    asyncio.run(go())

class Equal(http.client.HTTPConnection):
    def __eq__(self, other): return True  # and so it has no hash

def test_connections_that_are_equal():
    both = [Equal(urlsplit(HTTP).netloc) for _ in range(2)]
    for number, connection in enumerate(both): connection.request("GET", f"/{'broken' if number else 'whole'}/equal")
    for connection in both:
        connection.getresponse().read()
        connection.close()

def test_a_call_that_fails_ends_at_its_own_line():
    with pytest.raises(OSError) as caught: http.client.HTTPConnection("localhost", 9).request("GET", "/")
    ours = [one for one in caught.traceback if "netra_loop" in str(one.path)]
    assert [one.ishidden(caught) for one in ours] == [True] * len(ours) != []

def test_aiohttp_middleware_that_tries_again():
    async def again(request, handler):
        await (await handler(request)).read()
        return await handler(request)
    async def go():
        async with aiohttp.ClientSession(middlewares=[again]) as session:
            await (await session.get(f"{HTTP}/again")).read()
    asyncio.run(go())

def test_the_requests_of_the_test_are_left_as_they_were():
    assert "traceparent" not in httpx.get(f"{HTTP}/untouched").request.headers
    assert "traceparent" not in requests.get(f"{HTTP}/untouched").request.headers
"""

NAMES = ("Httpx", "Requests", "Urllib3", "HttpClient", "Urllib", "AsyncHttpx", "Aiohttp", "UvHttpx", "UvAiohttp")


@pytest.fixture(scope="module")
def observed(watch: Any) -> Any:
    return watch(CLIENTS)


def port_of(contacts: list[Any], port: int) -> tuple[str, int, int, float, float]:
    (row,) = [row for row in contacts if row[1] == port and row[3]]
    return row[0], row[2], row[3], row[4], row[5]


@pytest.mark.parametrize("way", ["direct", "thread", "kept"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", NAMES)
def test_a_request_is_seen_whole(observed, backend, name, scheme, way):
    seen = observed.seen[f"test_get[{name}-{scheme}-{way}]"]
    host, sent, received, first, last = port_of(seen["contacts"], backend.ports[scheme])
    assert host == "localhost"
    assert sent > 50
    assert received > 100
    assert first <= last
    (exchange,) = seen["exchanges"]
    path = f"/{name}/{scheme}/{way}"
    assert (exchange["method"], exchange["url"]) == ("GET", backend.addresses()[scheme.upper()] + path)
    assert exchange["status"] == 200
    assert 0 < exchange["duration"] < 30
    (trace,) = backend.traces[path]
    assert trace.split("-")[1] == seen["trace"]
    assert seen["mocked"] == []
    assert seen["blind"] == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "Urllib"])
def test_a_kept_connection_was_one(observed, backend, name, scheme):
    assert backend.peers[f"/{name}/{scheme}/kept"] == backend.peers[f"/{name}/{scheme}/warm"]


@pytest.mark.parametrize("name", NAMES)
def test_short_bodies_of_errors_are_kept(observed, name):
    exchanges = observed.seen[f"test_error[{name}]"]["exchanges"]
    assert [(one["status"], one["body"]) for one in exchanges] == [
        (503, '{"detail": "out of order"}'),
        (500, "half done"),
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "HttpClient"])
def test_each_request_of_a_redirect_is_an_exchange(observed, name):
    exchanges = observed.seen[f"test_redirect[{name}]"]["exchanges"]
    assert [(one["url"].split("/")[3], one["status"]) for one in exchanges] == [("redirect", 302), ("landed", 200)]
    first, second = exchanges
    assert first["at"] + first["duration"] <= second["at"] + 0.0001
    assert second["duration"] > 0


@pytest.mark.parametrize("name", ["Httpx", "AsyncHttpx", "Aiohttp", "UvAiohttp"])
def test_each_request_of_a_redirect_has_its_own_span(observed, backend, name):
    trace = observed.seen[f"test_redirect[{name}]"]["trace"]
    asked = [*backend.traces[f"/redirect/{name}"], *backend.traces[f"/landed/to/{name}"]]
    assert [one.split("-")[1] for one in asked] == [trace, trace]
    assert len(set(asked)) == 2


@pytest.mark.parametrize("name", [name for name in NAMES if name != "HttpClient"])
def test_an_address_in_the_query_is_not_the_address(observed, backend, name):
    (exchange,) = observed.seen[f"test_query[{name}]"]["exchanges"]
    assert exchange["url"] == backend.addresses()["HTTP"] + "/query?next=http://elsewhere/"


@pytest.mark.parametrize("client", ["", "_of_httpx", "_of_aiohttp"])
def test_an_error_whose_text_cannot_be_had_reaches_the_test_as_it_is(observed, client):
    (exchange,) = observed.seen[f"test_an_error_without_text{client}"]["exchanges"]
    assert exchange["error"] == "Odd: (its text cannot be had: RuntimeError)"


def test_connections_that_are_equal_are_told_apart(observed):
    seen = observed.seen["test_connections_that_are_equal"]
    assert [(one["url"].split("/")[3], one["status"]) for one in seen["exchanges"]] == [("whole", 200), ("broken", 503)]
    assert seen["blind"] == []


def test_a_second_try_of_a_request_is_an_exchange_of_its_own(observed, backend):
    seen = observed.seen["test_aiohttp_middleware_that_tries_again"]
    assert [one["status"] for one in seen["exchanges"]] == [200, 200]
    assert len(set(backend.traces["/again"])) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_request_that_nobody_answers_says_so(observed, name):
    seen = observed.seen[f"test_nobody[{name}]"]
    assert {(row[0], row[1], row[2], row[3]) for row in seen["contacts"]} == {("localhost", 9, 0, 0)}
    errors = [one["error"] for one in seen["exchanges"]]
    assert [one["status"] for one in seen["exchanges"]] == [None] * len(errors)
    assert all(errors)
    assert errors


@pytest.mark.parametrize("name", ["httpx", "requests", "urllib3", "aiohttp"])
def test_a_trace_of_the_tests_own_is_left_alone(observed, backend, name):
    assert observed.seen["test_own[" + name + "]"]["exchanges"][0]["status"] == 200
    assert backend.traces[f"/own/{name}"] == ["00-" + "a" * 32 + "-" + "b" * 16 + "-01"]


def test_what_the_test_can_look_at_carries_no_header_of_ours(observed, backend):
    assert len(backend.traces["/untouched"]) == 2
