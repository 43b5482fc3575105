"""How a session is asked to stop: once politely, twice at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from netra_loop.core.events import ASKED
from netra_loop.engine.heard import EARS, KINDS, Ears
from netra_loop.errors import Interrupted, StoreError
from netra_loop.processes import kill_descendants

if TYPE_CHECKING:  # it is not what is needed first of a session
    from netra_loop.journal.base import Journal

_LOOK_AGAIN_S = 1.0
_WAIT_S = 4.0  # for a store that is away: no longer than the tests that are asked to end may take


class Stop:
    """A request to stop, seen by the driver between and within phases. `why` is None until somebody asked.

    `announce` may be called by a thread of its own, while the event loop is busy.
    """

    def __init__(self, announce: Callable[[str], None], hurry: Callable[[float], None] = lambda _: None) -> None:
        self._announce = announce
        self._hurry = hurry  # told how many seconds whatever waits for something may still wait
        self._asked = asyncio.Event()
        self._telling = threading.Lock()
        self._told: str | None = None
        self.why: str | None = None

    def tell(self, why: str) -> None:
        """Says that it will be asked, which has to follow; once, whoever says so first. Safe from any thread."""
        with self._telling:
            if self._told is not None:
                return
            self._told = why
        self._announce(f"stopping ({why}): no new work, what is known is being stored")

    def request(self, why: str) -> None:
        """Asks; says so at once. Asking again changes nothing."""
        if self.why is None:
            self.tell(why)
            self.why = self._told
            self._asked.set()
            self._hurry(_WAIT_S)

    async def wait(self) -> None:
        """Returns once somebody asked; safe to cancel."""
        await self._asked.wait()


@contextmanager
def unless_begun(ears: Ears = EARS) -> Iterator[None]:
    """Until the block comes to `installed`, a signal ends it: its task is cancelled, cleans up after itself, and
    Interrupted is raised. For a process that listens from its start.
    """
    task, cancelled = asyncio.current_task(), False

    def answer(kind: signal.Signals) -> None:
        nonlocal cancelled
        assert task is not None
        cancelled = task.cancel(f"stopped by {kind.name}")

    if ears.first is not None:
        raise Interrupted(ears.first.name, ears.first.value)
    with _answering(ears, answer):
        try:
            yield
        except asyncio.CancelledError:
            if ears.first is None or not cancelled:
                raise
            raise Interrupted(ears.first.name, ears.first.value) from None


@contextmanager
def installed(stop: Stop, ears: Ears = EARS) -> Iterator[None]:
    """While the block runs, SIGINT, SIGTERM and SIGHUP ask `stop`; so does one that came before. A second one ends
    everything at once, with 130. Where the process listened before, it goes on to afterwards. The word about it is
    said however busy the event loop is.
    """
    already = ears.open
    ears.listen()
    try:
        if ears.first is not None:
            stop.request(ears.first.name)
        with _answering(ears, lambda kind: stop.request(kind.name), kill_everything, lambda kind: stop.tell(kind.name)):
            yield
    finally:
        if not already:
            ears.close()


@contextmanager
def _answering(
    ears: Ears,
    answer: Callable[[signal.Signals], None],
    kill: Callable[[], None] | None = None,
    word: Callable[[signal.Signals], None] = lambda _: None,
) -> Iterator[None]:
    """While the block runs, the event loop calls `answer` with the first signal; of several blocks, the inner one's,
    and none once that was left. A thread calls `word` with each, which does not wait until the loop has time.
    """
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if ears.first is not None and ears.told is told:
            answer(ears.first)

    def told() -> None:
        loop.call_soon_threadsafe(heard)

    outlet, inlet = os.pipe()
    os.set_blocking(inlet, False)
    listener = threading.Thread(target=_listen, args=(outlet, loop, word), name="netra-loop-signals", daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(inlet, warn_on_full_buffer=False)  # whichever thread the system chose to interrupt
    ears.tell(told, kill)
    try:
        yield
    finally:
        ears.tell(None)
        signal.set_wakeup_fd(before)
        os.close(inlet)
        listener.join()
        os.close(outlet)


def _listen(outlet: int, loop: asyncio.AbstractEventLoop, word: Callable[[signal.Signals], None]) -> None:
    """Reads which signals come, until nobody writes them any more. The loop is woken first, so that it has them handled
    even where nobody takes the word.
    """
    while numbers := os.read(outlet, 4096):
        loop.call_soon_threadsafe(_nothing)
        for kind in KINDS:
            if kind in numbers:
                word(kind)


def _nothing() -> None:
    """What the loop is woken for is done between its steps."""


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
            stop.request(ASKED)
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


def kill_everything() -> None:
    """Ends all our children, however deep, and this process, without another word. Does not return."""
    kill_descendants()
    os._exit(130)
