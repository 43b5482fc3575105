"""The end of a pipe that we read while something else writes into it.

Not asyncio's own pipes of a subprocess: with those the exit of a process is not noticed while a child of it still holds
the other end.
"""

from __future__ import annotations

import asyncio
import os

_READ_BYTES = 65536


class Outlet:
    """What a process writes. Give `inlet` to the process, then `close_inlet`."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport, inlet: int) -> None:
        self.inlet = inlet
        self._reader = reader
        self._transport = transport

    @classmethod
    async def open(cls) -> Outlet:
        """A new pipe."""
        loop = asyncio.get_running_loop()
        reading, inlet = os.pipe()
        reader = asyncio.StreamReader()
        pipe = os.fdopen(reading, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return cls(reader, transport, inlet)

    def close_inlet(self) -> None:
        """Our copy of the other end, so that the pipe can end."""
        os.close(self.inlet)

    async def read(self) -> bytes:
        """What was written; empty once nobody holds the other end. Safe to cancel."""
        return await self._reader.read(_READ_BYTES)

    def close(self) -> None:
        """Reads no more, whoever may still write."""
        self._transport.close()
