"""Whose a thread's traffic is: the test's that started it, or that handed it something; else nobody's."""

from __future__ import annotations

import pytest

SUITE = """
import _thread, contextlib, http.client, threading
from urllib.parse import urlsplit
import pytest

ADDRESS = urlsplit(HTTP).netloc

def get(path="/x"):
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()

class Poller:
    def __init__(self, start=None):
        self.over, self.asked, self.ended = threading.Event(), threading.Semaphore(0), threading.Event()
        if start is None: threading.Thread(target=self.poll, name="poller").start()
        else: start(self.poll, ())
    def poll(self):
        while not self.over.wait(0.01): self.ask()
        self.ended.set()
    def ask(self):
        get()
        self.asked.release()
    def wait(self):
        for _ in range(3): assert self.asked.acquire(timeout=10)
    def end(self):
        self.over.set()
        assert self.ended.wait(10)

class Hiring(Poller):
    def ask(self):
        for _ in range(3):
            thread = threading.Thread(target=super().ask, name="hired")
            thread.start()
            thread.join()

@contextlib.contextmanager
def running(poller):
    yield poller
    poller.end()

@pytest.fixture(scope="class")
def poller():
    with running(Poller()) as one: yield one
@pytest.fixture(scope="class")
def hiring():
    with running(Hiring()) as one: yield one
@pytest.fixture(scope="class")
def nameless():
    with running(Poller(_thread.start_new_thread)) as one: yield one
@pytest.fixture(scope="class")
def fetched():
    thread = threading.Thread(target=get)
    thread.start()
    thread.join()
@pytest.fixture(scope="class")
def connection():
    one = http.client.HTTPConnection(ADDRESS)
    one.connect()
    yield one
    one.close()

class TestPoller:
    def test_first(self, poller): poller.wait()
    def test_later(self, poller): poller.wait()
    def test_own_request(self, poller):
        poller.wait()
        get()
    def test_own_thread(self, poller, fetched):
        thread = threading.Thread(target=get)
        thread.start()
        thread.join()
    def test_own_request_that_another_thread_reads(self, poller, connection):
        connection.request("GET", "/x")
        connection.getresponse().read()
class TestHiring:
    def test_first(self, hiring): hiring.wait()
    def test_later(self, hiring): hiring.wait()
class TestNameless:
    def test_first(self, nameless): nameless.wait()
    def test_later(self, nameless): nameless.wait()
class TestFetched:
    def test_first(self, fetched): pass
def test_leaves_one():
    pytest.left = Poller()
    pytest.left.wait()
def test_idle(): pytest.left.wait()
def test_ends_it(): pytest.left.end()
def test_without_it(): get()
"""


@pytest.fixture(scope="module")
def seen(watch):
    return watch(SUITE).seen


def own(seen, name):
    """Bytes that the test had come and go, by itself."""
    return [row[2:4] for row in seen[name]["contacts"] if len(row) == 6]


def others(seen, name):
    """The threads that talked beside it."""
    return {row[6] for row in seen[name]["contacts"] if len(row) == 7 and row[2] and row[3]}


@pytest.mark.parametrize("name", ["TestPoller::test_first", "TestPoller::test_later", "test_idle"])
def test_what_an_older_thread_asks_is_not_the_tests(seen, name):
    assert own(seen, name) == []
    assert others(seen, name) == {"poller"}


def test_nor_is_what_its_own_threads_ask(seen):
    assert own(seen, "TestHiring::test_later") == []
    assert others(seen, "TestHiring::test_later") == {"hired"}


def test_a_thread_that_threading_does_not_know_is_told_in_later_tests(seen):
    assert own(seen, "TestNameless::test_later") == []
    (name,) = others(seen, "TestNameless::test_later")
    assert name.startswith("number ")


@pytest.mark.parametrize(
    "name",
    [
        "TestPoller::test_own_request",
        "TestPoller::test_own_thread",
        "TestPoller::test_own_request_that_another_thread_reads",
        "TestFetched::test_first",
        "test_leaves_one",
        "test_without_it",
    ],
)
def test_what_the_test_and_its_threads_ask_is_its_own(seen, name):
    ((sent, received),) = own(seen, name)
    assert sent
    assert received


def test_a_fixture_that_many_share_serves_the_first_until_it_is_set_up(seen):
    assert others(seen, "TestFetched::test_first") == set()
