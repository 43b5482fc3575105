"""What a database has to bring so that `store` can keep a journal in it: `Ground`, and the parts it hands out.

`sqlite` and `postgres` are the two there are. What they share stands in `reading` and `writing`; what differs is how a
connection is made and lost, what an error means, and who owns a session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from netra_loop.clock import Clock
from netra_loop.journal.base import Holder
from netra_loop.journal.locks import Acknowledged
from netra_loop.journal.sql import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]


class Ask(Protocol):
    """Reads the database from the event loop."""

    def __call__(self, work: Work[T], /) -> Awaitable[T]: ...


class Lane(Protocol):
    """One connection, made by the first call. For one thread alone."""

    def transaction(
        self, work: Work[T], *, session: str | None = None, lock: Lock | None = None, patient: bool = True
    ) -> T:
        """What `work` returns, once its transaction is committed. It may be run several times, each in a transaction of
        its own, of which exactly one is committed.

        `session` is the one that `work` writes to, and `lock` its lock, where it is ours. StoreError where the database
        cannot be used; then, and where `work` raises, nothing of it is written. A server that is away is waited for,
        unless not `patient`.
        """
        ...

    def close(self) -> None:
        """Lets go of the connection. Safe to repeat."""
        ...


class Lock(Protocol):
    """One session's ownership, taken and given back by one owner. For the writer's thread alone."""

    @property
    def owner(self) -> str:
        """The owner's name for itself, which nobody else ever has."""
        ...

    def take(self, *, takeover: bool = False) -> None:
        """Takes it, or raises SessionHeld within a second. With `takeover` a held one is taken all the same; who held
        it is stopped by the epoch, at his next write.
        """
        ...

    def confirm(self, connection: Connection) -> None:
        """SessionHeld where another took the session over since `take`. In the transaction that raises the epoch."""
        ...

    def seat(self, epoch: int) -> None:
        """The transaction that raised the epoch to this was committed. Where it fails, or before it, whoever was the
        owner keeps what makes him the owner.
        """
        ...

    def acknowledged(self) -> Acknowledged | None:
        """What this or an earlier owner was told is durable, as far as it is known."""
        ...

    def epoch(self) -> int:
        """The highest epoch that is known beside the database; 0: none is."""
        ...

    def acknowledge(self, seq: int, digest: str) -> None:
        """Notes that everything up to event `seq` is durable. After the commit, before anybody is told."""
        ...

    def forget(self) -> None:
        """What was acknowledged counts no more: the session is about to be removed."""
        ...

    def remember(self) -> None:
        """It was not removed: all is as it was before `forget`."""
        ...

    def release(self) -> None:
        """Gives it back. Safe to repeat, and without having taken it."""
        ...


class Ground(Protocol):
    """A database that was checked, or will be by the first call that needs it."""

    @property
    def at(self) -> str:
        """Where it is, for people; no password in it."""
        ...

    def lane(self, *, writer: bool) -> Lane:
        """A new lane. A reader's cannot write, not even by mistake, and sees one snapshot in each transaction."""
        ...

    def lock(self, session: str, clock: Clock) -> Lock:
        """The session's lock, not yet taken. UsageError for an id that is no plain name."""
        ...

    def holder(self, session: str, reader: Lane) -> Holder | None:
        """Who owns the session now. In the reader's thread."""
        ...

    def acknowledged(self, session: str) -> Acknowledged | None:
        """What is known, beside the database, to be durable of the session. At once, in any thread."""
        ...

    def all_acknowledged(self) -> Mapping[str, Acknowledged]:
        """The same of every session."""
        ...

    def ask_to_stop(self, session: str, owner: str, writer: Lane) -> None:
        """Asks that owner, as `Journal.ask_to_stop` does. In the writer's thread."""
        ...

    async def asked_to_stop(self, session: str, owner: str, ask: Ask) -> None:
        """Returns once that owner, which is us, was asked; see `Journal.asked_to_stop`."""
        ...

    def reclaim(self, writer: Lane) -> int:
        """Gives the room of what was removed back to the system; the bytes that stay the store's, for what is to come.
        In the writer's thread.
        """
        ...

    def snapshot(self, within_s: float, *, due: bool) -> str | None:
        """Keeps a copy, as `Journal.snapshot` does. In a thread of its own, while the lanes go on."""
        ...

    def hurry(self, within_s: float) -> None:
        """See `Journal.hurry`. In any thread."""
        ...

    def close(self) -> None:
        """Lets go of everything. After the last lane was closed."""
        ...
