"""`TailLogEntries`: entries as they come, for as long as somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.cloud.logging_v2.types import TailLogEntriesRequest, TailLogEntriesResponse

from netra_loop.cloud.embedded.entry_form import fill
from netra_loop.cloud.embedded.knobs import KnobFile
from netra_loop.cloud.embedded.log_pages import ReadQuota, wanted_of
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.matching import Node
from netra_loop.cloud.embedded.refusals import Refused

_DEFAULT_WINDOW_S = 2.0
_LONGEST_WINDOW_S = 60.0
_LONGEST_TAIL_S = 3600.0
_MOST_HELD = 10_000
_MOST_A_MINUTE = 60_000  # entries that listeners get, all together
_MOST_AT_ONCE = 1000
_MINUTE_S = 60.0
_Reason = TailLogEntriesResponse.SuppressionInfo.Reason


class Tails:
    """All open tails. `close` ends them: a server that stops waits for them otherwise.

    Of the entries that wait for one listener at most `most_held` are kept; it is told how many others there were.
    """

    def __init__(self, store: LogStore, knobs: KnobFile, quota: ReadQuota, most_held: int = _MOST_HELD) -> None:
        self._most_held = most_held
        self._store = store
        self._knobs = knobs
        self._quota = quota
        self._open: set[_Tail] = set()
        self._closing = False
        self._sent: deque[float] = deque()

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """What the server is given."""
        return grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=TailLogEntriesRequest.deserialize,
            response_serializer=TailLogEntriesResponse.serialize,
        )

    def close(self) -> None:
        """Ends them all; no other is opened."""
        self._closing = True
        for tail in self._open:
            tail.news.set()

    async def _serve(self, requests: AsyncIterator[TailLogEntriesRequest], context: Any) -> Any:
        try:
            async for response in self.tail(requests):
                yield response
        except Refused as refused:
            await context.abort(refused.code, str(refused), refused.trailing())

    async def tail(self, requests: AsyncIterator[TailLogEntriesRequest]) -> AsyncIterator[TailLogEntriesResponse]:
        """What the first request asks for. Ends by raising Refused, as Google's do: after the longest time there is,
        or with the server.
        """
        request = await anext(requests, None)
        if request is None:
            raise Refused("INVALID_ARGUMENT", "the stream ended without a request")
        wanted, window_s = wanted_of(request.resource_names, request.filter), _window_of(request)
        knobs = self._knobs.now()
        if len(self._open) >= knobs.tail_sessions:
            raise Refused("RESOURCE_EXHAUSTED", f"{len(self._open)} tails are open, expected fewer to open another")
        self._quota.take(knobs)
        longest_s = _LONGEST_TAIL_S if knobs.drop_tail_after_s is None else knobs.drop_tail_after_s
        end = time.monotonic() + longest_s
        tail = _Tail(wanted, window_s, self._most_held)
        self._open.add(tail)
        quiet = self._store.listen(tail.hear)
        try:
            while not self._closing and time.monotonic() < end:
                response = tail.response(self._room())
                if response is not None:
                    yield response
                    continue
                await tail.wait(end)
        finally:
            quiet()
            self._open.discard(tail)
        if self._closing:
            raise Refused("UNAVAILABLE", "the server is going away")
        raise Refused("OUT_OF_RANGE", f"the tail reached its longest duration of {longest_s:g} s: open another")

    def _room(self) -> _Room:
        now = time.monotonic()
        while self._sent and now - self._sent[0] >= _MINUTE_S:
            self._sent.popleft()
        return _Room(self._sent, now)


class _Room:
    """What may still be sent in this minute."""

    def __init__(self, sent: deque[float], now: float) -> None:
        self._sent = sent
        self._now = now

    def take(self) -> bool:
        """Room for one entry."""
        if len(self._sent) >= _MOST_A_MINUTE:
            return False
        self._sent.append(self._now)
        return True


class _Tail:
    """One listener: what it wants, and what waits for it."""

    def __init__(self, wanted: Node, window_s: float, most_held: int) -> None:
        self._most_held = most_held
        self.news = asyncio.Event()
        self._wanted = wanted
        self._window_ns = round(window_s * 10**9)
        self._held: list[tuple[int, int, dict[str, Any]]] = []
        self._numbers = itertools.count()
        self._lost: Counter[int] = Counter()

    def hear(self, entry: dict[str, Any], readable_ns: int) -> None:
        """Takes in an entry that has just come."""
        if not self._wanted.matches(entry):
            return
        if len(self._held) >= self._most_held:
            self._lost[_Reason.NOT_CONSUMED] += 1
            return  # told with the next response
        number = next(self._numbers)
        heapq.heappush(self._held, (readable_ns, number, entry))
        if self._held[0][1] == number:  # what is waited for has changed
            self.news.set()

    async def wait(self, end: float) -> None:
        """Until there may be something to send, or `end` (monotonic) has come."""
        until_s = end - time.monotonic()
        if self._held:
            until_s = min(until_s, (self._held[0][0] + self._window_ns - time.time_ns()) / 10**9)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until_s)):
                await self.news.wait()
        self.news.clear()

    def response(self, room: _Room) -> TailLogEntriesResponse | None:
        """Once the first has waited for the window, all that can be read, in order of time; None until then."""
        now_ns = time.time_ns()
        if not self._held or self._held[0][0] + self._window_ns > now_ns:
            return None
        due: list[dict[str, Any]] = []
        while self._held and self._held[0][0] <= now_ns and len(due) < _MOST_AT_ONCE:
            entry = heapq.heappop(self._held)[2]
            if room.take():
                due.append(entry)
            else:
                self._lost[_Reason.RATE_LIMIT] += 1
        due.sort(key=lambda entry: (entry["timestamp"], entry["insertId"]))
        response = TailLogEntriesResponse()
        for entry in due:
            fill(TailLogEntriesResponse.pb(response).entries.add(), entry)
        for reason, count in self._lost.items():
            told = TailLogEntriesResponse.SuppressionInfo(reason=reason, suppressed_count=count)
            response.suppression_info.append(told)
        self._lost.clear()
        return response


def _window_of(request: TailLogEntriesRequest) -> float:
    message = TailLogEntriesRequest.pb(request)
    if not message.HasField("buffer_window"):
        return _DEFAULT_WINDOW_S
    window_s = float(message.buffer_window.seconds + message.buffer_window.nanos / 1e9)
    if not 0 <= window_s <= _LONGEST_WINDOW_S:
        raise Refused("INVALID_ARGUMENT", f"buffer_window is {window_s:g} s, expected 0 to {_LONGEST_WINDOW_S:g} s")
    return window_s
