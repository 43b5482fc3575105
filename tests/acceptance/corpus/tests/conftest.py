"""What the corpus shares: where the services are, a stub that is not one of them, and the truth of each test."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


def pytest_configure(config):
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"


def pytest_collection_modifyitems(items):
    """Writes down what is true, for whoever compares."""
    if "CORPUS_TRUTH" not in os.environ:
        return
    rows = []
    for item in items:
        mark = item.get_closest_marker("truth")
        given = dict(zip(("kind", "reason", "told"), mark.args, strict=False))
        rows.append({**given, **mark.kwargs, "id": item.nodeid})
    Path(os.environ["CORPUS_TRUTH"]).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def base_url():
    return os.environ["NETRA_LOOP_URL"]


@pytest.fixture(scope="session")
def address(base_url):
    """The service's host and port."""
    host, _, port = base_url.rpartition("/")[2].partition(":")
    return host, int(port)


@pytest.fixture(scope="session")
def bearer():
    return {"Authorization": f"Bearer {os.environ['NETRA_LOOP_TOKEN']}"}


@pytest.fixture(scope="session")
def ws_url():
    return os.environ["NETRA_LOOP_WS_URL"] + "/ws"


@pytest.fixture(scope="session")
def faults():
    return os.environ["NETRA_LOOP_URL_FAULTS"]


@pytest.fixture(scope="session")
def faults_ws(faults):
    return faults.replace("http", "ws", 1) + "/ws"


class _Stub(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"status": "ok", "agents": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def stub():
    """The URL of a server that the test itself is: on loopback too, at another port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
