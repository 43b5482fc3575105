"""An observer that fails never fails a test, and what it leaves unseen is told."""

from __future__ import annotations

import pytest

SUITE = """
import os, sys, types
os.makedirs("aiohttp", exist_ok=True)
open("aiohttp/__init__.py", "w").write("")
sys.path.insert(0, os.getcwd())
import httpx, pytest

def test_library_of_another_make():
    import aiohttp
def test_after_it(): pass
def test_answer_of_another_make():
    class Extensions(dict):
        def __contains__(self, name): raise TypeError("of another make")
    class Odd(httpx.BaseTransport):
        def handle_request(self, request):
            answer = httpx.Response(200)
            answer.extensions = Extensions(http_version=b"HTTP/1.1")
            return answer
    with httpx.Client(transport=Odd()) as client: assert client.get("http://x.test/").status_code == 200
def test_what_is_looked_at_is_the_librarys_own():
    import inspect, socket, subprocess
    assert httpx.Client._send_single_request.__module__.startswith("httpx")
    assert list(inspect.signature(socket.getaddrinfo).parameters)[:2] == ["host", "port"]
    assert inspect.iscoroutinefunction(httpx.AsyncClient._send_single_request)
    assert subprocess.Popen._execute_child.__name__ == "_execute_child"
"""


@pytest.fixture(scope="module")
def observed(watch):
    return watch(SUITE)


@pytest.mark.parametrize("test", ["library_of_another_make", "after_it"])
def test_a_library_that_cannot_be_observed_is_told_with_each_test_from_then_on(observed, test):
    (gap,) = observed.seen[f"test_{test}"]["blind"]
    assert gap.startswith("aiohttp is not observed: AttributeError")


def test_a_failure_while_observing_is_told_with_its_test(observed):
    gaps = observed.seen["test_answer_of_another_make"]["blind"]
    assert "TypeError: of another make" in gaps


def test_wrapped_functions_look_like_their_own(observed):
    assert observed.seen["test_what_is_looked_at_is_the_librarys_own"]["frames"] == []
