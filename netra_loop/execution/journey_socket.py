"""One WebSocket of a journey: read all the time, so that each frame has its true time and no ping goes unanswered."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.typing import Subprotocol

from netra_loop.clock import Clock
from netra_loop.core.records import Frame
from netra_loop.execution.connection_errors import is_loopback, peer
from netra_loop.execution.journey_trail import Trail, clip, event_of, parse
from netra_loop.values import dataclass

MESSAGE_MAX = 4 * 2**20
UNREAD_MAX = 2**20
CLOSE_S = 2.0

_MEANINGS = {
    1000: "normal",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension expected",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}


@dataclass(frozen=True)
class Message:
    """What came in: the raw data, its JSON value (None: not JSON) and the event it names."""

    data: str | bytes
    value: Any
    event: str | None

    @property
    def label(self) -> str:
        """The event, with its text where it speaks of an error, else the text itself, shortened."""
        if isinstance(self.data, bytes):
            return f"binary of {len(self.data)} bytes"
        text = clip(" ".join(self.data[:400].split()), 200)
        if self.event is None:
            return text or "an empty text"
        return f"{self.event} {text}" if "error" in self.event.lower() else self.event


@dataclass(frozen=True)
class Ending:
    """How the socket ended. `by_us`: this side closed first, without a code where it just let go. Code 1006 stands for
    an end without a close frame that was not ours.
    """

    code: int | None
    reason: str
    by_us: bool

    def __str__(self) -> str:
        if self.code is None:
            return f"we gave the connection up ({self.reason})"
        if self.code == 1006:
            return "the connection was lost without a close frame (1006)"
        meaning = self.reason or _MEANINGS.get(self.code)
        told = f"{self.code} ({clip(meaning, 200)})" if meaning else f"{self.code}"
        return f"we closed the socket with {told}" if self.by_us else f"the socket was closed with {told}"


class _NoRedirect(connect):
    """An upgrade that is redirected fails: credentials must not travel to another place."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Socket:
    """An open WebSocket. Made by `open_socket`; must be ended by `close` or `abort`."""

    def __init__(self, connection: ClientConnection, url: str, trail: Trail, clock: Clock) -> None:
        self.url = url
        self.ending: Ending | None = None
        self._connection = connection
        self._trail = trail
        self._clock = clock
        self._unread: deque[Message] = deque()
        self._unread_size = 0
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()
        self._discarding = False
        self._pump = asyncio.create_task(self._read())

    async def send(self, data: str) -> bool:
        """Sends a text message; False where the socket had ended (see `ending`)."""
        try:
            await self._connection.send(data)
        except ConnectionClosed:
            await asyncio.wait({self._pump})
            return False
        self._trail.message(self.url, "sent", data, parse(data))
        return True

    async def next(self) -> Message | None:
        """The next message not yet taken, in the order of arrival; None once the socket has ended. Safe to cancel."""
        while not self._unread:
            if self._pump.done():
                self._pump.result()
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._unread.popleft()
        self._unread_size -= len(message.data)
        self._taken.set()
        return message

    async def close(self) -> None:
        """Closes with 1000 and waits for the answer, 2 s at most. Safe to repeat."""
        self._discarding = True
        self._taken.set()
        await self._connection.close()
        await asyncio.wait({self._pump})
        if not self._pump.cancelled():
            self._pump.result()

    async def abort(self) -> None:
        """Lets go at once, without a closing handshake. Safe to repeat."""
        self._pump.cancel()
        self._connection.transport.abort()
        await asyncio.wait({self._pump})
        if self.ending is None:
            self._note(Ending(None, "given up", by_us=True))

    async def _read(self) -> None:
        try:
            while True:
                data = await self._connection.recv()
                value = parse(data) if isinstance(data, str) else None
                self._trail.message(self.url, "received", data, value)
                await self._keep(Message(data, value, event_of(value)))
        except ConnectionClosed as closed:
            self._ended(closed)
        finally:
            self._arrived.set()

    async def _keep(self, message: Message) -> None:
        """Waits for room first, so that a server which floods us is slowed down instead of filling memory."""
        while self._unread and self._unread_size + len(message.data) > UNREAD_MAX and not self._discarding:
            self._taken.clear()
            await self._taken.wait()
        if not self._discarding:
            self._unread.append(message)
            self._unread_size += len(message.data)
            self._arrived.set()

    def _ended(self, closed: ConnectionClosed) -> None:
        by_us = closed.sent is not None and (closed.rcvd is None or closed.rcvd_then_sent is False)
        close: Close | None = closed.sent if by_us else closed.rcvd
        self._note(Ending(close.code, close.reason, by_us) if close else Ending(1006, "", by_us=False))

    def _note(self, ending: Ending) -> None:
        self.ending = ending
        self._trail.frame(
            Frame(
                url=self.url,
                kind="close",
                direction="sent" if ending.by_us else "received",
                at=self._clock.now(),
                code=ending.code,
                reason=ending.reason or None,
            ),
        )


async def open_socket(
    url: str,
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    trail: Trail,
    clock: Clock,
    context: Callable[[], ssl.SSLContext],
) -> Socket:
    """Connects and upgrades. Raises what websockets and asyncio raise, and ValueError for a URL without a host.

    No pings of ours are sent: a step's own deadline says when the server was silent for too long. Safe to cancel.
    """
    host, port = peer(url)
    secure: dict[str, Any] = {"ssl": context()} if url.lower().startswith("wss:") else {}
    opener = _NoRedirect(
        url,
        additional_headers=list(headers.items()),
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        create_connection=_counting(lambda sent, received: trail.talked(host, port, sent=sent, received=received)),
        proxy=None if is_loopback(host) else True,
        open_timeout=None,
        ping_interval=None,
        close_timeout=CLOSE_S,
        max_size=MESSAGE_MAX,
        max_queue=4,
        **secure,
    )
    connection = await opener
    trail.frame(Frame(url=url, kind="open", direction="sent", at=clock.now()))
    return Socket(connection, url, trail, clock)


def _counting(tally: Callable[[int, int], None]) -> type[ClientConnection]:
    """A connection that tells every byte it sends and receives (within TLS, where there is TLS)."""

    class Counting(ClientConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(cast("asyncio.Transport", _CountingTransport(transport, tally)))

        def data_received(self, data: bytes) -> None:
            tally(0, len(data))
            super().data_received(data)

    return Counting


class _CountingTransport:
    """The transport it is given, with an eye on `write`."""

    def __init__(self, transport: asyncio.BaseTransport, tally: Callable[[int, int], None]) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._tally = tally

    def write(self, data: bytes) -> None:
        self._transport.write(data)
        self._tally(len(data), 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
