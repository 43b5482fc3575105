"""The places that one suite of client calls runs against.

Always: the embedded cloud as a session starts it, and `netra-loop cloud` on a port of another process. A real project
where NETRA_LOOP_TEST_PROJECT, NETRA_LOOP_TEST_REGION and NETRA_LOOP_TEST_IMAGE name one and an image that answers GET /
with 2xx; with the first alone, what is missing is an error. Without it there is no such parameter.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.api_core.exceptions import NotFound

from netra_loop.clock import SystemClock
from netra_loop.cloud.base import DeployRequest
from netra_loop.cloud.embedded.launch import start_embedded
from netra_loop.cloud.google import CloudRun
from netra_loop.cloud.google_link import Link
from netra_loop.cloud.log_reads import ReadBudget

REAL = "NETRA_LOOP_TEST_PROJECT"
PLACES = ["embedded", "endpoint", *(["google"] if os.environ.get(REAL) else [])]
SERVICE = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["K_REVISION"].encode())

    def log_message(self, *args):
        pass

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class Place:
    """Where the suite runs: `patience_s` is for what comes late there, log entries above all."""

    endpoint: str | None
    project: str
    region: str
    patience_s: float
    source: Path
    token: str | None = None
    image: str | None = None
    _made: list = field(default_factory=list)

    def client(self):
        clock = SystemClock()
        reads = None if self.endpoint is None else ReadBudget(clock, 10_000)
        self._made.append(CloudRun(self.endpoint, self.project, self.region, clock, token=self.token, reads=reads))
        return self._made[-1]

    async def link(self):
        """The bare clients, for what our own client would never do."""
        link = Link(self.endpoint, self.token)
        await link.ready()
        self._made.append(link)
        return link

    def name(self, service):
        return f"projects/{self.project}/locations/{self.region}/services/{service}"

    def request(self, service, **changes):
        """A deploy of the little service: its image where there is one, else the command that starts it."""
        command = () if self.image else (sys.executable, "app.py")
        given = {"session": "conformance-20250101-120000-abcd", "iteration": 1, "source": str(self.source)}
        given |= {"command": command, "image": self.image, "probe_path": "/", "probe_timeout_s": 60.0}
        return DeployRequest(service=service, **(given | changes))

    def failing(self, service, **changes):
        """The same with a container that ends at once."""
        return self.request(service, command=("/bin/false",), **changes)

    async def leave(self, service):
        for made in self._made:
            await made.close()
        self._made.clear()
        if self.endpoint is None:  # a real project is left as it was found
            link = await self.link()
            with contextlib.suppress(NotFound):
                await link.services.delete_service(name=self.name(service), timeout=60)
            await link.close()
            self._made.clear()


def on_embedded(folder, source):
    with asyncio.Runner() as runner:
        server = runner.run(start_embedded(folder / "cloud"))
        yield Place(server.endpoint, "demo", "local", 20.0, source)
        runner.run(server.stop())


def on_endpoint(folder, source):
    command = [sys.executable, "-m", "netra_loop.cli.main", "cloud", "--port", "0", "--json", "--folder", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with server.stdout:
        told = json.loads(server.stdout.readline())
    yield Place(told["endpoint"], "demo", "local", 20.0, source, token=told["token"])
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=30) == 0


def on_google(folder, source):
    del folder
    wanted = {name: os.environ.get(f"NETRA_LOOP_TEST_{name}", "") for name in ("PROJECT", "REGION", "IMAGE")}
    missing = [f"NETRA_LOOP_TEST_{name}" for name, value in wanted.items() if not value]
    assert not missing, f"{REAL} asks for a real project, and {', '.join(missing)} must be set, too"
    yield Place(None, wanted["PROJECT"], wanted["REGION"], 120.0, source, image=wanted["IMAGE"])


@pytest.fixture(scope="session", params=PLACES)
def shared_place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    source = tmp_path_factory.mktemp("source")
    (source / "app.py").write_text(SERVICE)
    yield from {"embedded": on_embedded, "endpoint": on_endpoint, "google": on_google}[request.param](folder, source)


@pytest.fixture
def service():
    """A service of the test's own."""
    return f"nl-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def place(shared_place, service):
    yield shared_place
    await shared_place.leave(service)


@pytest.fixture
def cloud(place):
    return place.client()


@pytest.fixture
def progress():
    return [].append
