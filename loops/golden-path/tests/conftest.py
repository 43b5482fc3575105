"""What the demo's tests share: where the backend is, who the users are, and a chat as a user sees it.

The tests are plain pytest and know nothing of netra-loop but the environment that it gives them. By hand:

    JWT_SECRET=… BACKEND_URL=http://127.0.0.1:8080 pytest loops/golden-path
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import httpx
import jwt
import pytest
from websockets.sync.client import ClientConnection, connect

WAIT_S = 10.0  # for one frame; a loop's own limit on a test may be tighter
MARKERS = {
    "critical": "core platform: without it nobody gets an answer",
    "high": "key features",
    "medium": "important workflows",
}


def pytest_configure(config):
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")  # a backend on this machine is behind no proxy
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def _variable(*names: str) -> str:
    for name in names:
        if value := os.environ.get(name):
            return value
    pytest.fail(f"none of {', '.join(names)} is set; run the tests through `netra-loop run golden-path`", pytrace=False)


class Chat:
    """A WebSocket of one user. `events` holds every frame received so far, in order."""

    def __init__(self, socket: ClientConnection, user: str) -> None:
        self.socket = socket
        self.user = user
        self.events: list[dict] = []

    def send(self, message_type: str, **payload) -> None:
        self.socket.send(json.dumps({"type": message_type, "payload": payload}))

    def receive(self, within: float = WAIT_S) -> dict:
        """The next frame, whatever it is; TimeoutError where none comes."""
        self.events.append(json.loads(self.socket.recv(timeout=within)))
        return self.events[-1]

    def until(self, event_type: str, within: float = WAIT_S) -> dict:
        """The next frame of that type; those before it are kept in `events`."""
        deadline = time.monotonic() + within
        while True:
            event = self.receive(within=max(0.0, deadline - time.monotonic()))
            if event["type"] == event_type:
                return event

    def ask(self, user_request: str, **options) -> dict:
        """Starts an agent and waits for its answer: the payload of agent_completed."""
        self.send("start_agent", user_request=user_request, **options)
        return self.until("agent_completed")["payload"]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@pytest.fixture(scope="session")
def base_url() -> str:
    return _variable("NETRA_LOOP_URL", "BACKEND_URL").rstrip("/")


@pytest.fixture(scope="session")
def ws_url(base_url: str) -> str:
    given = os.environ.get("NETRA_LOOP_WS_URL") or base_url.replace("http", "ws", 1)
    return given.rstrip("/") + "/ws"


@pytest.fixture(scope="session")
def make_token() -> Callable[..., str]:
    """`make_token(user, ttl=…, permissions=…, secret=…)`: a token that staging would take, unless told otherwise."""
    own_secret = _variable("JWT_SECRET")

    def make(user: str, *, ttl: float = 3600, permissions=("agent_execution",), secret: str = own_secret) -> str:
        now = time.time()
        claims = {"sub": user, "iat": int(now) - 1, "exp": int(now + ttl), "permissions": list(permissions)}
        return jwt.encode(claims, secret, algorithm="HS256")

    return make


@pytest.fixture
def user() -> str:
    """A user of this test's own, so that tests can run at the same time against one backend."""
    return f"e2e-user-{uuid4().hex[:8]}"


@pytest.fixture
def bearer(make_token) -> Callable[..., dict]:
    """`bearer(user, …)`: the header that proves who is asking."""

    def make(name: str, **options) -> dict:
        return {"Authorization": f"Bearer {make_token(name, **options)}"}

    return make


@pytest.fixture
def http(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, timeout=WAIT_S) as client:
        yield client


@pytest.fixture
def open_socket(ws_url: str) -> Iterator[Callable[[dict], ClientConnection]]:
    """`open_socket(headers)`: the bare connection; raises InvalidStatus where the backend refuses the upgrade."""
    with ExitStack() as sockets:

        def open_(headers: dict) -> ClientConnection:
            # a short close_timeout: what a test had to say is said by then
            return sockets.enter_context(connect(ws_url, additional_headers=headers, close_timeout=1))

        yield open_


@pytest.fixture
def open_chat(open_socket, bearer) -> Callable[[str], Chat]:
    """`open_chat(user)`: connected, authenticated and greeted."""

    def open_(name: str) -> Chat:
        chat = Chat(open_socket(bearer(name)), name)
        chat.until("connection_established")
        return chat

    return open_


@pytest.fixture
def chat(open_chat, user: str) -> Chat:
    return open_chat(user)
