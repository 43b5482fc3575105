"""`CrashingJournal`: a journal whose user dies at a chosen append."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Never

from netra_loop.core.events import Recorded
from netra_loop.core.records import AttemptStarted, Batch, Finding, LogEntry, Result, Selected, Sighting
from netra_loop.journal.base import Counted, Holder, Journal, Mark, News, SessionHead, Standing, StoreIdentity, Verified


class Crash(BaseException):
    """The process died here: what kill -9 looks like from inside. Only the test that asked for it catches it."""


class CrashingJournal:
    """A journal whose user dies `when` (before or after) the `at`-th append, `create` being the first of them.

    From then on every call raises Crash again: the dead write nothing. Ownership ends as the stack unwinds, as the
    kernel would see to. `at` None never crashes; `appends` counts, which tells how many crash points a run has.
    """

    def __init__(self, journal: Journal, at: int | None = None, when: Literal["before", "after"] = "before") -> None:
        self._journal = journal
        self._at = at
        self._when = when
        self.appends = 0
        self.crashed = False

    async def create(self, head: SessionHead, first: Batch) -> tuple[Recorded, ...]:
        """See `Journal.create`; counts as an append."""
        dies = self._counted()
        return self._told(await self._journal.create(head, first), dies=dies)

    async def append(self, session: str, batch: Batch, head: SessionHead | None = None) -> tuple[Recorded, ...]:
        """See `Journal.append`."""
        dies = self._counted()
        return self._told(await self._journal.append(session, batch, head), dies=dies)

    def _counted(self) -> bool:
        """Counts one more, dies before it if that is asked for, and says whether to die after it."""
        self._living()
        self.appends += 1
        here = self.appends == self._at
        if here and self._when == "before":
            self._die()
        return here

    def _told(self, recorded: tuple[Recorded, ...], *, dies: bool) -> tuple[Recorded, ...]:
        if dies:
            self._die()
        return recorded

    def _living(self) -> Journal:
        if self.crashed:
            self._die()
        return self._journal

    def _die(self) -> Never:
        self.crashed = True
        raise Crash(f"{self._when} append {self._at}")

    def own(self, session: str, *, takeover: bool = False) -> AbstractAsyncContextManager[int]:
        """See `Journal.own`."""
        return self._living().own(session, takeover=takeover)

    async def holder(self, session: str) -> Holder | None:
        """See `Journal.holder`."""
        return await self._living().holder(session)

    async def ask_to_stop(self, session: str) -> bool:
        """See `Journal.ask_to_stop`."""
        return await self._living().ask_to_stop(session)

    async def asked_to_stop(self, session: str) -> None:
        """See `Journal.asked_to_stop`."""
        await self._living().asked_to_stop(session)

    async def events(self, session: str, after: int = 0) -> list[Recorded]:
        """See `Journal.events`."""
        return await self._living().events(session, after)

    async def verify(self, session: str) -> int:
        """See `Journal.verify`."""
        return await self._living().verify(session)

    async def verify_all(self, session: str, told: Callable[[int, int], None] = lambda _done, _of: None) -> Verified:
        """See `Journal.verify_all`."""
        return await self._living().verify_all(session, told)

    async def verify_form(self) -> None:
        """See `Journal.verify_form`."""
        await self._living().verify_form()

    async def sessions(self) -> list[SessionHead]:
        """See `Journal.sessions`."""
        return await self._living().sessions()

    async def head(self, session: str) -> SessionHead | None:
        """See `Journal.head`."""
        return await self._living().head(session)

    async def identity(self) -> StoreIdentity:
        """See `Journal.identity`."""
        return await self._living().identity()

    async def find(self, name: str) -> SessionHead:
        """See `Journal.find`."""
        return await self._living().find(name)

    async def selection(self, session: str, iteration: int, *, tests: Sequence[str] | None = None) -> list[Selected]:
        """See `Journal.selection`."""
        return await self._living().selection(session, iteration, tests=tests)

    async def attempts(self, session: str, iteration: int) -> list[AttemptStarted]:
        """See `Journal.attempts`."""
        return await self._living().attempts(session, iteration)

    async def results(
        self,
        session: str,
        iteration: int | None = None,
        *,
        test: str | Sequence[str] | None = None,
        bodies: bool = True,
    ) -> list[Result]:
        """See `Journal.results`."""
        return await self._living().results(session, iteration, test=test, bodies=bodies)

    def result_pages(self, session: str, iteration: int, size: int = 500) -> AsyncIterator[list[Result]]:
        """See `Journal.result_pages`."""
        return self._living().result_pages(session, iteration, size)

    async def counted(self, session: str, iteration: int) -> Counted:
        """See `Journal.counted`."""
        return await self._living().counted(session, iteration)

    async def standing(
        self, session: str, iteration: int, until: Mark, newest: int, *, since: datetime | None = None
    ) -> Standing:
        """See `Journal.standing`."""
        return await self._living().standing(session, iteration, until, newest, since=since)

    async def under_way(
        self, session: str, iteration: int, until: Mark, *, since: datetime | None = None
    ) -> list[AttemptStarted]:
        """See `Journal.under_way`."""
        return await self._living().under_way(session, iteration, until, since=since)

    async def named(self, session: str, iteration: int, part: str) -> list[str]:
        """See `Journal.named`."""
        return await self._living().named(session, iteration, part)

    async def count(self, session: str, iteration: int) -> int:
        """See `Journal.count`."""
        return await self._living().count(session, iteration)

    async def entries(self, session: str, iteration: int | None = None, *, limit: int | None = None) -> list[LogEntry]:
        """See `Journal.entries`."""
        return await self._living().entries(session, iteration, limit=limit)

    def entry_pages(
        self,
        session: str,
        iteration: int,
        size: int = 500,
        *,
        since: datetime | None = None,
        lean: bool = False,
        quiet: bool = True,
    ) -> AsyncIterator[list[LogEntry]]:
        """See `Journal.entry_pages`."""
        return self._living().entry_pages(session, iteration, size, since=since, lean=lean, quiet=quiet)

    async def findings(self, session: str, iteration: int | None = None) -> list[Finding]:
        """See `Journal.findings`."""
        return await self._living().findings(session, iteration)

    async def sightings(self, loop: str, signatures: Sequence[str]) -> list[Sighting]:
        """See `Journal.sightings`."""
        return await self._living().sightings(loop, signatures)

    async def durations(self, loop: str) -> dict[str, float]:
        """See `Journal.durations`."""
        return await self._living().durations(loop)

    async def mark(self, session: str) -> Mark:
        """See `Journal.mark`."""
        return await self._living().mark(session)

    async def news(self, session: str, since: Mark) -> News:
        """See `Journal.news`."""
        return await self._living().news(session, since)

    async def forget(self, session: str) -> None:
        """See `Journal.forget`."""
        await self._living().forget(session)

    async def reclaim(self) -> int:
        """See `Journal.reclaim`."""
        return await self._living().reclaim()

    async def snapshot(self, within_s: float, *, due: bool = False) -> str | None:
        """See `Journal.snapshot`."""
        return await self._living().snapshot(within_s, due=due)

    def hurry(self, within_s: float) -> None:
        """See `Journal.hurry`."""
        self._living().hurry(within_s)

    async def close(self) -> None:
        """See `Journal.close`; the dead close nothing, the wrapped journal lives on."""
        if not self.crashed:
            await self._journal.close()
