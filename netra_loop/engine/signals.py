"""How a session is asked to stop: once politely, twice at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil


class Stop:
    """A request to stop, seen by the driver between and within phases. `why` is None until somebody asked."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._asked = asyncio.Event()
        self.why: str | None = None

    def request(self, why: str) -> None:
        """Asks; says so at once. Asking again changes nothing."""
        if self.why is None:
            self.why = why
            self._asked.set()
            self._announce(f"stopping ({why}): no new work, what is known is being stored")

    async def wait(self) -> None:
        """Returns once somebody asked; safe to cancel."""
        await self._asked.wait()


@contextmanager
def installed(stop: Stop) -> Iterator[None]:
    """While the block runs, SIGINT, SIGTERM and SIGHUP ask `stop`; a second one ends everything at once, with 130."""
    loop = asyncio.get_running_loop()
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def received(kind: signal.Signals) -> None:
        if stop.why is None:
            stop.request(kind.name)
        else:
            kill_everything()

    for kind in kinds:
        loop.add_signal_handler(kind, received, kind)
    try:
        yield
    finally:
        for kind in kinds:
            loop.remove_signal_handler(kind)


def kill_everything() -> None:
    """Ends all our children, however deep, and this process, without another word. Does not return."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:  # gone meanwhile, or not ours to end
            continue
    os._exit(130)
