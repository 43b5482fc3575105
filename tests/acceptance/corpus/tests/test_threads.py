"""Passes beside threads that run longer than a test: those that were asked to work for it, and those that were not."""

import asyncio
import contextlib
import http.client
import json
import queue
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import httpx
import pytest
import trio
import uvloop
import websocket
from anyio.from_thread import start_blocking_portal

REAL = pytest.mark.truth("real")
UNSEEN = pytest.mark.truth("real", told="suspect")
IDLE = pytest.mark.truth("fake", told="suspect")
TWICE = pytest.mark.parametrize("number", range(2))
PATIENCE_S = 10


@pytest.fixture(scope="session")
def ask(address):
    """A request, and its status."""

    def ask():
        connection = http.client.HTTPConnection(*address)
        connection.request("GET", "/health")
        with connection.getresponse() as answer:
            answer.read()
        connection.close()
        return answer.status

    return ask


@contextlib.contextmanager
def running(function):
    thread = threading.Thread(target=function)
    thread.start()
    yield
    thread.join()


class Asked(threading.Semaphore):
    """Released each time that somebody asked. Nobody does before a test wants it: what a shared fixture's threads do
    while it is set up would be of the test that needs it first.
    """

    def __init__(self):
        super().__init__(0)
        self.wanted = False

    def until_wanted(self, over):
        while not self.wanted and not over.wait(0.001):
            pass


@contextlib.contextmanager
def polling(ask):
    """A thread that asks all the time; what is released each time."""
    over, asked = threading.Event(), Asked()

    def poll():
        asked.until_wanted(over)
        while not over.wait(0.01):
            ask()
            asked.release()

    with running(poll):
        yield asked
        over.set()


def wait_for(asked):
    asked.wanted = True
    assert [asked.acquire(timeout=PATIENCE_S) for _ in range(3)] == [True] * 3


@REAL
@pytest.mark.xdist_group("threads-pools")
class TestWithPools:
    @pytest.fixture(scope="class")
    def executor(self):
        with ThreadPoolExecutor(1) as executor:
            yield executor

    @pytest.fixture(scope="class")
    def pool(self):
        with ThreadPool(1) as pool:
            yield pool

    @pytest.fixture(scope="class")
    def portal(self):
        with start_blocking_portal() as portal:
            yield portal

    @TWICE
    def test_executor(self, executor, ask, number):
        assert executor.submit(ask).result() == 200

    @TWICE
    def test_one_that_is_handed_on(self, executor, pool, ask, number):
        assert pool.apply(lambda: executor.submit(ask).result()) == 200

    @TWICE
    def test_pool(self, pool, ask, number):
        assert pool.apply(ask) == 200

    @TWICE
    def test_portal(self, portal, ask, number):
        async def ask_here():
            return ask()

        assert portal.call(ask_here) == 200

    @TWICE
    def test_the_threads_that_trio_keeps(self, ask, number):
        async def go():
            return await trio.to_thread.run_sync(ask)

        assert trio.run(go) == 200


@REAL
@pytest.mark.xdist_group("threads-loops")
@pytest.mark.parametrize("number", range(3))
class TestWithALoop:
    @pytest.fixture(scope="class", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def loop(self, request):
        loop = request.param()
        with running(loop.run_forever):
            yield loop
            loop.call_soon_threadsafe(loop.stop)
        loop.close()

    def test_in_it(self, loop, base_url, number):
        async def go():
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{base_url}/health")).status_code

        assert asyncio.run_coroutine_threadsafe(go(), loop).result(PATIENCE_S) == 200

    def test_in_its_threads(self, loop, ask, number):
        async def go():
            return await loop.run_in_executor(None, ask)

        assert asyncio.run_coroutine_threadsafe(go(), loop).result(PATIENCE_S) == 200


@pytest.mark.xdist_group("threads-workers")
class TestWithAWorker:
    @pytest.fixture(scope="class")
    def by_queue(self, ask):
        asks, answers = queue.Queue(), queue.Queue()

        def work():
            for _ in iter(asks.get, None):
                answers.put(ask())

        with running(work):
            yield asks, answers
            asks.put(None)

    @pytest.fixture(scope="class")
    def by_simple_queue(self, ask):
        asks, answers = queue.SimpleQueue(), queue.SimpleQueue()

        def work():
            for _ in iter(asks.get, None):
                answers.put(ask())

        with running(work):
            yield asks, answers
            asks.put(None)

    @pytest.fixture(scope="class")
    def by_event(self, ask):
        wanted, over, answers = threading.Event(), threading.Event(), queue.Queue()

        def work():
            while wanted.wait() and not over.is_set():
                wanted.clear()
                answers.put(ask())

        with running(work):
            yield wanted, answers
            over.set()
            wanted.set()

    @REAL
    @TWICE
    def test_queue(self, by_queue, number):
        asks, answers = by_queue
        asks.put("please")
        assert answers.get(timeout=PATIENCE_S) == 200

    @REAL
    @TWICE
    def test_event(self, by_event, number):
        wanted, answers = by_event
        wanted.set()
        assert answers.get(timeout=PATIENCE_S) == 200

    @UNSEEN
    @TWICE
    def test_simple_queue(self, by_simple_queue, number):
        asks, answers = by_simple_queue
        asks.put("please")
        assert answers.get(timeout=PATIENCE_S) == 200

    @pytest.mark.truth("fake", "no-contact")
    def test_idle(self, by_queue, by_event, by_simple_queue):
        assert by_queue


@pytest.mark.xdist_group("threads-app")
@pytest.mark.truth("real")
class TestWithAnApp:
    """A thread of the class takes in what comes over a socket, and answers pings: the tests send."""

    @pytest.fixture(scope="class")
    def app(self, ws_url, bearer):
        said = queue.Queue()

        def hear(_, text):
            said.put(json.loads(text)["type"])

        app = websocket.WebSocketApp(ws_url, header=bearer, on_message=hear)
        with running(app.run_forever):
            assert said.get(timeout=PATIENCE_S) == "connection_established"
            yield app, said
            app.close()

    @TWICE
    def test_speaking(self, app, number):
        app, said = app
        app.send(json.dumps({"type": "ping"}))
        assert said.get(timeout=PATIENCE_S) == "pong"


@IDLE
@pytest.mark.xdist_group("programs")  # whose requests without a trace the log tells apart
class TestBesideOthers:
    """Threads of the class ask all the time, and the tests hand them nothing."""

    @pytest.fixture(scope="class")
    def poller(self, ask):
        with polling(ask) as asked:
            yield asked

    @pytest.fixture(scope="class", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def poller_on_a_loop(self, request, address):
        loop, asked = request.param(), Asked()

        async def poll():
            while not asked.wanted:  # noqa: ASYNC110 - unseen is the point of it
                await asyncio.sleep(0.001)
            while True:
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"GET /health HTTP/1.1\r\nHost: backend\r\nConnection: close\r\n\r\n")
                assert await reader.read()
                writer.close()
                await asyncio.sleep(0.01)
                asked.release()

        with running(loop.run_forever):
            polls = asyncio.run_coroutine_threadsafe(poll(), loop)  # held: the loop itself does not hold its tasks
            yield asked
            polls.cancel()
            loop.call_soon_threadsafe(loop.stop)

    @pytest.fixture(scope="class")
    def poller_in_an_executor(self, ask):
        over, asked = threading.Event(), Asked()

        def poll():
            asked.until_wanted(over)
            while not over.wait(0.01):
                ask()
                asked.release()

        with ThreadPoolExecutor(2) as executor:
            executor.submit(poll)
            yield asked
            over.set()

    @pytest.fixture(scope="class")
    def statuses(self, ask):
        """What a poller found, as much as there is room for."""
        over, found, asked = threading.Event(), queue.Queue(1), Asked()
        found.asked = asked

        def poll():
            asked.until_wanted(over)
            while not over.is_set():
                with contextlib.suppress(queue.Full):
                    found.put(ask(), timeout=0.05)

        with running(poll):
            yield found
            over.set()

    @TWICE
    def test_a_poller(self, poller, number):
        wait_for(poller)

    def test_a_loop(self, poller_on_a_loop):
        wait_for(poller_on_a_loop)

    @pytest.mark.asyncio
    async def test_a_loop_beside_its_own(self, poller_on_a_loop):
        await asyncio.to_thread(wait_for, poller_on_a_loop)

    def test_an_executor(self, poller_in_an_executor):
        wait_for(poller_in_an_executor)

    def test_with_work_for_others(self, poller):
        with ThreadPoolExecutor(1) as executor:
            executor.submit(wait_for, poller).result()

    @TWICE
    def test_reading_what_others_found(self, statuses, number):
        statuses.asked.wanted = True
        assert [statuses.get(timeout=PATIENCE_S) for _ in range(4)] == [200] * 4


@pytest.mark.xdist_group("programs")  # whose requests without a trace the log tells apart
class TestAfterOneThatLeftAThread:
    @REAL
    def test_one_that_leaves_it(self, request, ask):
        poller = polling(ask)
        request.cls.left = poller
        request.cls.asked = poller.__enter__()
        wait_for(self.asked)

    @IDLE
    def test_two_idle(self):
        wait_for(self.asked)

    @REAL
    def test_three_that_asks_itself(self, ask):
        assert ask() == 200
        self.left.__exit__(None, None, None)

    @pytest.mark.truth("fake", "no-contact")
    def test_four_without_it(self):
        pass


@pytest.mark.xdist_group("threads-rest")
class TestOfOneAnswer:
    """What the one asked for the other reads on."""

    @pytest.fixture(scope="class")
    def client(self, address):
        with socket.create_connection(address) as client:
            yield client

    @REAL
    def test_one(self, client):
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.recv(8) == b"HTTP/1.1"

    @pytest.mark.truth("real", told="suspect")
    def test_two(self, client):
        assert client.recv(4) == b" 200"
