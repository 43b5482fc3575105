"""A server to talk to, and tests that talk to it while they are observed."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

# what a worker does with a test, without the pool: the observers are put in place before anything is imported
OBSERVER = """
import json, sys
from netra_loop.agent import evidence, observers
observers.install()
import pytest

class Observer:
    def __init__(self):
        self.seen, self.told = {}, {}
    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        name, told = item.nodeid.split("::", 1)[1], []
        trace = f"{len(self.seen) + 1:032x}"
        evidence.begin(trace, lambda news: told.append(news()), sys.argv[1] + ".forks")
        yield
        self.seen[name] = {**evidence.end(), "trace": trace}
        self.told[name] = [message for message in told if message is not None]
    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        if report.failed:
            sys.stderr.write(str(report.longrepr) + "\\n")

observer = Observer()
code = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[observer])
with open(sys.argv[1], "w") as file:
    json.dump({"code": int(code), "seen": observer.seen, "told": observer.told}, file)
"""


@dataclass
class Observed:
    """What was seen of each test, by its name; and the messages told while it ran."""

    seen: dict[str, Any]
    told: dict[str, Any]


def observe(folder: Path, body: str, *options: str, **variables: str) -> Observed:
    """Runs the tests of `body`, which finds `variables` as globals, in an interpreter of their own: all must pass."""
    head = "".join(f"{name} = {value!r}\n" for name, value in variables.items())
    (folder / "test_observed.py").write_text(head + textwrap.dedent(body))
    found = folder / "seen.json"
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, "-c", OBSERVER, str(found), *options, f"--rootdir={folder}", "test_observed.py"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert found.exists(), done.stdout + done.stderr
    result = json.loads(found.read_text())
    assert result["code"] == 0, done.stdout[-8000:] + done.stderr[-4000:]
    return Observed(result["seen"], result["told"])


@dataclass
class Backend:
    """A server of HTTP and of WebSockets, both plain and over TLS, that remembers what it was asked."""

    ca: str
    traces: dict[str, list[str]] = field(default_factory=dict)  # by path: each traceparent that came
    peers: dict[str, int] = field(default_factory=dict)  # by path: the client's port
    ports: dict[str, int] = field(default_factory=dict)

    def addresses(self) -> dict[str, str]:
        return {
            "CA": self.ca,
            "HTTP": f"http://localhost:{self.ports['http']}",
            "HTTPS": f"https://localhost:{self.ports['https']}",
            "WS": f"ws://localhost:{self.ports['ws']}",
            "WSS": f"wss://localhost:{self.ports['wss']}",
        }

    def saw(self, path: str, headers: list[str], peer: int) -> None:
        self.traces.setdefault(path, []).extend(headers)
        self.peers[path] = peer


def handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            backend.saw(self.path, self.headers.get_all("traceparent") or [], self.client_address[1])
            if "redirect" in self.path:
                self._answer(302, b"", Location="/landed" + self.path.replace("redirect", "to"))
            elif "broken" in self.path:
                self._answer(503, b'{"detail": "out of order"}')
            elif "pieces" in self.path:
                self.send_response(500)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"4\r\nhalf\r\n5\r\n done\r\n0\r\n\r\n")
            else:
                self._answer(200, b"x" * 100)

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def talk(connection: ServerConnection, backend: Backend) -> None:
    request = connection.request
    assert request is not None
    path = request.path
    backend.saw(path, request.headers.get_all("traceparent"), connection.remote_address[1])
    connection.send(json.dumps({"type": "connection_established"}))
    if "polite" in path:
        connection.recv()
        connection.send(b"12345")
        connection.recv()
    elif "parts" in path:
        connection.send(['{"type": "agent_', 'thinking", "x": "', "y" * 50, '"}'])
        connection.recv()
    elif "crash" in path:
        connection.send(json.dumps({"type": "error", "message": "no model"}))
        connection.close(1011, "internal error")
    elif "cut" in path:
        connection.recv()
        connection.socket.shutdown(2)


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    authority = trustme.CA()
    ca = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    made = Backend(str(ca))

    def speak(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            talk(connection, made)

    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(401, "who are you?") if "refused" in request.path else None

    with contextlib.ExitStack() as stack:
        for name in ("http", "https"):
            http = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
            if name == "https":
                http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
            made.ports[name] = http.server_address[1]
            threading.Thread(target=http.serve_forever, daemon=True).start()
            stack.callback(http.server_close)
            stack.callback(http.shutdown)
        for name in ("ws", "wss"):
            tls = context if name == "wss" else None
            ws = serve(speak, "127.0.0.1", 0, ssl=tls, process_request=refuse)
            made.ports[name] = ws.socket.getsockname()[1]
            threading.Thread(target=ws.serve_forever, daemon=True).start()
            stack.callback(ws.shutdown)
        yield made


@pytest.fixture(scope="session")
def watch(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Callable[..., Observed]:
    """`observe` in a folder of its own; the body finds the server's addresses."""

    def run(body: str, *options: str) -> Observed:
        return observe(tmp_path_factory.mktemp("observed"), body, *options, **backend.addresses())

    return run
