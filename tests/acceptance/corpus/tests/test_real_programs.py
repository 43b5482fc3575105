"""Passes whose traffic is another process's. One at a time, so that the request log can tell whose it was."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import urllib.request

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("programs")
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"
ASK_TRACED = """
import os, sys, urllib.request
headers = {"traceparent": os.environ["TRACEPARENT"]}
print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers)).status)
"""


def _python(code, url):
    return subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True).stdout.strip()


def _ask(url, answers):
    with urllib.request.urlopen(url) as answer:
        answers.put(answer.status)


@pytest.mark.truth("real")
def test_a_fork(base_url):
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=_ask, args=(f"{base_url}/health", answers))
    process.start()
    assert answers.get() == 200
    process.join()


@pytest.mark.truth("real")
def test_a_fork_by_hand(base_url):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if httpx.get(f"{base_url}/health").status_code == 200 else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.truth("real", "trace")
def test_a_program_that_hands_the_trace_on(base_url):
    assert _python(ASK_TRACED, f"{base_url}/health") == "200"


@pytest.mark.truth("real", told="suspect")
def test_a_program_that_does_not(base_url):
    assert _python(ASK, f"{base_url}/health") == "200"


@pytest.mark.truth("real", told="suspect")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(base_url):
    assert b'"ok"' in subprocess.check_output(["curl", "-s", f"{base_url}/health"])


@pytest.mark.truth("fake", "no-contact")
def test_a_program_that_asks_nobody():
    assert subprocess.check_call([sys.executable, "-c", "pass"]) == 0


@pytest.mark.truth("fake", "no-contact")
def test_a_program_that_asks_somebody_else(stub):
    assert _python(ASK, f"{stub}/health") == "200"


ASK_WHEN_TOLD = """
import sys, urllib.request
for line in sys.stdin:
    print(urllib.request.urlopen(line.strip()).status, flush=True)
"""


class TestBesideADriver:
    """The class holds a program that asks for its tests, as a browser's driver does."""

    @pytest.fixture(scope="class")
    def driver(self):
        command = [sys.executable, "-c", ASK_WHEN_TOLD]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

            def ask(url):
                process.stdin.write(f"{url}\n")
                process.stdin.flush()
                return process.stdout.readline().strip()

            yield ask

    @pytest.mark.truth("real", told="suspect")
    def test_one(self, driver, base_url):
        assert driver(f"{base_url}/health") == "200"

    @pytest.mark.truth("real", told="suspect")
    def test_two(self, driver, base_url):
        assert driver(f"{base_url}/health") == "200"

    @pytest.mark.truth("fake", "no-contact")
    def test_idle(self, driver):
        assert driver


class TestCleanedByAProgram:
    """A program of the class asks at its end, under whatever trace it finds."""

    @pytest.fixture(scope="class")
    def cleaned(self, base_url):
        yield
        assert _python(ASK_TRACED, f"{base_url}/health") == "200"

    @pytest.mark.truth("fake", "no-contact")
    def test_idle(self, cleaned):
        pass


def _poll(url, asked, over):
    while not over.wait(0.01):
        with urllib.request.urlopen(url) as answer:
            answer.read()
        asked.release()


class TestBesideAFork:
    """A test leaves a fork behind that goes on asking."""

    @pytest.mark.truth("real")
    def test_one_that_leaves_it(self, request, base_url):
        context = multiprocessing.get_context("fork")
        asked, over = context.Semaphore(0), context.Event()
        process = context.Process(target=_poll, args=(f"{base_url}/health", asked, over), daemon=True)
        process.start()
        request.cls.left = (process, asked, over)
        assert asked.acquire(timeout=10)

    @pytest.mark.truth("fake", "no-contact")
    def test_two_idle(self):
        process, asked, over = self.left
        assert [asked.acquire(timeout=10) for _ in range(3)] == [True] * 3
        over.set()
        process.join()
