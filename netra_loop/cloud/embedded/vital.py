"""The server's tie to its owner, the other way round: a pipe that lasts for as long as the server means to serve.

It is the server's standard output. A process that dies closes its descriptors in order, this one among the first, and
one that was asked to end closes it before anything else: whoever lost a connection over the server's end finds the pipe
ended already.
"""

from __future__ import annotations

import asyncio
import os
import select

_READ = 65_536
_LINE_MOST = 1_000_000


class Vital:
    """The owner's side of it. Made inside the running loop, closed before it ends; `inlet` is for the server."""

    def __init__(self) -> None:
        self._reading, self.inlet = os.pipe()
        os.set_blocking(self._reading, False)
        self._open = True
        self._said = bytearray()
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    async def line(self) -> bytes:
        """The first line that the server says; what it had said where it ended before. Safe to cancel."""
        while b"\n" not in self._said and not self._over.is_set():
            self._news.clear()
            await self._news.wait()
        return bytes(self._said.partition(b"\n")[0])

    def is_over(self) -> bool:
        """Whether the server has ended by now, or is about to: asked of the kernel, not of what this loop has heard."""
        if self._over.is_set() or not self._open:
            return self._over.is_set()
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    async def over(self) -> None:
        """Returns once the server has ended, or is about to."""
        await self._over.wait()

    def close_inlet(self) -> None:
        """The server has it, or there is none."""
        os.close(self.inlet)

    def close(self) -> None:
        """Nobody looks any more. Safe to repeat."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)

    def _read(self) -> None:
        data = os.read(self._reading, _READ)
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            self._over.set()
        elif len(self._said) < _LINE_MOST:  # whatever else it says is of no use to anybody
            self._said += data
        self._news.set()
