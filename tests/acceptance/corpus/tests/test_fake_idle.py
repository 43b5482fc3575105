"""Passes that asked nobody, or somebody else."""

import asyncio
import contextlib
import http.client
import os
import socket
import threading
import time

import aiohttp
import httpx
import pytest
import pytest_asyncio
import requests
from websockets.sync.client import connect

NOBODY = pytest.mark.truth("fake", "no-contact")


@NOBODY
def test_nothing():
    pass


@NOBODY
def test_sleeping():
    time.sleep(0.3)
    assert True


@NOBODY
@pytest.mark.asyncio
async def test_sleeping_async():
    await asyncio.sleep(0.05)


@NOBODY
def test_its_own_dictionary():
    answer = {"status": "ok", "agents": ["data_helper"]}
    assert answer["status"] == "ok"


@NOBODY
def test_success_that_is_printed(capsys):
    print("[PASS] agent_completed received")  # noqa: T201 - so they do
    assert "PASS" in capsys.readouterr().out


@NOBODY
def test_an_error_that_is_swallowed():
    try:  # noqa: SIM105 - so they do
        httpx.get("http://127.0.0.1:1/health")
    except httpx.HTTPError:
        pass


@NOBODY
def test_the_service_s_host_at_a_port_where_nobody_is(address):
    with contextlib.suppress(OSError):
        socket.create_connection((address[0], 1), timeout=1)


@NOBODY
def test_connecting_alone(address):
    with socket.create_connection(address):
        pass


@NOBODY
def test_sending_and_not_waiting(address):
    with socket.create_connection(address) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n")


@NOBODY
def test_looking_the_name_up(address):
    assert socket.getaddrinfo("localhost", address[1])


@NOBODY
def test_a_stub(stub):
    assert httpx.get(f"{stub}/health").json()["status"] == "ok"


@NOBODY
def test_a_stub_under_the_service_s_name(stub, base_url):
    assert requests.get(f"{stub}/health", headers={"Host": base_url.rpartition("/")[2]}, timeout=5).ok


@NOBODY
def test_datagrams(address):
    server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    server.bind(("127.0.0.1", 0))
    with server, client:
        client.sendto(b"ping", server.getsockname())
        data, peer = server.recvfrom(10)
        server.sendto(data, peer)
        assert client.recv(10) == b"ping"


@NOBODY
def test_a_pair_of_its_own():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"hello")
        assert other.recv(5) == b"hello"


@NOBODY
def test_the_environment_alone():
    assert os.environ["NETRA_LOOP_URL"].startswith("http")


@pytest.mark.xdist_group("login")
@pytest.mark.truth("first", "no-contact")
class TestAfterTheLogin:
    """The class logs in once. That is in the time of the test that runs first, whose setup it is, and in no other's."""

    @pytest.fixture(scope="class")
    def login(self, base_url, bearer):
        yield httpx.get(f"{base_url}/api/me", headers=bearer).json()
        httpx.get(f"{base_url}/health")  # in the time of the last

    def test_one(self, login):
        assert login["user_id"] == "corpus"

    def test_two(self, login):
        assert login

    def test_three(self, login):
        assert True


@pytest.mark.xdist_group("open")
@pytest.mark.truth("first", "no-contact")
class TestBesideAnOpenSocket:
    """A socket stays open, and nobody uses it: the library sends pings of its own."""

    @pytest.fixture(scope="class")
    def open_socket(self, ws_url, bearer):
        with connect(ws_url, additional_headers=bearer, ping_interval=0.02) as client:
            client.recv()
            yield client

    def test_one(self, open_socket):
        time.sleep(0.1)

    def test_two(self, open_socket):
        time.sleep(0.1)

    def test_three(self, open_socket):
        time.sleep(0.1)


@pytest.mark.xdist_group("heartbeat")
@pytest.mark.truth("first", "no-contact")
@pytest.mark.asyncio(loop_scope="class")
class TestBesideAHeartbeat:
    """aiohttp's own pings, on the loop that idle tests wait on."""

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def open_socket(self, ws_url, bearer):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(ws_url, headers=bearer, heartbeat=0.8) as client,
        ):
            await client.receive()
            yield client

    async def test_one(self, open_socket):
        await asyncio.sleep(1)

    async def test_two(self, open_socket):
        await asyncio.sleep(1)

    async def test_three(self, open_socket):
        await asyncio.sleep(1)


@pytest.mark.xdist_group("programs")
@pytest.mark.truth("fake", "no-contact", told="suspect")
class TestBesideAPoller:
    """A thread of the class asks all the time, whatever the tests do."""

    @pytest.fixture(scope="class")
    def asked(self, address):
        over, asked = threading.Event(), threading.Semaphore(0)

        def ask():
            while not over.wait(0.01):
                connection = http.client.HTTPConnection(*address)
                connection.request("GET", "/health")
                connection.getresponse().read()
                connection.close()
                asked.release()

        thread = threading.Thread(target=ask)
        thread.start()
        yield asked
        over.set()
        thread.join()

    def test_one(self, asked):
        assert [asked.acquire(timeout=5) for _ in range(2)] == [True, True]

    def test_two(self, asked):
        assert [asked.acquire(timeout=5) for _ in range(2)] == [True, True]
