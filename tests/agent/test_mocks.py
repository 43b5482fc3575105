"""What counts as a network client."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import types

import httpx
import pytest
import urllib3

from netra_loop.agent.mocks import network_client

mine = types.SimpleNamespace(client=httpx, send=httpx.post, number=3)


@pytest.mark.parametrize(
    ("target", "attribute", "name"),
    [
        (httpx, "get", "httpx.get"),
        (httpx.Client, "send", "Client.send"),
        (http.client.HTTPConnection, "request", "HTTPConnection.request"),
        (socket, "socket", "socket.socket"),
        (socket, "gethostname", None),
        (mine, "client", "SimpleNamespace.client"),
        (mine, "send", "SimpleNamespace.send"),
        (mine, "number", None),
        (json, "dumps", None),
        (os, "getcwd", None),
    ],
)
def test_network_client(target, attribute, name):
    assert network_client(target, attribute) == name


class Wrapped(httpx.Client):
    """A project's own client."""

    def own(self):
        return "own"


def wrapper():
    return httpx.get("http://localhost/")


@pytest.mark.parametrize(
    ("target", "attribute", "name"),
    [
        (Wrapped, "get", "Wrapped.get"),
        (Wrapped, "own", None),
        (Wrapped(), "post", "Wrapped.post"),
        (socket.socket, "connect", "socket.connect"),
        (types.SimpleNamespace(socket=socket), "socket", "socket.socket"),
        (asyncio, "open_connection", "asyncio.open_connection"),
        (asyncio, "sleep", None),
        (types.SimpleNamespace(get=wrapper), "get", None),
        (types.SimpleNamespace(error=httpx.ConnectError), "error", None),
        (urllib3, "disable_warnings", None),
        (types.SimpleNamespace(httpx_get=json.dumps), "httpx_get", None),
    ],
)
def test_what_a_project_made_of_a_client(target, attribute, name):
    assert network_client(target, attribute) == name


SUITE = """
import asyncio, json, os, socket, sys, types
from unittest import mock
import aiohttp, aioresponses, httpx, pytest, requests, responses, respx, urllib3, websockets

project = types.ModuleType("project")
project.httpx = httpx
project.load = json.loads
sys.modules["project"] = project

def test_respx():
    with respx.mock:
        respx.get("http://x.test/").respond(200)
        answer = httpx.get("http://x.test/")
        assert "traceparent" not in answer.request.headers
def test_pytest_httpx(httpx_mock):
    httpx_mock.add_response(status_code=503)
    httpx.get("http://x.test/")
@responses.activate
def test_responses():
    responses.get("http://x.test/", status=503)
    requests.get("http://x.test/")
def test_aioresponses():
    async def go():
        with aioresponses.aioresponses() as fake:
            fake.get("http://x.test/", exception=TimeoutError())
            async with aiohttp.ClientSession() as session:
                with pytest.raises(TimeoutError): await session.get("http://x.test/")
    asyncio.run(go())
def test_transport():
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(503))) as client:
        assert "traceparent" not in client.get("http://x.test/").request.headers
def test_transport_that_fails():
    def fail(request): raise httpx.ConnectError("no")
    with httpx.Client(transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(httpx.ConnectError): client.get("http://x.test/")
def test_asgi():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
    async def go():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            assert (await client.get("http://x.test/")).text == "hello"
    asyncio.run(go())
def test_own_transport():
    class Canned(httpx.BaseTransport):
        def handle_request(self, request): return httpx.Response(200)
    with httpx.Client(transport=Canned()) as client: client.get("http://x.test/")
def test_own_transport_over_the_network():
    class Careful(httpx.BaseTransport):
        def __init__(self): self.real = httpx.HTTPTransport()
        def handle_request(self, request): return self.real.handle_request(request)
        def close(self): self.real.close()
    with httpx.Client(transport=Careful()) as client: client.get(HTTP + "/careful")
def test_adapter():
    class Canned(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            answer = requests.Response()
            answer.status_code, answer.url, answer.raw = 200, request.url, None
            return answer
        def close(self): pass
    with requests.Session() as session:
        session.mount("http://x.test/", Canned())
        session.get("http://x.test/")
def test_adapter_over_the_network():
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=3))
        session.get(HTTP + "/adapter")
def test_module_of_the_project():
    with mock.patch("project.httpx"): pass
def test_object():
    with mock.patch.object(requests.Session, "send"): pass
def test_multiple():
    with mock.patch.multiple("httpx", get=mock.DEFAULT, post=mock.DEFAULT): pass
def test_started():
    mock.patch("httpx.get").start()
    mock.patch.stopall()
def test_left_in_place():
    mock.patch("httpx.get").start()
def test_after_it():
    mock.patch.stopall()
def test_after_that(): pass
@mock.patch("websockets.connect")
def test_decorated(connect): pass
@mock.patch("websockets.connect")
async def coroutine(connect): return connect
def test_decorated_coroutine(): asyncio.run(coroutine())
def test_string(monkeypatch): monkeypatch.setattr("aiohttp.ClientSession.get", None)
def test_transport_class(monkeypatch): monkeypatch.setattr(httpx, "HTTPTransport", httpx.MockTransport)
def test_modules(monkeypatch): monkeypatch.setitem(sys.modules, "websockets", types.ModuleType("fake"))
def test_likeness(): mock.AsyncMock(spec=httpx.AsyncClient)
def test_likeness_of_all(): mock.create_autospec(requests.Session)
def test_innocent(monkeypatch):
    monkeypatch.setenv("HTTPX", "1")
    monkeypatch.setattr(os, "getcwd", lambda: "/")
    monkeypatch.setattr("project.load", json.dumps)
    with mock.patch("json.dumps"), mock.patch("project.load"), mock.patch.dict(os.environ, {"A": "b"}): pass
    with mock.patch.object(urllib3, "disable_warnings"): pass
    mock.Mock(spec=dict), mock.MagicMock(), mock.Mock(spec=httpx.Response)
    with pytest.raises(AttributeError): monkeypatch.setattr(httpx, "nothing", 1)
    with pytest.raises(ModuleNotFoundError):
        with mock.patch("no.such.thing"): pass
"""


@pytest.fixture(scope="module")
def mocked(watch):
    return watch(SUITE, "-p", "pytest_httpx", "-p", "no:randomly").seen


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("respx", "ConnectionPool.handle_request (unittest.mock)"),
        ("pytest_httpx", "HTTPTransport.handle_request (monkeypatch)"),
        ("responses", "HTTPAdapter.send (unittest.mock)"),
        ("aioresponses", "ClientSession._request (unittest.mock)"),
        ("transport", "httpx.MockTransport"),
        ("transport_that_fails", "httpx.MockTransport"),
        ("asgi", "httpx.ASGITransport"),
        ("own_transport", "test_observed.Canned"),
        ("adapter", "requests: answered by test_observed.Canned"),
        ("module_of_the_project", "project.httpx (unittest.mock)"),
        ("object", "Session.send (unittest.mock)"),
        ("multiple", "httpx.get (unittest.mock)"),
        ("started", "httpx.get (unittest.mock)"),
        ("left_in_place", "httpx.get (unittest.mock)"),
        ("after_it", "httpx.get (unittest.mock)"),
        ("decorated", "websockets.connect (unittest.mock)"),
        ("decorated_coroutine", "websockets.connect (unittest.mock)"),
        ("string", "ClientSession.get (monkeypatch)"),
        ("transport_class", "httpx.HTTPTransport (monkeypatch)"),
        ("modules", "sys.modules[websockets] (monkeypatch)"),
        ("likeness", "httpx.AsyncClient (spec of a mock)"),
        ("likeness_of_all", "requests.Session (spec of a mock)"),
    ],
)
def test_what_stands_in_for_the_network_is_named(mocked, test, name):
    assert any(name in one for one in mocked[f"test_{test}"]["mocked"]), mocked[f"test_{test}"]["mocked"]
    assert mocked[f"test_{test}"]["exchanges"] == []


@pytest.mark.parametrize("test", ["innocent", "after_that"])
def test_what_replaces_nothing_of_the_network_is_not_named(mocked, test):
    assert mocked[f"test_{test}"]["mocked"] == []


@pytest.mark.parametrize("test", ["own_transport_over_the_network", "adapter_over_the_network"])
def test_what_goes_over_the_network_all_the_same_is_an_exchange(mocked, test):
    seen = mocked[f"test_{test}"]
    assert seen["mocked"] == []
    assert [one["status"] for one in seen["exchanges"]] == [200]


def test_observing_replacements_fails_at_nothing(mocked):
    assert {name: seen["blind"] for name, seen in mocked.items() if seen["blind"]} == {}
