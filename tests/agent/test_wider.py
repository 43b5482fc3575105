"""What comes of fixtures that tests share, and of what earlier tests left behind."""

from __future__ import annotations

import pytest

SUITE = """
import multiprocessing, os, subprocess, sys, time, urllib.request
import pytest

FORK = multiprocessing.get_context("fork")
SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]

def get(path):
    with urllib.request.urlopen(HTTP + path) as answer: return answer.read()

def poll(asked, over):
    while not over.wait(0.01):
        get("/poll")
        asked.release()

@pytest.fixture(scope="module")
def driver():
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE) as process:
        yield process
@pytest.fixture(scope="class")
def cleaned():
    yield
    get("/at-the-end")
    os.environ["SAID"] = subprocess.check_output(["printenv", "TRACEPARENT"], text=True)
@pytest.fixture(scope="class")
def helper():
    asks, answers = FORK.SimpleQueue(), FORK.SimpleQueue()
    def help():
        for path in iter(asks.get, None): answers.put(len(get(path)))
    process = FORK.Process(target=help)
    process.start()
    def ask(path):
        asks.put(path)
        return answers.get()
    yield ask
    asks.put(None)
    process.join()

def test_first_with_driver(driver): pass
def test_later_with_driver(driver): pass
class TestCleaned:
    def test_idle(self, cleaned): pass
def test_after_cleaning(): pass
def test_leaves_a_fork():
    pytest.asked, pytest.over = FORK.Semaphore(0), FORK.Event()
    pytest.process = FORK.Process(target=poll, args=(pytest.asked, pytest.over), daemon=True)
    pytest.process.start()
    assert pytest.asked.acquire(timeout=10)
def test_idle_beside_it():
    for _ in range(4): assert pytest.asked.acquire(timeout=10)
def test_ends_it():
    pytest.over.set()
    pytest.process.join()
class TestHelped:
    def test_first(self, helper): assert helper("/one")
    def test_second(self, helper): assert helper("/two")
"""


@pytest.fixture(scope="module")
def observed(watch):
    return watch(SUITE).seen


def test_a_program_that_a_shared_fixture_holds_is_listed_with_the_tests_after_the_first(observed):
    assert [how for _, _, how in observed["test_first_with_driver"]["children"]] == [""]
    ((name, _, how),) = observed["test_later_with_driver"]["children"]
    assert name.startswith("python")
    assert how == "shared"


def test_the_end_of_a_shared_fixture_is_apart_from_the_test(observed, backend):
    seen = observed["TestCleaned::test_idle"]
    assert [(name, how) for name, _, how in seen["children"] if how != "shared"] == [("printenv", "apart")]
    assert [entry["apart"] for entry in seen["exchanges"]] == [True]
    assert seen["contacts"] == []
    (sent,) = backend.traces["/at-the-end"]
    assert sent.split("-")[1] not in {one["trace"] for one in observed.values()}


def test_a_fork_that_a_test_left_behind_is_not_the_next_tests(observed):
    assert observed["test_leaves_a_fork"]["exchanges"]
    seen = observed["test_idle_beside_it"]
    assert seen["exchanges"] == []
    assert seen["contacts"] == []


@pytest.mark.parametrize(("test", "path"), [("first", "/one"), ("second", "/two")])
def test_a_fork_of_a_shared_fixture_works_for_the_test_that_runs(observed, test, path):
    (entry,) = observed[f"TestHelped::test_{test}"]["exchanges"]
    assert entry["url"].endswith(path)
