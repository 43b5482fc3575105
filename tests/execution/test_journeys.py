from __future__ import annotations

import asyncio
import http
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from netra_loop.clock import SystemClock
from netra_loop.core.records import Outcome
from netra_loop.core.spec import ConnectStep, ExpectStep, JourneySpec, RequestStep, StepSpec
from netra_loop.errors import TooManyOpenFiles
from netra_loop.execution.base import Finished, Planned, Started
from netra_loop.execution.journeys import JourneyRunner
from tests.test_open_files import room_for

TRACE = "0af7651916cd43dd8448eb211c80319c"
Handler = Callable[[ServerConnection], Awaitable[None]]


class HastyClock(SystemClock):
    """Seconds pass a hundred times faster."""

    def monotonic(self) -> float:
        return super().monotonic() * 100

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


class Backend:
    """A server on loopback whose WebSocket behaviour a test sets, and which remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.received: list[Any] = []
        self.handler: Handler = self.echo
        self.server: Server
        self.gone = asyncio.Event()

    async def echo(self, ws: ServerConnection) -> None:
        async for message in ws:
            self.received.append(json.loads(message))
            await ws.send(message)

    async def serve(self, ws: ServerConnection) -> None:
        try:
            await self.handler(ws)
        finally:
            self.gone.set()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if request.path == "/ws":
            return None
        if request.path == "/threads":
            return self.json(connection, 201, {"id": 7, "items": [{"name": "first"}]})
        if request.path == "/forbidden":
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "token expired\n")
        if request.path == "/moved":
            return Response(302, "Found", Headers({"Location": "/ws"}))
        return connection.respond(http.HTTPStatus.INTERNAL_SERVER_ERROR, "boom\n")

    @staticmethod
    def json(connection: ServerConnection, status: int, value: Any) -> Response:
        response = connection.respond(http.HTTPStatus(status), json.dumps(value))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    @property
    def port(self) -> int:
        return self.server.sockets[0].getsockname()[1]

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    async with serve(backend.serve, "127.0.0.1", 0, process_request=backend.answer) as backend.server:
        yield backend


def render(value: Any, saved: Mapping[str, str]) -> Any:
    return re.sub(r"\$\{saved\.(\w+)\}", lambda found: saved[found[1]], value)


def runner(*steps: StepSpec, timeout_s: float = 60.0, clock: SystemClock | None = None) -> JourneyRunner:
    numbered = tuple(step.model_copy(update={"line": 60 + n}) for n, step in enumerate(steps, start=1))
    journey = JourneySpec(name="progression", steps=numbered)
    return JourneyRunner([journey], render, timeout_s, 2, clock or SystemClock(), source="loops/x.yaml")


async def walk(*steps: StepSpec, timeout_s: float = 60.0, clock: SystemClock | None = None) -> Finished:
    events = [event async for event in runner(*steps, timeout_s=timeout_s, clock=clock).run([planned()])]
    assert [type(event) for event in events] == [Started, Finished]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


def planned(id_: str = "journey::progression", attempt: int = 1) -> Planned:
    return Planned(id_, attempt, TRACE)


def connect(url: str, **headers: str) -> StepSpec:
    return StepSpec(connect=ConnectStep(url=url, headers=headers))


def expect(within_s: float = 5.0, **keys: Any) -> StepSpec:
    return StepSpec(expect=ExpectStep(contains=keys, within_s=within_s))


def send(value: Any) -> StepSpec:
    return StepSpec(send=value)


def sends(*frames: Any, close: tuple[int, str] | None = None) -> Handler:
    async def handler(ws: ServerConnection) -> None:
        for frame in frames:
            await ws.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        if close is not None:
            await ws.close(*close)
        await ws.wait_closed()

    return handler


# ------------------------------------------------------------------------------------------------ what passes


async def test_a_path_through_http_and_websocket_passes(backend: Backend) -> None:
    result = await walk(
        StepSpec(
            request=RequestStep(
                url=f"{backend.http}/threads", status=201, save={"thread": "id", "name": "items.0.name"}
            )
        ),
        connect(backend.ws, Authorization="Bearer ${saved.name}"),
        send({"type": "start", "thread": "${saved.thread}", "text": "thread ${saved.thread}"}),
        expect(thread="${saved.thread}"),
        StepSpec(close=True),
    )
    assert result.outcome is Outcome.PASSED, result.message
    assert backend.received == [{"type": "start", "thread": 7, "text": "thread 7"}]
    assert backend.requests[1].headers["Authorization"] == "Bearer first"
    assert result.output.startswith("1  request GET http://")


async def test_every_request_and_upgrade_is_a_span_of_the_attempts_trace(backend: Backend) -> None:
    await walk(StepSpec(request=RequestStep(url=f"{backend.http}/threads")), connect(backend.ws))
    spans = [request.headers["traceparent"].split("-") for request in backend.requests]
    assert [span[1] for span in spans] == [TRACE, TRACE]
    assert spans[0][2] != spans[1][2]


async def test_frames_before_the_expected_one_are_kept_as_evidence(backend: Backend) -> None:
    backend.handler = sends({"type": "a"}, b"\0\1", "no json", {"type": "b", "header": {"msg_type": "stream", "x": 1}})
    result = await walk(connect(backend.ws), expect(header={"msg_type": "stream"}))
    assert result.outcome is Outcome.PASSED, result.message
    frames = result.evidence.frames
    assert [(frame.kind, frame.direction, frame.event) for frame in frames] == [
        ("open", "sent", None),
        ("text", "received", "a"),
        ("binary", "received", None),
        ("text", "received", None),
        ("text", "received", "b"),
        ("close", "sent", None),
    ]
    assert frames[2].size == 2
    assert frames[-1].code == 1000


async def test_contacts_count_bytes_of_the_peer_as_named(backend: Backend) -> None:
    result = await walk(
        StepSpec(request=RequestStep(url=f"{backend.http}/threads")),
        connect(backend.ws),
        send({"type": "x"}),
        expect(type="x"),
    )
    (contact,) = result.evidence.contacts
    assert (contact.host, contact.port) == ("127.0.0.1", backend.port)
    assert contact.sent > 300
    assert contact.received > 200
    assert contact.first_at < contact.last_at


async def test_frames_kept_are_bounded_and_the_last_are_among_them(backend: Backend) -> None:
    backend.handler = sends(*({"type": "tick", "n": n, "pad": "ä" * 3000} for n in range(1200)), {"type": "end"})
    result = await walk(connect(backend.ws), expect(type="end", within_s=30))
    frames = result.evidence.frames
    assert len(frames) == 1000
    assert frames[-2].event == "end"
    assert max(len((frame.text or "").encode()) for frame in frames) <= 2048
    assert frames[1].size > 3000


# ------------------------------------------------------------------------------------------------ what fails


async def test_a_missing_event_says_where_what_came_instead_and_how_it_ended(backend: Backend) -> None:
    backend.handler = sends(
        {"type": "agent_started"}, {"type": "error", "why": "no model"}, close=(1011, "internal error")
    )
    result = await walk(connect(backend.ws), expect(type="agent_thinking", within_s=10))
    assert result.outcome is Outcome.FAILED
    assert result.message == (
        "expected {type: agent_thinking} within 10 s (step 2 of 2, loops/x.yaml:62), received 2 other frames: "
        'agent_started, error {"type": "error", "why": "no model"}; the socket was closed with 1011 (internal error)'
    )
    assert (result.evidence.frames[-1].code, result.evidence.frames[-1].direction) == (1011, "received")


async def test_the_deadline_is_over_the_step_not_over_each_frame(backend: Backend) -> None:
    async def ticking(ws: ServerConnection) -> None:
        while True:
            await ws.send('{"type": "tick"}')
            await asyncio.sleep(0.01)

    backend.handler = ticking
    result = await walk(connect(backend.ws), expect(type="done", within_s=20), clock=HastyClock())
    assert result.outcome is Outcome.FAILED
    assert result.message is not None
    assert result.message.startswith("expected {type: done} within 20 s (step 2 of 2, loops/x.yaml:62), received ")


async def test_half_a_message_for_ever_meets_the_deadline(backend: Backend) -> None:
    async def half(ws: ServerConnection) -> None:
        ws.transport.write(b"\x81\x7e\x01\x00half")
        await ws.wait_closed()

    backend.handler = half
    result = await walk(connect(backend.ws), expect(type="done", within_s=5), clock=HastyClock())
    assert result.message == "expected {type: done} within 5 s (step 2 of 2, loops/x.yaml:62), received no frame"


async def test_a_lost_connection_is_1006_and_told_apart(backend: Backend) -> None:
    async def drop(ws: ServerConnection) -> None:
        ws.transport.abort()

    backend.handler = drop
    result = await walk(connect(backend.ws), expect(type="done"))
    assert result.message is not None
    assert result.message.endswith("received no frame; the connection was lost without a close frame (1006)")
    assert result.evidence.frames[-1].code == 1006


async def test_a_message_too_big_is_closed_by_us(backend: Backend) -> None:
    backend.handler = sends("x" * (4 * 2**20 + 1))
    result = await walk(connect(backend.ws), expect(type="done"))
    assert result.message is not None
    assert "we closed the socket with 1009" in result.message
    assert result.evidence.frames[-1].direction == "sent"


async def test_a_refused_upgrade_gives_status_and_body(backend: Backend) -> None:
    result = await walk(connect(f"ws://127.0.0.1:{backend.port}/forbidden"))
    assert result.outcome is Outcome.FAILED
    assert result.message is not None
    assert result.message.endswith("the upgrade was refused with 401 Unauthorized: token expired")
    (exchange,) = result.evidence.exchanges
    assert (exchange.status, exchange.body) == (401, "token expired\n")


async def test_an_upgrade_does_not_follow_redirects(backend: Backend) -> None:
    result = await walk(connect(f"ws://127.0.0.1:{backend.port}/moved", Authorization="Bearer x"))
    assert result.message is not None
    assert "refused with 302 Found to /ws, and redirects are not followed" in result.message
    assert len(backend.requests) == 1


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_nobody_there(scheme: str, unused_tcp_port: int) -> None:
    url = f"{scheme}://127.0.0.1:{unused_tcp_port}/"
    result = await walk(connect(url) if scheme == "ws" else StepSpec(request=RequestStep(url=url)))
    assert result.outcome is Outcome.FAILED
    assert result.message is not None
    assert result.message.endswith(f"connection refused by 127.0.0.1:{unused_tcp_port}")
    assert result.evidence.contacts == ()
    assert result.evidence.exchanges[0].status is None


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_process_of_ours_that_may_open_no_more_is_no_failure_of_the_journey(
    scheme: str, unused_tcp_port: int
) -> None:
    url = f"{scheme}://127.0.0.1:{unused_tcp_port}/"
    step = connect(url) if scheme == "ws" else StepSpec(request=RequestStep(url=url))
    await walk(step)  # what is imported and read once is no concern of the limit
    with room_for(0), pytest.raises(TooManyOpenFiles):
        await walk(step)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_name_that_is_not_known(scheme: str) -> None:
    url = f"{scheme}://nowhere.invalid/"
    result = await walk(connect(url) if scheme == "ws" else StepSpec(request=RequestStep(url=url)))
    assert result.message is not None
    assert "host 'nowhere.invalid' is not known (DNS" in result.message


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_tls_to_a_server_without(scheme: str) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"{scheme}://127.0.0.1:{port}/"
        result = await walk(connect(url) if scheme == "wss" else StepSpec(request=RequestStep(url=url)))
    assert result.outcome is Outcome.FAILED
    assert result.message is not None
    assert f"TLS to 127.0.0.1:{port} failed: " in result.message


@pytest.mark.parametrize("url", ["ws:///ws", "http:///x", "nonsense"])
async def test_a_url_without_a_host(url: str) -> None:
    result = await walk(connect(url) if url.startswith("ws") else StepSpec(request=RequestStep(url=url)))
    assert result.outcome in {Outcome.FAILED, Outcome.ERROR}
    assert result.message is not None
    assert "loops/x.yaml:61" in result.message


async def test_an_unexpected_status_tells_both_and_the_body(backend: Backend) -> None:
    result = await walk(StepSpec(request=RequestStep(url=f"{backend.http}/crash", status=201)))
    assert result.message == (
        f"GET {backend.http}/crash answered 500, expected 201 (step 1 of 1, loops/x.yaml:61): boom"
    )
    assert result.evidence.exchanges[0].body == "boom\n"


async def test_saving_what_is_not_there_says_what_is(backend: Backend) -> None:
    result = await walk(StepSpec(request=RequestStep(url=f"{backend.http}/threads", save={"x": "items.0.title"})))
    assert result.message is not None
    assert result.message.endswith("the answer has no 'title' at 'items.0', only [name]")


async def test_sending_without_a_socket(backend: Backend) -> None:
    result = await walk(send("x"))
    assert result.message == (
        "cannot send (step 1 of 1, loops/x.yaml:61): no WebSocket is open, expected a connect step before"
    )


async def test_what_cannot_be_rendered_is_an_error(backend: Backend) -> None:
    result = await walk(connect("${saved.nothing}"))
    assert result.outcome is Outcome.ERROR
    assert result.message == "KeyError (step 1 of 1, loops/x.yaml:61): 'nothing'"
    assert "Traceback" in result.traceback


# ------------------------------------------------------------------------------------------------ limits and ends


async def test_past_its_limit_a_journey_is_a_timeout(backend: Backend) -> None:
    result = await walk(connect(backend.ws), expect(type="x", within_s=900), timeout_s=30, clock=HastyClock())
    assert result.outcome is Outcome.TIMEOUT
    assert result.message == "not finished within 30 s (step 2 of 2, loops/x.yaml:62)"
    given_up = result.evidence.frames[-1]
    assert (given_up.kind, given_up.direction, given_up.code, given_up.reason) == ("close", "sent", None, "given up")
    await backend.gone.wait()


async def test_closing_the_iterator_lets_go_at_once(backend: Backend) -> None:
    connected = asyncio.Event()

    async def silent(ws: ServerConnection) -> None:
        connected.set()
        await ws.wait_closed()

    backend.handler = silent
    async with aclosing(runner(connect(backend.ws), expect(type="x", within_s=900)).run([planned()])) as events:
        assert isinstance(await anext(events), Started)
        await connected.wait()
    await backend.gone.wait()


async def test_each_planned_attempt_gets_exactly_one_outcome(backend: Backend) -> None:
    journeys = runner(connect(backend.ws), send({"type": "x"}), expect(type="x"))
    plan = [planned(attempt=n) for n in range(1, 6)] + [planned("journey::unknown")]
    finished = [event async for event in journeys.run(plan) if isinstance(event, Finished)]
    assert sorted(event.attempt for event in finished if event.outcome is Outcome.PASSED) == [1, 2, 3, 4, 5]
    assert [event.id for event in finished if event.outcome is Outcome.ERROR] == ["journey::unknown"]
    await journeys.close()


async def test_collects_its_journeys() -> None:
    (test,) = (await runner(send("x")).collect()).tests
    assert (test.id, test.path, test.line) == ("journey::progression", "loops/x.yaml", 61)
