"""Passes over clients that were replaced, one way or another."""

import http.client
import io
import urllib.request
from unittest import mock

import aiohttp
import httpx
import pytest
import requests
import responses
import respx
import urllib3
from aioresponses import aioresponses


@pytest.mark.truth("fake", "mocked")
def test_respx(base_url):
    with respx.mock:
        respx.get(f"{base_url}/health").respond(json={"status": "ok"})
        assert httpx.get(f"{base_url}/health").json()["status"] == "ok"


@pytest.mark.truth("fake", "mocked")
def test_pytest_httpx(base_url, httpx_mock):
    httpx_mock.add_response(url=f"{base_url}/health", json={"status": "ok"})
    assert httpx.get(f"{base_url}/health").json()["status"] == "ok"


@pytest.mark.truth("fake", "mocked")
@responses.activate
def test_responses(base_url):
    responses.get(f"{base_url}/health", json={"status": "ok"})
    assert requests.get(f"{base_url}/health", timeout=5).json()["status"] == "ok"


class Answer(aiohttp.ClientResponse):
    """An aiohttp newer than aioresponses wants one thing more."""

    def __init__(self, *args, **more):
        super().__init__(*args, **{"stream_writer": mock.Mock(output_size=0), **more})


@pytest.mark.truth("fake", "mocked")
@pytest.mark.asyncio
async def test_aioresponses(base_url):
    with aioresponses() as answers:
        answers.get(f"{base_url}/health", payload={"status": "ok"}, response_class=Answer)
        async with aiohttp.ClientSession() as session, session.get(f"{base_url}/health") as answer:
            assert (await answer.json())["status"] == "ok"


@pytest.mark.truth("fake", "mocked")
@mock.patch("requests.get")
def test_a_patch(get, base_url):
    get.return_value.status_code = 200
    assert requests.get(f"{base_url}/health", timeout=5).status_code == 200


@pytest.mark.truth("fake", "mocked")
def test_a_patched_method(base_url):
    with mock.patch.object(httpx.Client, "send", return_value=httpx.Response(200)):
        assert httpx.get(f"{base_url}/health").status_code == 200


@pytest.mark.truth("fake", "mocked")
def test_monkeypatch(base_url, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: io.BytesIO(b"ok"))
    assert urllib.request.urlopen(f"{base_url}/health").read() == b"ok"


@pytest.mark.truth("fake", "mocked")
def test_a_patched_socket(address, monkeypatch):
    class Scripted:
        """Answers from memory."""

        def __init__(self, *args):
            pass

        def makefile(self, *args):
            return io.BytesIO(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        def __getattr__(self, name):
            return lambda *args, **more: None

    monkeypatch.setattr("socket.create_connection", Scripted)
    connection = http.client.HTTPConnection(*address)
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b"ok"


@pytest.mark.truth("fake", "no-contact")
def test_a_transport_of_its_own(base_url):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"status": "ok"}))
    with httpx.Client(transport=transport) as client:
        assert client.get(f"{base_url}/health").json()["status"] == "ok"


@pytest.mark.truth("fake", "no-contact")
@pytest.mark.asyncio
async def test_the_service_in_the_test_s_own_process(base_url):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        assert (await client.get(f"{base_url}/health")).text == "ok"


class Cassette(requests.adapters.BaseAdapter):
    """Plays back what was recorded once."""

    def send(self, request, **more):
        recorded = io.BytesIO(b'{"status": "ok"}')
        answer = urllib3.HTTPResponse(body=recorded, status=200, preload_content=False)
        return requests.adapters.HTTPAdapter().build_response(request, answer)

    def close(self):
        pass


@pytest.mark.truth("fake", "no-contact")
def test_a_recording(base_url):
    with requests.Session() as session:
        session.mount("http://", Cassette())
        assert session.get(f"{base_url}/health", timeout=5).json()["status"] == "ok"


@pytest.mark.truth("fake", "mocked")
def test_a_login_that_is_patched_away(base_url):
    with mock.patch("httpx.post", return_value=httpx.Response(200, json={"token": "t"})) as post:
        assert httpx.post(f"{base_url}/login").json()["token"] == "t"
    post.assert_called_once()
