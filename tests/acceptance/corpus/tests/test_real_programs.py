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
