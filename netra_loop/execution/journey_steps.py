"""One walk through a journey's steps: requests, a WebSocket, what is expected of them.

An expectation that does not hold, and a connection that cannot be made or is lost, raise `StepFailed`; anything else
that is raised (a `${…}` that cannot be filled, an impossible header) is an error of the journey itself.
"""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from netra_loop.clock import Clock, Elapsed, within
from netra_loop.core.records import Exchange
from netra_loop.core.spec import ConnectStep, ExpectStep, JourneySpec, RequestStep, StepSpec
from netra_loop.execution.connection_errors import explain, short
from netra_loop.execution.journey_requests import Requests
from netra_loop.execution.journey_socket import Message, Socket, open_socket
from netra_loop.execution.journey_trail import Trail, clip_bytes
from netra_loop.execution.journey_values import Render, as_text, contains, dig, fill, seconds, show
from netra_loop.open_files import behind

CONNECT_S = 30.0
LABELS_MAX = 8


class StepFailed(Exception):
    """A step's expectation does not hold. The text is the whole message, one line."""


class Walk:
    """The state of one attempt. `run` once, then `close` (or `abort`, without any politeness)."""

    def __init__(
        self,
        journey: JourneySpec,
        trace_id: str,
        *,
        source: str,
        render: Render,
        clock: Clock,
        context: Callable[[], ssl.SSLContext],
    ) -> None:
        self.trail = Trail(clock)
        self.lines: list[str] = []
        self._journey = journey
        self._trace_id = trace_id
        self._source = source
        self._render = render
        self._clock = clock
        self._context = context
        self._requests = Requests(self.trail, clock, context)
        self._socket: Socket | None = None
        self._saved: dict[str, Any] = {}
        self._number = 0

    @property
    def place(self) -> str:
        """Where the walk is: `step 4 of 7, loops/x.yaml:61`."""
        steps = self._journey.steps
        line = steps[self._number - 1].line if self._number else 0
        where = f"{self._source}:{line}" if self._source else f"line {line}"
        return f"step {self._number} of {len(steps)}" + (f", {where}" if line else "")

    async def run(self) -> None:
        """Takes the steps in their order. Raises StepFailed at the first that does not hold. Safe to cancel."""
        for number, step in enumerate(self._journey.steps, start=1):
            self._number = number
            began = self._clock.monotonic()
            await self._take(step)
            self.lines.append(f"{number}  {describe(step)}  {self._clock.monotonic() - began:.3f} s")

    async def close(self) -> None:
        """Closes what is open, politely, within a few seconds. Safe to repeat."""
        if self._socket is not None:
            await self._socket.close()
        await self._requests.close()

    async def abort(self) -> None:
        """Lets go of what is open at once. Safe to repeat."""
        if self._socket is not None:
            await self._socket.abort()
        await self._requests.close()

    async def _take(self, step: StepSpec) -> None:
        if step.request is not None:
            await self._request(step.request)
        elif step.connect is not None:
            await self._connect(step.connect)
        elif step.expect is not None:
            await self._expect(step.expect)
        elif step.close:
            await self._open("close").close()
        else:
            await self._send(step.send)

    def _fill(self, value: Any) -> Any:
        return fill(value, self._saved, self._render)

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        """The step's own headers, and the trace: each request is a span of the attempt's trace."""
        headers = {str(name): as_text(value) for name, value in self._fill(dict(given)).items()}
        if not any(name.lower() == "traceparent" for name in headers):
            headers["traceparent"] = f"00-{self._trace_id}-{secrets.token_hex(8)}-01"
        return headers

    def _open(self, wanted: str) -> Socket:
        if self._socket is None:
            raise StepFailed(f"cannot {wanted} ({self.place}): no WebSocket is open, expected a connect step before")
        return self._socket

    # ------------------------------------------------------------------------------------------------ HTTP

    async def _request(self, step: RequestStep) -> None:
        url, body = self._fill(step.url), self._fill(step.json_body)
        what = f"{step.method} {url}"
        request = self._requests.build(step.method, url, self._headers(step.headers), body)
        try:
            answer = await within(self._clock, step.within_s, self._requests.send(request))
        except Elapsed:
            raise StepFailed(f"{what} gave no answer within {seconds(step.within_s)} ({self.place})") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise StepFailed(f"{what} failed ({self.place}): {explain(error, url)}") from error
        wrong = answer.status != step.status if step.status is not None else answer.status >= 400
        if wrong:
            expected = step.status if step.status is not None else "a status below 400"
            told = f": {short(answer.body)}" if answer.body else ""
            raise StepFailed(f"{what} answered {answer.status}, expected {expected} ({self.place}){told}")
        self._save(step, what, answer.body, cut=answer.cut)

    def _save(self, step: RequestStep, what: str, body: bytes, *, cut: bool) -> None:
        if not step.save:
            return
        if cut:
            raise StepFailed(f"{what} answered more than {len(body)} bytes, too many to save from ({self.place})")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            raise StepFailed(f"{what} answered no JSON to save from ({self.place}): {short(body)}") from None
        for name, path in step.save.items():
            try:
                self._saved[name] = dig(value, path)
            except LookupError as error:
                raise StepFailed(
                    f"cannot save {name!r} from {path!r} of {what} ({self.place}): the answer has {error.args[0]}",
                ) from None

    # ------------------------------------------------------------------------------------------------ WebSocket

    async def _connect(self, step: ConnectStep) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        url = self._fill(step.url)
        headers = self._headers(step.headers)
        protocols = self._fill(step.subprotocols)
        started_at, began = self._clock.now(), self._clock.monotonic()
        try:
            opening = open_socket(url, headers, protocols, self.trail, self._clock, self._context)
            self._socket = await within(self._clock, CONNECT_S, opening)
        except Elapsed:
            why, status, body = f"no upgrade within {seconds(CONNECT_S)}", None, None
        except (WebSocketException, OSError, EOFError, ValueError) as error:
            if behind(error) is not None:
                raise  # no word of the server's
            why = explain(error, url)
            answer = getattr(error, "response", None)
            status = answer.status_code if answer is not None else None
            body = clip_bytes((answer.body or b"").decode("utf-8", "replace")) or None if answer is not None else None
        else:
            return
        duration_s = self._clock.monotonic() - began
        self.trail.exchange(Exchange("GET", url, status, started_at, duration_s, error=why, body=body))
        raise StepFailed(f"cannot connect to {url} ({self.place}): {why}")

    async def _send(self, value: Any) -> None:
        socket, filled = self._open("send"), self._fill(value)
        text = filled if isinstance(filled, str) else json.dumps(filled, ensure_ascii=False)
        if not await socket.send(text):
            raise StepFailed(f"cannot send {show(filled)} ({self.place}): {socket.ending}")

    async def _expect(self, step: ExpectStep) -> None:
        socket, expected = self._open("expect"), self._fill(step.contains)
        others = _Others()
        wanted = f"expected {show(expected)} within {seconds(step.within_s)} ({self.place})"
        try:
            met = await within(self._clock, step.within_s, _await_frame(socket, expected, others))
        except Elapsed:
            raise StepFailed(f"{wanted}, {others}") from None
        if not met:
            raise StepFailed(f"{wanted}, {others}; {socket.ending}")


class _Others:
    """The messages that came instead: how many, and what the first of them were."""

    def __init__(self) -> None:
        self.count = 0
        self.labels: list[str] = []

    def add(self, message: Message) -> None:
        self.count += 1
        if self.count <= LABELS_MAX:
            self.labels.append(message.label)

    def __str__(self) -> str:
        if not self.count:
            return "received no frame"
        more = ", …" if self.count > LABELS_MAX else ""
        frames = "frame" if self.count == 1 else "frames"
        return f"received {self.count} other {frames}: {', '.join(self.labels)}{more}"


async def _await_frame(socket: Socket, expected: Any, others: _Others) -> bool:
    while (message := await socket.next()) is not None:
        if contains(message.value, expected):
            return True
        others.add(message)
    return False


def describe(step: StepSpec) -> str:
    """A step in a few words, its `${…}` as they stand in the loop file."""
    if step.request is not None:
        return f"request {step.request.method} {step.request.url}"
    if step.connect is not None:
        return f"connect {step.connect.url}"
    if step.expect is not None:
        return f"expect {show(step.expect.contains)}"
    return "close" if step.close else f"send {show(step.send)}"
