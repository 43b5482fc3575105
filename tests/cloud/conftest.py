"""A real embedded cloud in a process of its own, a tiny real service, and the real client between them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from netra_loop import processes
from netra_loop.clock import SystemClock
from netra_loop.cloud.base import DeployRequest, LogQuery
from netra_loop.cloud.embedded.instance import MARK, SERVER_ONLY

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
    folder = tmp_path_factory.mktemp("embedded")
    command = [sys.executable, "-m", "netra_loop.cloud.embedded", "--state", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | SERVER_ONLY)
    with server.stdout:
        yield json.loads(server.stdout.readline())["endpoint"]
    server.terminate()
    assert server.wait(timeout=60) == 0
    assert processes.carrying(MARK, str(folder)) == []


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
