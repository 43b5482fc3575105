"""A real embedded cloud in a process of its own, a tiny real service, and the real client between them."""

import asyncio
import functools
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from netra_loop import processes
from netra_loop.clock import SystemClock
from netra_loop.cloud.base import DeployRequest, LogQuery
from netra_loop.cloud.embedded.calls import read_calls
from netra_loop.cloud.embedded.instance import MARK, SERVER_ONLY
from netra_loop.cloud.embedded.knobs import FILE, Failure, set_knobs
from netra_loop.cloud.google import CloudRun
from netra_loop.cloud.log_reads import ReadBudget

SERVICE = """
import json, os, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/crash":
            os._exit(7)
        if self.path == "/slow":
            time.sleep(0.6)
        if self.path == "/say":
            print(json.dumps({"severity": "NOTICE", "message": "said", "revision": os.environ["K_REVISION"]}))
            print("on stderr", file=sys.stderr)
        body = json.dumps({"revision": os.environ["K_REVISION"], "pid": os.getpid(), "child": child.pid}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

child = subprocess.Popen(["sleep", "300"], start_new_session=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """Of an embedded cloud that all tests share, each with services of its own."""
    yield from running(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="session")
def troubled_cloud(tmp_path_factory):
    """The folder and the endpoint of another one, where things go wrong."""
    folder = tmp_path_factory.mktemp("troubled")
    for endpoint in running(folder):
        yield folder, endpoint


@pytest.fixture
def trouble(troubled_cloud):
    """What goes wrong in that cloud, for this test alone."""
    folder, endpoint = troubled_cloud
    yield Trouble(folder, endpoint)
    (folder / FILE).unlink(missing_ok=True)


class Trouble:
    def __init__(self, folder, endpoint):
        self.folder = folder
        self.endpoint = endpoint
        self._before = Counter(read_calls(folder))

    def turn(self, **knobs):
        """Knobs of the embedded cloud, from the next call on."""
        set_knobs(self.folder, **knobs)

    def fail(self, call, code="UNAVAILABLE", **how):
        """Calls of this method fail, the first one where nothing else is said."""
        self.turn(fail=[Failure(call, code, **how)])

    def calls(self):
        """How often each method was called in this test."""
        return Counter(read_calls(self.folder)) - self._before

    async def called(self, call, times):
        """Returns once that method was called so often."""
        clock = SystemClock()
        async with asyncio.timeout(20):
            while self.calls()[call] < times:
                await clock.sleep(0.01)


def running(folder):
    command = [sys.executable, "-m", "netra_loop.cloud.embedded", "--state", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | SERVER_ONLY)
    with server.stdout:
        yield json.loads(server.stdout.readline())["endpoint"]
    server.terminate()
    assert server.wait(timeout=20) == 0
    assert processes.carrying(MARK, str(folder)) == []


@pytest.fixture
def service(request):
    """A service of the test's own, in the cloud that all share."""
    return f"s{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"


@pytest.fixture
def ask(request_for, service):
    """Makes a deploy request for that service."""
    return functools.partial(request_for, service=service)


@pytest.fixture
async def connect():
    """Makes clients, closed when the test has ended."""
    made = []

    def connected(endpoint, clock=None, **how):
        how.setdefault("reads", ReadBudget(SystemClock(), 10_000))  # many tests, one process
        made.append(CloudRun(endpoint, "demo", "local", clock or SystemClock(), **how))
        return made[-1]

    yield connected
    for client in made:
        await client.close()


@pytest.fixture
def source(tmp_path):
    """A service's folder."""
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "app.py").write_text(SERVICE)
    return folder


@pytest.fixture
def request_for(source):
    """Makes a deploy request, the same one but for what is given."""
    plain = DeployRequest(
        service="backend",
        session="golden-path-20250101-120000-abcd",
        iteration=1,
        source=str(source),
        command=("python", "app.py"),
        probe_path="/health",
        probe_timeout_s=20.0,
    )

    def make(**changes):
        return replace(plain, **changes)

    return make


@pytest.fixture
def progress():
    """Takes what a deploy says, and keeps it."""
    said = []
    return said.append


@pytest.fixture
def read_logs():
    """Reads all entries of a revision until `wanted` is among them: logs come late, a little."""

    async def entries(client, revision, wanted=lambda entry: True):
        query = LogQuery((revision,), datetime.now(UTC) - timedelta(minutes=5))
        clock = SystemClock()
        for _ in range(600):
            found = [entry async for page in client.entries(query) for entry in page.entries]
            if any(wanted(entry) for entry in found):
                return found
            await clock.sleep(0.05)
        raise AssertionError(f"the entry never came; there are {[entry.message for entry in found]}")

    return entries
