"""The front before an instance that the test itself plays: whatever its shape, an exchange passes, and is logged."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_websocket

from netra_loop.cloud.embedded.access import Turned
from netra_loop.cloud.embedded.fleet import NoInstance
from netra_loop.cloud.embedded.front import Fronts, Route
from netra_loop.cloud.embedded.instance import Launch, StartFailed
from netra_loop.cloud.embedded.probe import ProbePlan
from netra_loop.cloud.embedded.recorder import Origin, Recorder

ORIGIN = Origin("demo", "local", "backend", "backend-00001-abc", {"team": "a"}, instance="i1")
TRACE = "0af7651916cd43dd8448eb211c80319c"


class PlayedInstance:
    """As the front sees an instance."""

    def __init__(self, port):
        self.port = port
        self.origin = ORIGIN
        self.in_flight = 0

    def enter(self):
        self.in_flight += 1

    def leave(self):
        self.in_flight -= 1


class PlayedBackend:
    """One route, to one port; None of both where the test wants none."""

    def __init__(self):
        probe = ProbePlan(None, 0, 1, 1, 1, custom=False)
        self.timeout_s = 10.0
        self.played = None
        self.turns_away = None
        self._launch = lambda: Launch(ORIGIN, (), Path(), {}, 8080, probe, self.timeout_s, "mark")

    def route(self, service, tag):
        return Route("backend-00001-abc", self._launch()) if self.played is not None else None

    def turned(self, service, authorization):
        self.authorization = authorization
        return self.turns_away

    async def instance(self, route):
        if isinstance(self.played, Exception):
            raise self.played
        self.played.enter()
        return self.played


class Kept:
    """A log store that only remembers."""

    def __init__(self):
        self.entries = []
        self._queue = asyncio.Queue()

    def append(self, entry):
        self.entries.append(entry)
        self._queue.put_nowait(entry)

    async def request(self):
        """The next request entry; it is written when the exchange has ended, which may be after the client's answer."""
        async with asyncio.timeout(30):
            return await self._queue.get()


@pytest.fixture
def log():
    return Kept()


@pytest.fixture
def backend():
    return PlayedBackend()


@pytest.fixture
async def url(backend, log):
    fronts = Fronts(backend, Recorder(log))
    yield f"http://127.0.0.1:{await fronts.open('backend', '', None)}"
    await fronts.close_all()


@pytest.fixture
async def play(backend):
    """Makes the test's function the instance: it gets a connection's reader and writer."""
    servers = []

    async def start(handle):
        async def one(reader, writer):
            try:
                await handle(reader, writer)
            finally:
                writer.close()

        servers.append(await asyncio.start_server(one, "127.0.0.1", 0))
        backend.played = PlayedInstance(servers[-1].sockets[0].getsockname()[1])
        return backend.played

    yield start
    for server in servers:
        server.close()


def saying(data):
    """An instance that reads the head of a request and answers these very bytes."""

    async def handle(reader, writer):
        handle.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(data)
        await writer.drain()

    return handle


@pytest.fixture
async def http():
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def test_an_answer_passes_and_is_logged_with_its_trace(url, play, http, log):
    handle = saying(b"HTTP/1.1 418 Tea\r\nX-Mine: 1\r\nContent-Length: 3\r\n\r\npot")
    await play(handle)
    before = time.time()
    answer = await http.get(f"{url}/x?y=1", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert (answer.status_code, answer.reason_phrase, answer.headers["x-mine"], answer.text) == (418, "Tea", "1", "pot")
    assert f"traceparent: 00-{TRACE}-" in handle.head
    assert f"X-Cloud-Trace-Context: {TRACE}/" in handle.head
    assert "X-Forwarded-For: 127.0.0.1" in handle.head
    entry = await log.request()
    assert entry["logName"].endswith("run.googleapis.com%2Frequests")
    assert entry["trace"] == f"projects/demo/traces/{TRACE}"
    assert f"-{entry['spanId']}-01" in handle.head
    assert entry["severity"] == "WARNING"
    assert entry["labels"] == {"team": "a", "instanceId": "i1"}
    request = entry["httpRequest"]
    assert (request["requestMethod"], request["requestUrl"], request["status"]) == ("GET", f"{url}/x?y=1", 418)
    assert 0 <= float(request["latency"].removesuffix("s")) < time.time() - before + 0.01


@pytest.mark.parametrize(
    ("method", "answer", "status"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304),
    ],
)
async def test_answers_without_a_body_leave_the_connection_usable(url, play, http, method, answer, status):
    await play(saying(answer))
    for _ in range(2):
        assert (await http.request(method, url)).status_code == status


async def test_an_answer_that_ends_with_the_connection_arrives_whole(url, play, http):
    await play(saying(b"HTTP/1.0 200 OK\r\n\r\nuntil the end"))
    assert (await http.get(url)).text == "until the end"


async def test_bodies_stream_both_ways_at_once(url, play):
    async def echo(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := int(await reader.readline(), 16)) > 0:
            chunk = await reader.readexactly(size + 2)
            writer.write(b"%x\r\n" % size + chunk)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    await play(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    for chunk in (b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"0\r\n\r\n"):
        writer.write(chunk)
        assert await reader.readexactly(len(chunk)) == chunk  # it came back while the request goes on
    writer.close()


async def test_expect_continue_is_asked_of_the_instance(url, play):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)
        await writer.drain()

    await play(handle)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert b"100" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"body")
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(4) == b"body"
    writer.close()


async def test_a_body_that_nobody_reads_does_not_spoil_the_answer(url, play, http):
    await play(saying(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
    for _ in range(2):
        assert (await http.post(url, content=b"x" * 100_000)).status_code == 401


async def test_a_connection_takes_one_request_after_another(url, play):
    await play(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    for _ in range(2):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
    writer.close()


async def test_many_requests_at_once(url, play, http):
    await play(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=100), timeout=60) as wide:
        answers = await asyncio.gather(*(wide.get(url) for _ in range(100)))
    assert {answer.text for answer in answers} == {"ok"}


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
async def test_an_instance_that_does_not_answer_properly_is_a_503(url, play, http, log, answer):
    instance = await play(saying(answer))
    assert (await http.get(url)).status_code == 503
    entry = await log.request()
    assert entry["severity"] == "ERROR"
    assert "malformed" in entry["textPayload"]
    assert instance.in_flight == 0


async def test_an_instance_that_dies_in_its_answer_cuts_the_connection(url, play, http, log):
    await play(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"))
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(url)
    assert "malformed" in (await log.request())["textPayload"]


async def test_an_instance_that_takes_too_long_is_a_504(url, play, http, backend, log):
    async def silent(reader, _writer):
        await reader.read()

    await play(silent)
    backend.timeout_s = 0.1
    assert (await http.get(url)).status_code == 504
    assert (await log.request())["httpRequest"]["status"] == 504


async def test_an_answer_that_takes_too_long_is_cut(url, play, http, backend, log):
    async def stalling(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        await reader.read()
        await reader.read()

    await play(stalling)
    backend.timeout_s = 0.2
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(url)
    entry = await log.request()
    assert entry["httpRequest"]["status"] == 200
    assert "maximum request timeout" in entry["textPayload"]


async def test_an_instance_that_cannot_start_is_a_503(url, http, backend):
    backend.played = StartFailed("HEALTH_CHECK_CONTAINER_ERROR", "it ended with exit code 1")
    answer = await http.get(url)
    assert answer.status_code == 503
    assert "exit code 1" in answer.text


async def test_no_place_in_any_instance_is_a_429(url, http, backend, log):
    backend.played = NoInstance()
    answer = await http.get(url)
    assert (answer.status_code, answer.text) == (429, "Rate exceeded.\n")
    assert "no available instance" in (await log.request())["textPayload"]


async def test_who_is_turned_away_reaches_no_instance_and_is_logged(url, play, http, backend, log):
    instance = await play(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    backend.turns_away = Turned(401, "<html>no</html>", "not authorized", "Bearer x")
    answer = await http.get(url, headers={"Authorization": "Bearer mine"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer x")
    assert (backend.authorization, instance.in_flight) == ("Bearer mine", 0)
    assert (await log.request())["textPayload"] == "not authorized"


async def test_no_revision_is_a_503_and_no_entry(url, http, log):
    assert (await http.get(url)).status_code == 503
    assert log.entries == []


async def test_a_client_that_goes_is_a_499_and_the_instance_is_told(url, play, log):
    begun, gone = asyncio.Event(), asyncio.Event()

    async def handle(reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()
        gone.set()

    await play(handle)
    _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await begun.wait()
    writer.close()
    async with asyncio.timeout(30):
        await gone.wait()
    assert (await log.request())["httpRequest"]["status"] == 499


async def test_nonsense_is_a_400(url, play):
    await play(saying(b""))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


# ------------------------------------------------------------------------------------------- WebSocket


@pytest.fixture
async def ws_url(url, backend):
    async def handle(socket):
        async for message in socket:
            if message == "close":
                await socket.close(1011, "broken")
                return
            if message == "die":
                socket.transport.abort()
                return
            await socket.send(message)

    async with serve_websocket(handle, "127.0.0.1", 0, max_size=None) as server:
        backend.played = PlayedInstance(server.sockets[0].getsockname()[1])
        yield url.replace("http", "ws")


async def test_a_websocket_echoes_and_is_logged_when_it_ends(ws_url, log):
    async with connect(ws_url + "/chat", max_size=None, compression=None) as socket:
        for message in ("hello", b"\0" * 3_000_000):
            await socket.send(message)
            assert await socket.recv() == message
        assert log.entries == []
    entry = await log.request()
    assert entry["httpRequest"]["status"] == 101
    assert int(entry["httpRequest"]["responseSize"]) > 3_000_000
    assert entry["severity"] == "INFO"


async def test_a_close_of_1011_arrives_as_it_was(ws_url):
    async with connect(ws_url) as socket:
        await socket.send("close")
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await socket.recv()
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1011, "broken")


async def test_a_connection_cut_by_the_instance_is_a_1006(ws_url):
    async with connect(ws_url) as socket:
        await socket.send("die")
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await socket.recv()
    assert caught.value.rcvd is None


async def test_many_websockets_at_once(ws_url):
    async def talk(number):
        async with connect(ws_url) as socket:
            await socket.send(f"{number}")
            return await socket.recv()

    assert await asyncio.gather(*map(talk, range(64))) == [str(number) for number in range(64)]


async def test_a_websocket_ends_with_the_request_timeout(ws_url, backend, log):
    backend.timeout_s = 0.1
    async with connect(ws_url) as socket:
        with pytest.raises(websockets.ConnectionClosedError):
            await socket.recv()
    assert (await log.request())["httpRequest"]["status"] == 101


async def test_a_refused_upgrade_is_an_ordinary_answer(url, play, log):
    await play(saying(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(url.replace("http", "ws"))
    assert caught.value.response.status_code == 401
    assert (await log.request())["httpRequest"]["status"] == 401
