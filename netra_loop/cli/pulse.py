"""A session that another process runs, read as it is written."""

from __future__ import annotations

import select
import sys
from collections.abc import AsyncIterator

from netra_loop.clock import Clock
from netra_loop.core.events import Recorded
from netra_loop.core.state import State, Status, fold
from netra_loop.journal.base import Journal, Mark, News

_PACE_S = 0.5
_LOOKS = 4  # from one look for the session's owner to the next


class Pulse:
    """Reads the store and nothing else: whatever becomes of the reader, the session goes on. `begin` it first.

    `state` is the session's as far as it was read, up to `mark`. `abandoned`: its process ended without a word.
    `unread`: nobody reads our standard output any more.
    """

    def __init__(self, store: Journal, session: str, clock: Clock) -> None:
        self.state = State()
        self.abandoned = False
        self.unread = False
        self._store = store
        self._session = session
        self._clock = clock
        self.mark = Mark()

    async def begin(self) -> list[Recorded]:
        """What the journal holds so far. What is read of the rows from here on may be told by `news` once more."""
        mark = await self._store.mark(self._session)
        recorded = await self._store.events(self._session)
        self.state = fold(recorded)
        self.mark = Mark(self.state.seq, mark.attempts, mark.results, mark.entries)
        return recorded

    @property
    def is_over(self) -> bool:
        """Whether no more is to come, for now at least: it ended, paused or failed."""
        return self.state.status is not Status.RUNNING

    async def news(self) -> AsyncIterator[News]:
        """What was stored since, as it comes; empty ones too, one each time that was looked. Ends once the session is
        over or abandoned and all of it was told, or nobody reads it.
        """
        looks = 0
        while True:
            over = self.is_over or self.abandoned
            news = await self._store.news(self._session, self.mark)
            self.mark = news.mark
            self.state = fold(news.events, self.state)
            yield news
            self.unread = is_unread()
            self.abandoned = self.abandoned and not self.is_over
            if self.unread or (over and not news.more):
                return
            if not news.more and not self.is_over:
                if looks % _LOOKS == 0:
                    self.abandoned = await self._store.holder(self._session) is None
                looks += 1
                if not self.abandoned:
                    await self._clock.sleep(_PACE_S)


def is_unread() -> bool:
    """Whether standard output is a pipe or a terminal whose other end is gone."""
    if getattr(sys.stdout, "broken", False):
        return True
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # no file at all
        return False
    watched = select.poll()
    watched.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watched.poll(0))
