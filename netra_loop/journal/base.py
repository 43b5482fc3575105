"""What a journal promises: `Journal`, the one Protocol of this room.

A session is a list of events with rows beside it (selection, attempts, results, log entries, findings). One `append`
is one transaction: its events, its rows and the session's new head are all there or none is, and they are durable once
it returns. A crash therefore falls before an append (nothing of it is there) or after it (all of it is); whoever was
killed while it ran reads the journal to learn which.

Events are numbered from 1 without gaps and chained: each carries a hash over itself and the hash before. What was read
is what was written, or `StoreDamaged` says where it is not.

All errors are `errors.StoreError` or a subclass (exit 5), a name that fits no session is `errors.UsageError` (exit 2),
and breaking a rule written here is `errors.Defect`. Reads see every append that has returned, in whatever process.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from netra_loop.core.events import Recorded
from netra_loop.core.records import (
    AttemptStarted,
    Authenticity,
    Batch,
    Finding,
    LogEntry,
    Outcome,
    Result,
    Selected,
    Sighting,
)
from netra_loop.errors import UsageError
from netra_loop.values import dataclass

LATEST = "latest"
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,149}")


@dataclass(frozen=True)
class SessionHead:
    """What `list` shows of a session: the fold's outermost facts, replaced by appends that change them.

    `state` is contract's; `iteration` 0 and `phase` None before the first phase; `exit_code` None while it may go on.
    """

    id: str
    loop: str
    environment: str
    state: str
    iteration: int
    phase: str | None
    started_at: datetime
    updated_at: datetime
    exit_code: int | None = None


@dataclass(frozen=True)
class Holder:
    """The process that owns a session now. `since` is when it took it; `owner` its own name for that, random."""

    pid: int
    host: str
    since: datetime
    owner: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since:%Y-%m-%d %H:%M:%S} UTC)"


@dataclass(frozen=True)
class StoreIdentity:
    """What tells a store from every other. `id` is its own, wherever it lies (a copy of it has the same); `at` is where
    it lies, as people are told: a file's path, or a server's URL without its password.
    """

    id: str
    at: str


@dataclass(frozen=True)
class Verified:
    """A session that was read from end to end: how many events, the last one's hash, how many rows beside them."""

    events: int
    head: str
    rows: int


@dataclass(frozen=True)
class Mark:
    """How far somebody has read a session that is still being written. Numbers mean nothing but to `Journal.news`."""

    events: int = 0
    attempts: int = 0
    results: int = 0
    entries: int = 0


@dataclass(frozen=True)
class News:
    """What was stored behind a mark, each kind in the order of storing; results come without their bodies. `mark` is
    where to read on; `more`: at once, since there was more than is given at one time.
    """

    mark: Mark
    events: Sequence[Recorded] = ()
    attempts: Sequence[AttemptStarted] = ()
    results: Sequence[Result] = ()
    entries: Sequence[LogEntry] = ()
    more: bool = False


@dataclass(frozen=True)
class Counted:
    """An iteration's results without reading each. `once`: how many tests of a single attempt came to an outcome (with
    the mark `flaky`, and what it was seen as); `retried`: all attempts, without bodies, of the tests with more.
    """

    once: Mapping[tuple[Outcome, bool, Authenticity], int]
    retried: Sequence[Result] = ()


@dataclass(frozen=True)
class Standing:
    """How an iteration's tests stand for who comes late. `counted`: how many came to an outcome (with the mark `flaky`,
    and what they were seen as), each by its latest attempt; `failed` are the last of those that failed or are fake,
    without bodies, in the order of storing; `entries`: how many were logged.
    """

    counted: Mapping[tuple[Outcome, bool, Authenticity], int]
    failed: Sequence[Result] = ()
    entries: int = 0


class Journal(Protocol):
    """Where sessions are remembered. Methods may be called from several tasks at once; appends then queue up.

    Cancelling a read is free. Cancelling a write waits until its commit has either happened or cannot happen any more
    (mostly milliseconds; at worst as long as a store that is away is waited for, which `hurry` shortens) and then
    raises `CancelledError`: nothing is ever under way unseen.
    """

    async def create(self, head: SessionHead, first: Batch) -> tuple[Recorded, ...]:
        """Makes the session `head.id` with its first events and rows, in one transaction.

        Needs no ownership, but may be called inside `own(head.id)`, which keeps everybody else out from the start.
        StoreError where the id exists already, UsageError where it is no plain name.
        """
        ...

    async def append(self, session: str, batch: Batch, head: SessionHead | None = None) -> tuple[Recorded, ...]:
        """Commits the whole batch, and `head` where it is given, in one transaction; durable when it returns.

        Answers with the events in their places, exactly as `events` will read them. Rows are upserts, so that the same
        rows may come again (what was fetched or run twice is there once): by id and attempt for attempts and
        results; by log, timestamp and insert id for log entries, where the ids of joined tests add up and the entry
        stays with the iteration that read it first. A selection or findings replace the iteration's. Events are never
        upserts.

        Only inside `own(session)`: Defect otherwise, StaleEpoch where another process took the session over meanwhile.
        In both cases, and on every other error, nothing of the batch is written.
        """
        ...

    async def events(self, session: str, after: int = 0) -> list[Recorded]:
        """The events with a `seq` above `after`, in order, their chain verified. StoreDamaged where it is broken."""
        ...

    async def verify(self, session: str) -> int:
        """Reads the whole chain and answers with the number of its events. StoreDamaged names the first broken one."""
        ...

    async def verify_all(self, session: str, told: Callable[[int, int], None] = lambda _done, _of: None) -> Verified:
        """`verify`, and reads every row beside the chain. StoreDamaged names the first that is not what was written.
        However many there are, few are held in memory at a time. `told` hears now and then, in whatever thread, how
        many events and rows were read, and of how many.
        """
        ...

    async def verify_form(self) -> None:
        """Checks what holds the sessions: StoreDamaged where pages or indexes of a file of ours are not whole. Some
        seconds for each GB. A server sees to that itself.
        """
        ...

    async def sessions(self) -> list[SessionHead]:
        """Every session, the one made last first (by order of making, whatever the clocks said)."""
        ...

    async def head(self, session: str) -> SessionHead | None:
        """The session of exactly that id; None where there is none."""
        ...

    async def identity(self) -> StoreIdentity:
        """Which store this is."""
        ...

    async def find(self, name: str) -> SessionHead:
        """The session `name` means: a full id, an unambiguous beginning of one, or `latest`. UsageError otherwise."""
        ...

    async def selection(self, session: str, iteration: int, *, tests: Sequence[str] | None = None) -> list[Selected]:
        """What was selected, in the order chosen; of `tests` alone (500 at most) where they are given."""
        ...

    async def attempts(self, session: str, iteration: int) -> list[AttemptStarted]:
        """Every attempt begun, finished or not, by start. One without a result was in flight when the end came."""
        ...

    async def results(
        self,
        session: str,
        iteration: int | None = None,
        *,
        test: str | Sequence[str] | None = None,
        bodies: bool = True,
    ) -> list[Result]:
        """Results by iteration, place in the selection (start, where it has none) and attempt; None: every iteration.

        `test` keeps one test's, or those of several (500 at most): so a large iteration can be read in portions.
        Without `bodies` the three heavy fields (output, traceback, evidence) stay empty, which makes counting a large
        iteration many times cheaper.
        """
        ...

    def result_pages(self, session: str, iteration: int, size: int = 500) -> AsyncIterator[list[Result]]:
        """The iteration's results as `results` has them, without bodies, never all held at once. A page has the results
        of some `size` tests, each later one of twice as many, 16 times `size` at most; none is empty. Each is a read of
        its own: what is appended meanwhile is seen where its place is still to come.
        """
        ...

    async def counted(self, session: str, iteration: int) -> Counted:
        """How the iteration's results stand, counted in the store."""
        ...

    async def standing(
        self, session: str, iteration: int, until: Mark, newest: int, *, since: datetime | None = None
    ) -> Standing:
        """How the iteration stood at `until`, counted in the store: what `news` brings since then is not in it. With
        `since` only what began then or later. Of those that failed the `newest`, or some of them.
        """
        ...

    async def under_way(
        self, session: str, iteration: int, until: Mark, *, since: datetime | None = None
    ) -> list[AttemptStarted]:
        """The attempts that had no end at `until`, by start; `since` as above. One that a crash ended is among them
        until a later attempt at its test has ended.
        """
        ...

    async def named(self, session: str, iteration: int, part: str) -> list[str]:
        """The ids of the iteration's tests that `part` is a part of: ended, begun or selected; in no order."""
        ...

    async def count(self, session: str, iteration: int) -> int:
        """How many results and log entries the iteration has stored so far: the progress of `PhaseRecovered`."""
        ...

    async def entries(self, session: str, iteration: int | None = None, *, limit: int | None = None) -> list[LogEntry]:
        """Log entries by timestamp; None: every iteration. `limit` keeps the newest so many, still oldest first."""
        ...

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
        """The iteration's log entries as `entries` has them, `size` at a time: so they need not all be held at once.
        With `since` those of that instant and later. `lean`: payloads without a text of several lines may come empty,
        which is quicker. Not `quiet`: without entries that no error can be in, those below a warning with a payload
        without such a text, whose tests are known.
        Each page is a read of its own: what is appended meanwhile is seen where its time is still to come.
        """
        ...

    async def findings(self, session: str, iteration: int | None = None) -> list[Finding]:
        """An iteration's findings in the order they were appended; None: of the newest iteration that stored any."""
        ...

    async def sightings(self, loop: str, signatures: Sequence[str]) -> list[Sighting]:
        """In which sessions of that loop the findings with these signatures (500 at most) were seen, the session made
        first coming first.
        """
        ...

    async def durations(self, loop: str) -> dict[str, float]:
        """The last known seconds of each test of that loop, over all its sessions, without those that went to fixtures
        it shares; and of each such fixture, under its name.
        """
        ...

    async def mark(self, session: str) -> Mark:
        """Where the session ends now."""
        ...

    async def news(self, session: str, since: Mark) -> News:
        """What was stored since `mark` or the last `news`; cheap where there is nothing, and to be asked again and
        again. A row that is stored once more, or changed, is no news.
        """
        ...

    def own(self, session: str, *, takeover: bool = False) -> AbstractAsyncContextManager[int]:
        """Exclusive ownership while the `async with` block runs; gives the new epoch.

        A second owner, in this process or another, gets SessionHeld at once. The kernel lets go when a process dies,
        however it dies. The session need not exist yet. Its epoch rises by one with each owner, and every append checks
        it: an owner who lost the session without noticing gets StaleEpoch instead of writing.
        With `takeover` a session that is held is taken from its owner, who finds out at the next append; of two who do
        so at once, one gets it.
        """
        ...

    async def holder(self, session: str) -> Holder | None:
        """Who owns the session now; None where nobody does, or its process died."""
        ...

    async def ask_to_stop(self, session: str) -> bool:
        """Asks whoever owns the session now, in whatever process, to pause it; False where nobody does. The request
        stands when this returns, and is that owner's alone: a later one never sees it. Safe to repeat.
        """
        ...

    async def asked_to_stop(self, session: str) -> None:
        """Returns once somebody asked the present owner, within a second of it; within 0.2 s on one machine. Only
        inside `own(session)`. Safe to cancel.
        """
        ...

    async def forget(self, session: str) -> None:
        """Removes the session with all its events and rows. Only inside `own(session)`. Killed in between, the session
        is there, or it is not; rows that nobody reads any more go with the next `reclaim`. What is known of the
        durations of its loop's tests stays.
        """
        ...

    async def reclaim(self) -> int:
        """Gives room of what was removed back to the system, where the store can; the bytes that it keeps for later."""
        ...

    async def snapshot(self, within_s: float, *, due: bool = False) -> str | None:
        """Keeps a copy of the whole store as it is now, where the store is a file of ours; None once that is done. It
        has no effect on the session, whatever happens: why there is no copy is the answer.

        It takes `within_s` seconds at most, and a twentieth of the process's time: unless it is `due` all the same,
        nothing is done, and nothing said, so soon after the last one. Safe to cancel; it then goes on to its end first.
        """
        ...

    def hurry(self, within_s: float) -> None:
        """Somebody waits for the process to end: from now on nothing waits for longer than that for a store that is
        away, and then StoreAway is raised; a copy that is not due is given up at once. At once; safe to repeat.
        """
        ...

    async def close(self) -> None:
        """Lets go of files and threads; whatever was acknowledged stays. Safe to repeat."""
        ...


def check_id(session: str) -> None:
    """UsageError unless `session` is a plain name, fit for files, labels and command lines alike."""
    if not _ID.fullmatch(session) or session == LATEST:
        raise UsageError(
            f"{session!r} cannot name a session, expected letters, digits, '.', '_' and '-', at most 150 of them",
            hint="choose another --session-name",
        )


def choose(name: str, heads: Sequence[SessionHead]) -> SessionHead:
    """The head `name` means among `heads` (newest first); the rule behind `Journal.find`. UsageError otherwise."""
    if not heads:
        raise UsageError(f"there is no session {name!r}: none was ever started here", hint="netra-loop run LOOP")
    if name == LATEST:
        return heads[0]
    for head in heads:
        if head.id == name:
            return head
    found = [head for head in heads if name and head.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"there is no session {name!r}, expected an id, its unambiguous beginning or {LATEST!r}; "
            f"the newest are {_named(heads)}",
            hint="netra-loop list",
        )
    raise UsageError(f"{name!r} could mean {len(found)} sessions: {_named(found)}", hint="type more of the id")


def _named(heads: Sequence[SessionHead], most: int = 5) -> str:
    names = ", ".join(head.id for head in heads[:most])
    return names if len(heads) <= most else f"{names} and {len(heads) - most} more"
