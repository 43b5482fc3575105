"""One side of a proxied exchange: a connection and the HTTP/1.1 state that h11 keeps of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h11

_READ_BYTES = 65536
LONGEST_HEAD = 65536

Event = Any  # h11 gives its event classes no common name that type checkers can see


class Peer:
    """Events in, events out; counts bytes. `role` is ours in the conversation with it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, role: type[h11.SERVER | h11.CLIENT]
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.http = h11.Connection(role, max_incomplete_event_size=LONGEST_HEAD)
        self.received = 0
        self.sent = 0

    async def next_event(self) -> Event:
        """The next thing it said. Raises h11.RemoteProtocolError, OSError. Safe to cancel: nothing is lost."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event
            await self.read()

    async def read(self) -> bool:
        """Waits for bytes and gives them to the state; False at their end."""
        data = await self.reader.read(_READ_BYTES)
        self.received += len(data)
        self.http.receive_data(data)
        return bool(data)

    async def send(self, event: Event) -> None:
        """Says something; waits while the other side is slow to listen."""
        data = self.http.send(event)
        if data:
            await self.send_raw(data)

    async def send_raw(self, data: bytes) -> None:
        """Bytes past HTTP."""
        self.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        """Cuts the connection, so that nobody takes what was sent for the whole."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Ends the connection after what was written went out."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def tunnel(one: Peer, other: Peer, *, patience_s: float) -> None:
    """Copies bytes both ways until both have ended. An end is passed on as an end, a reset as a reset.

    Once one direction has ended, the other has `patience_s` seconds. Neither peer may be read otherwise.
    """
    copies = {asyncio.create_task(_copy(one, other)), asyncio.create_task(_copy(other, one))}
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        _, pending = await asyncio.wait(copies, timeout=patience_s)
        if pending:
            one.abort()
            other.abort()
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(source: Peer, target: Peer) -> None:
    try:
        while data := await source.reader.read(_READ_BYTES):
            source.received += len(data)
            await target.send_raw(data)
        if target.writer.can_write_eof():
            target.writer.write_eof()
    except OSError:
        source.abort()
        target.abort()
