"""The demo service as a real process: the golden path, its two defects, and the demo's own suite against it."""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "loops" / "golden-path"
SECRET = "a secret for these tests, longer than 32 bytes"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Service:
    """A started service. `entries` holds the log entries read so far."""

    def __init__(self, defect: str) -> None:
        environment = {
            **os.environ,
            "PORT": "0",
            "JWT_SECRET": SECRET,
            "DEFECT": defect,
            "K_SERVICE": "backend",
            "K_REVISION": "backend-00001-abc",
            "GOOGLE_CLOUD_PROJECT": "demo",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent_backend"],
            cwd=DEMO / "service",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.entries: list[dict] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def entry(self, wanted: str, within: float = 30.0) -> dict:
        """The next log entry whose message starts so; queue.Empty where none comes."""
        deadline = time.monotonic() + within
        while True:
            entry = json.loads(self._lines.get(timeout=max(0.0, deadline - time.monotonic())))
            self.entries.append(entry)
            if entry["message"].startswith(wanted):
                return entry

    def end(self) -> int:
        """SIGTERM; the exit code. Killed where it takes longer than 30 s, which raises TimeoutExpired."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            if self.process.stdout is not None:
                self.process.stdout.close()


class Running:
    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.url = f"http://127.0.0.1:{port}"
        self._ws_url = f"ws://127.0.0.1:{port}/ws"

    def connect(self, user: str = "alice", **headers: str) -> ClientConnection:
        claims = {"sub": user, "exp": int(time.time()) + 60, "permissions": ["agent_execution"]}
        bearer = {"Authorization": "Bearer " + jwt.encode(claims, SECRET, algorithm="HS256")}
        return connect(self._ws_url, additional_headers={**bearer, **headers}, close_timeout=1, proxy=None)

    def connect_anonymously(self) -> ClientConnection:
        return connect(self._ws_url, proxy=None)


@pytest.fixture
def start() -> Iterator[Callable[[str], Running]]:
    started: list[Service] = []

    def start_(defect: str) -> Running:
        service = Service(defect)
        started.append(service)
        return Running(service, service.entry("listening")["port"])

    yield start_
    for service in started:
        assert service.end() == 0


def start_agent(socket: ClientConnection, user_request: str = "what is 6 * 7?") -> None:
    socket.send(json.dumps({"type": "start_agent", "payload": {"user_request": user_request}}))


def read_to_the_end(socket: ClientConnection) -> None:
    while True:
        socket.recv(timeout=30)


def test_health_names_the_revision(start):
    answer = httpx.get(start("").url + "/health", trust_env=False)
    assert (answer.status_code, answer.json()["revision"]) == (200, "backend-00001-abc")


def test_the_golden_path_ends_with_the_answer(start):
    with start("").connect() as socket:
        start_agent(socket)
        events = []
        while not events or events[-1]["type"] != "agent_completed":
            events.append(json.loads(socket.recv(timeout=30)))
    assert [event["type"] for event in events] == [
        "connection_established",
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "agent_partial",
        "agent_completed",
    ]
    assert events[-1]["payload"]["answer"] == "42"


def test_nobody_gets_in_without_a_token(start):
    with pytest.raises(InvalidStatus) as refusal:
        start("").connect_anonymously()
    assert refusal.value.response.status_code == 401


def test_defect_orchestrator_closes_with_1011_and_logs_the_place(start):
    running = start("orchestrator")
    with running.connect(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01") as socket:
        start_agent(socket)
        received = [json.loads(socket.recv(timeout=30))["type"] for _ in range(2)]
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=30)
    assert received == ["connection_established", "agent_started"]
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    entry = running.service.entry("websocket session failed")
    places = [line for line in entry["message"].splitlines() if line.startswith("  File ")]
    assert entry["severity"] == "ERROR"
    assert "agent_service_core.py" in places[-1]
    assert entry["message"].endswith("\nAttributeError: 'NoneType' object has no attribute 'execute'")
    assert entry["logging.googleapis.com/trace"] == f"projects/demo/traces/{TRACE}"


def test_the_trace_is_also_read_from_googles_own_header(start):
    running = start("")
    with running.connect(**{"X-Cloud-Trace-Context": f"{TRACE}/123;o=1"}) as socket:
        start_agent(socket)
        entry = running.service.entry("agent run completed")
    assert entry["logging.googleapis.com/trace"] == f"projects/demo/traces/{TRACE}"
    assert entry["user_id"] == "alice"


def test_defect_blocked_says_nothing_after_agent_started(start):
    running = start("blocked")
    with running.connect() as socket:
        start_agent(socket)
        assert [json.loads(socket.recv(timeout=30))["type"] for _ in range(2)] == [
            "connection_established",
            "agent_started",
        ]
        # the service itself says when a run has waited too long: nothing was sent until then, and the socket is open
        assert running.service.entry("agent run still waits")["severity"] == "WARNING"
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0)
        socket.send('{"type": "ping"}')
        assert json.loads(socket.recv(timeout=30))["type"] == "pong"
    assert all(entry["severity"] != "ERROR" for entry in running.service.entries)


def test_sigterm_ends_a_busy_service_and_says_goodbye(start):
    running = start("")
    with running.connect() as socket:
        start_agent(socket, "find tracing")
        assert "connection_established" in socket.recv(timeout=30)
        assert "agent_started" in socket.recv(timeout=30)
        assert running.service.end() == 0
        with pytest.raises(ConnectionClosedOK) as closed:
            read_to_the_end(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DEFECT", "orchestrater", "'orchestrater', expected one of '', 'orchestrator', 'blocked'"),
        ("JWT_SECRET", "demo", "JWT_SECRET has 4 bytes, expected at least 32 bytes"),
        ("PORT", "http", "PORT is 'http', expected a number from 0 to 65535"),
    ],
)
def test_an_unusable_environment_is_named_and_ends_with_2(variable, value, said):
    environment = {**os.environ, "JWT_SECRET": SECRET, "PORT": "0", variable: value}
    ended = subprocess.run(
        [sys.executable, "-m", "agent_backend"],
        cwd=DEMO / "service",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert said in json.loads(ended.stdout)["message"]


def test_the_demos_own_suite_passes_against_it(start):
    running = start("")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NETRA_LOOP_")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "loops/golden-path", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**environment, "BACKEND_URL": running.url, "JWT_SECRET": SECRET, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed is not None
    assert int(passed[1]) >= 25
