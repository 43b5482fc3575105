"""The orchestrator's end of the wire: one unix socket that all tests' processes of a pool call in on.

A message is a JSON object after its length in four bytes (`agent.wire`). The first one of a connection is `hello` with
the token its process was given; the guest that expects that token gets all that follows. Who brings no known token is
hung up on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any, Protocol, cast

from netra_loop.execution import pool_folder
from netra_loop.execution.pool_begun import BACKLOG

_HEAD = struct.Struct("!I")
_AT_ONCE = 65_536  # bytes read at once
_LONGEST = 256 * 1024 * 1024  # a length beyond this is no message of ours

Message = dict[str, Any]


class Guest(Protocol):
    """Who gets the messages of one process; called from the event loop, and not to wait."""

    def joined(self, channel: Channel, pid: int) -> None:
        """It said hello."""
        ...

    def said(self, message: Message) -> None:
        """One message came."""
        ...

    def left(self) -> None:
        """The connection ended, in whatever way. Called once."""
        ...


class Channel(asyncio.Protocol):
    """One connection."""

    def __init__(self, guests: dict[str, Guest]) -> None:
        self._guests = guests
        self._guest: Guest | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.WriteTransport", transport)  # a stream server makes no other

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer, start)
            end = start + _HEAD.size + length
            if length > _LONGEST:
                self.close()
                return
            if len(self._buffer) < end:
                break
            message = json.loads(self._buffer[start + _HEAD.size : end])
            start = end
            self._dispatch(message)
        del self._buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if exc is not None:
            self._read_on()
        if self._guest is not None:
            self._guest.left()

    def send(self, **message: Any) -> None:
        """Queues a message; lost silently where the other side is gone, which `Guest.left` tells."""
        if self._transport is None or self._transport.is_closing():
            return
        body = json.dumps(message).encode()
        self._transport.write(_HEAD.pack(len(body)) + body)

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.close()

    def _read_on(self) -> None:
        """Reads what its process had said before it died. Whatever is sent to one that is gone fails, and asyncio then
        gives the connection up without a look at what has come: results of tests that had ended. All of it is here
        already, and the socket is open until `connection_lost` returns.
        """
        assert self._transport is not None
        descriptor = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):  # it had closed with our messages unread: a reset stands for the end then
            while data := os.read(descriptor, _AT_ONCE):
                self.data_received(data)

    def _dispatch(self, message: Message) -> None:
        if self._guest is not None:
            self._guest.said(message)
            return
        guest = self._guests.pop(str(message.get("token")), None)
        if guest is None:
            self.close()
            return
        self._guest = guest
        guest.joined(self, int(message["pid"]))


class Switchboard:
    """The listening socket, in a folder of its own that nobody else may enter; gone after `close`."""

    def __init__(self) -> None:
        self._guests: dict[str, Guest] = {}
        self._server: asyncio.Server | None = None
        self._folder: pool_folder.Folder | None = None
        self.path = ""  # before `open`

    @property
    def folder(self) -> Path:
        """Where the socket lies; after `open`."""
        return Path(self.path).parent

    async def open(self) -> None:
        """Starts to listen; does nothing when it does already. Raises EnvironmentFailed where no socket can be made."""
        if self._server is None:
            # not in the session's scratch folder: a socket's path may be no longer than about 100 characters
            folder = pool_folder.Folder()
            own = socket.socket(socket.AF_UNIX)
            own.bind(str(folder.path / pool_folder.SOCKET))
            await self.adopt(folder, own)

    async def adopt(self, folder: pool_folder.Folder, own: socket.socket) -> None:
        """The same on a socket that was bound before, in its folder."""
        self._folder = folder
        self.path = str(folder.path / pool_folder.SOCKET)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Channel(self._guests), sock=own, backlog=BACKLOG)

    def expect(self, token: str, guest: Guest) -> None:
        """Connects the process that will bring `token` with `guest`."""
        self._guests[token] = guest

    def forget(self, token: str) -> None:
        """Nobody waits for `token` any more."""
        self._guests.pop(token, None)

    async def close(self) -> None:
        """Safe to repeat."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None
