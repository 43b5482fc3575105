"""How a session is asked to stop: once politely, twice at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import psutil

from netra_loop.errors import StoreError
from netra_loop.journal.base import Journal

_SAME_S = 0.2  # a terminal and a wrapper in it may pass the same Ctrl-C on, each of them
_LOOK_AGAIN_S = 1.0
_WAIT_S = 4.0  # for a store that is away: no longer than the tests that are asked to end may take


class Stop:
    """A request to stop, seen by the driver between and within phases. `why` is None until somebody asked."""

    def __init__(self, announce: Callable[[str], None], hurry: Callable[[float], None] = lambda _: None) -> None:
        self._announce = announce
        self._hurry = hurry  # told how many seconds whatever waits for something may still wait
        self._asked = asyncio.Event()
        self.why: str | None = None

    def request(self, why: str) -> None:
        """Asks; says so at once. Asking again changes nothing."""
        if self.why is None:
            self.why = why
            self._asked.set()
            self._hurry(_WAIT_S)
            self._announce(f"stopping ({why}): no new work, what is known is being stored")

    async def wait(self) -> None:
        """Returns once somebody asked; safe to cancel."""
        await self._asked.wait()


@contextmanager
def installed(stop: Stop) -> Iterator[None]:
    """While the block runs, SIGINT, SIGTERM and SIGHUP ask `stop`; one that comes after somebody asked ends everything
    at once, with 130. The same one twice within 0.2 s is one.
    """
    loop = asyncio.get_running_loop()
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    first: tuple[signal.Signals, float] | None = None

    def received(kind: signal.Signals) -> None:
        nonlocal first
        if stop.why is None:
            first = (kind, loop.time())
            stop.request(kind.name)
        elif first is None or kind is not first[0] or loop.time() - first[1] > _SAME_S:
            kill_everything()

    for kind in kinds:
        loop.add_signal_handler(kind, received, kind)
    try:
        yield
    finally:
        for kind in kinds:
            loop.remove_signal_handler(kind)


@asynccontextmanager
async def heeding(stop: Stop, journal: Journal, session: str) -> AsyncIterator[None]:
    """While the block runs, `stop` is asked for whoever asks through the store (`netra-loop stop`)."""
    task = asyncio.create_task(_heed(stop, journal, session))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _heed(stop: Stop, journal: Journal, session: str) -> None:
    while stop.why is None:
        with suppress(StoreError):  # whatever is wrong with the store, the session's own writes will say
            await journal.asked_to_stop(session)
            stop.request("netra-loop stop")
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


def kill_everything() -> None:
    """Ends all our children, however deep, and this process, without another word. Does not return."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:  # gone meanwhile, or not ours to end
            continue
    os._exit(130)
