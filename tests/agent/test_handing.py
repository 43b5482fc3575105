"""An older thread works for the test that handed it something, and for none that did not."""

from __future__ import annotations

import pytest

SUITE = """
import asyncio, http.client, queue, threading
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from urllib.parse import urlsplit
import anyio.from_thread, pytest, trio, uvloop

ADDRESS = urlsplit(HTTP).netloc
PATIENCE_S = 10

def get():
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request("GET", "/x")
    connection.getresponse().read()
    connection.close()
    return True

async def get_here(): return get()

class Waiting:
    "A thread that asks whenever `wait` lets it."
    def __init__(self, wait):
        self.over, self.done, self.wait = False, queue.SimpleQueue(), wait
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
    def work(self):
        self.wait()
        while not self.over:
            self.done.put(get())
            self.wait()
    def finish(self, wake):
        self.over = True
        wake()
        self.thread.join()

@pytest.fixture(scope="module")
def executor():
    with ThreadPoolExecutor(1) as one: yield one
@pytest.fixture(scope="module")
def pool():
    with ThreadPool(1) as one: yield one
@pytest.fixture(scope="module", params=["asyncio", "trio"])
def portal(request):
    with anyio.from_thread.start_blocking_portal(request.param) as one: yield one
@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request):
    loop = request.param()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

def by_queue():
    one = queue.Queue()
    return one.get, lambda: one.put(1)
def by_event():
    one = threading.Event()
    def wait():
        one.wait()
        one.clear()
    return wait, one.set
def by_semaphore():
    one = threading.BoundedSemaphore(1)
    one.acquire()
    return one.acquire, one.release
def by_condition():
    one, woken = threading.Condition(), []
    def wait():
        with one:
            one.wait_for(lambda: woken)
            woken.clear()
    def wake():
        with one:
            woken.append(1)
            one.notify_all()
    return wait, wake
def by_simple_queue():
    one = queue.SimpleQueue()
    return one.get, lambda: one.put(1)

WAYS = [by_queue, by_event, by_semaphore, by_condition]
@pytest.fixture(scope="module", params=[*WAYS, by_simple_queue], ids=lambda way: way.__name__)
def waiting(request):
    wait, wake = request.param()
    one = Waiting(wait)
    yield one, wake
    one.finish(wake)

TWICE = pytest.mark.parametrize("number", [1, 2])

@TWICE
def test_executor(executor, number): assert executor.submit(get).result(PATIENCE_S)
@TWICE
def test_executor_of_a_loop(executor, number):
    async def go(): return await asyncio.get_running_loop().run_in_executor(executor, get)
    assert asyncio.run(go())
@TWICE
def test_pool(pool, number): assert pool.map(lambda _: get(), [1])
@TWICE
def test_handed_on(pool, executor, number): assert pool.apply(lambda: executor.submit(get).result(PATIENCE_S))
@TWICE
def test_portal(portal, number): assert portal.call(get_here)
@TWICE
def test_trio(number):
    async def go(): return await trio.to_thread.run_sync(get)
    assert trio.run(go)
@TWICE
def test_loop(loop, number): assert asyncio.run_coroutine_threadsafe(get_here(), loop).result(PATIENCE_S)
@TWICE
def test_waiting(waiting, number):
    one, wake = waiting
    wake()
    assert one.done.get(timeout=PATIENCE_S)
@TWICE
def test_a_bounded_queue_of_others(number):
    if number == 1:
        pytest.found, pytest.over = queue.Queue(1), threading.Event()
        def poll():
            while not pytest.over.is_set(): pytest.found.put(get())
        pytest.poller = threading.Thread(target=poll)
        pytest.poller.start()
    for _ in range(3): assert pytest.found.get(timeout=PATIENCE_S)
def test_its_end():
    pytest.over.set()
    while pytest.poller.is_alive():
        try: pytest.found.get(timeout=0.05)
        except queue.Empty: pass
"""
UNSEEN = {"test_waiting[by_simple_queue-2]", "test_a_bounded_queue_of_others[2]"}


@pytest.fixture(scope="module")
def seen(watch):
    return watch(SUITE).seen


def has_own(seen, name):
    """Whether bytes went both ways for the test."""
    return any(len(row) == 6 and row[2] and row[3] for row in seen[name]["contacts"])


def later(seen):
    """Tests that use what others used before them."""
    return {name for name in seen if name.endswith("2]")}


def test_work_that_is_handed_to_an_older_thread_is_the_tests(seen):
    assert {name for name in later(seen) if not has_own(seen, name)} == UNSEEN
    assert len(later(seen)) == 15


@pytest.mark.parametrize("name", sorted(UNSEEN))
def test_what_was_not_seen_to_be_handed_over_is_told_with_its_thread(seen, name):
    assert any(len(row) == 7 and row[2] and row[3] for row in seen[name]["contacts"])


def test_no_observer_failed(seen):
    assert {name: one["blind"] for name, one in seen.items() if one["blind"]} == {}


NO_OTHER = """
import _thread, asyncio, sys, threading
import pytest

PATIENCE_S = 10

@pytest.fixture(scope="session", autouse=True)
def older():
    over = threading.Event()
    threading.Thread(target=over.wait).start()
    yield
    over.set()

def test_a_thread_that_begins_with_a_notification(monkeypatch):
    failed, condition = threading.Event(), threading.Condition(threading.Lock())
    monkeypatch.setattr(sys, "unraisablehook", lambda _: failed.set())
    with condition:
        _thread.start_new_thread(condition.notify, ())
        assert not failed.wait(0.2)

def test_where_a_call_was_made():
    async def called():
        return asyncio.get_running_loop().call_soon_threadsafe(int)
    assert __file__ in repr(asyncio.run(called(), debug=True))
"""


def test_nothing_is_different_for_a_test_beside_an_older_thread(watch):
    seen = watch(NO_OTHER).seen  # in which all tests must pass
    assert [one["blind"] for one in seen.values()] == [[], []]
