"""Passes over HTTP that happened, each by another client."""

import asyncio
import http.client
import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import anyio
import httpx
import pytest
import requests
import trio
import urllib3

pytestmark = pytest.mark.truth("real")


def test_httpx(base_url, bearer):
    assert httpx.get(f"{base_url}/api/me", headers=bearer).json()["user_id"] == "corpus"


@pytest.mark.asyncio
async def test_httpx_async(base_url):
    async with httpx.AsyncClient(base_url=base_url) as client:
        assert (await client.get("/health")).status_code == 200


def test_requests(base_url):
    assert requests.get(f"{base_url}/health", timeout=5).json()["status"] == "ok"


def test_requests_session(base_url, bearer):
    with requests.Session() as session:
        session.headers.update(bearer)
        assert session.get(f"{base_url}/api/me", timeout=5).ok


def test_urllib3(base_url):
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", f"{base_url}/health").status == 200


def test_http_client(address):
    connection = http.client.HTTPConnection(*address)
    connection.request("GET", "/health")
    assert json.loads(connection.getresponse().read())["status"] == "ok"
    connection.close()


def test_urllib(base_url):
    with urllib.request.urlopen(f"{base_url}/health") as answer:
        assert answer.status == 200


@pytest.mark.asyncio
async def test_aiohttp(base_url):
    async with aiohttp.ClientSession() as session, session.get(f"{base_url}/health") as answer:
        assert (await answer.json())["status"] == "ok"


@pytest.mark.parametrize("path", ["/health", "/api/agents", "/metrics"])
def test_parametrised(base_url, path):
    assert httpx.get(base_url + path).status_code == 200


def test_a_refusal_that_is_meant(base_url):
    assert httpx.get(f"{base_url}/api/me").status_code == 401


def test_in_a_thread(base_url):
    found = []
    thread = threading.Thread(target=lambda: found.append(httpx.get(f"{base_url}/health").status_code))
    thread.start()
    thread.join()
    assert found == [200]


def test_in_a_pool_of_threads(base_url):
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(httpx.get, [f"{base_url}/health"] * 4)} == {200}


def test_in_a_loop_of_its_own(base_url):
    async def ask():
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{base_url}/health")).status_code

    assert asyncio.run(ask()) == 200


def test_under_trio(base_url):
    async def ask():
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{base_url}/health")).status_code

    assert trio.run(ask) == 200


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_under_anyio(base_url, address):
    async with await anyio.connect_tcp(*address) as stream:
        await stream.send(b"GET /health HTTP/1.1\r\nHost: backend\r\nConnection: close\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="session")
def kept_alive(address):
    """A connection that the whole session shares."""
    connection = http.client.HTTPConnection(*address)
    connection.connect()
    yield connection
    connection.close()


@pytest.mark.xdist_group("kept")
@pytest.mark.parametrize("number", range(2))
def test_over_the_session_s_connection(kept_alive, number):
    kept_alive.request("GET", "/health")
    assert kept_alive.getresponse().read()


@pytest.fixture
def agents(base_url):
    """What a test's own setup fetched."""
    return httpx.get(f"{base_url}/api/agents").json()["agents"]


def test_its_own_setup_asked(agents):
    assert agents


def test_a_client_that_is_patched_and_talks_all_the_same(base_url, monkeypatch):
    ask = httpx.Client.send
    seen = []
    monkeypatch.setattr(httpx.Client, "send", lambda self, *args, **more: seen.append(1) or ask(self, *args, **more))
    assert httpx.get(f"{base_url}/health").status_code == 200
    assert seen == [1]
