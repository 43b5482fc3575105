"""Follows what the revisions under test log while their tests run, for whoever looks on.

What is seen is stored, without secrets, and shown: a little at a time, at most once a second. None of it counts.
`collect-logs` reads the whole list once the tests have ended, these entries among it, and has the last word: on what
there is, on what belongs to which test, on whether it is complete. So an entry may be left out here wherever taking it
in would cost the tests anything; and nothing that goes wrong here may end the phase.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

from netra_loop.cloud.base import Cloud, LogQuery
from netra_loop.core.events import Noted
from netra_loop.core.records import AttemptStarted, Batch, LogEntry
from netra_loop.core.redact_many import redact_many
from netra_loop.errors import NetraLoopError, StoreError
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.portions import apart

_PACE_S = 1.0  # from one commit to the next
_AT_ONCE = 500  # entries of a commit
_MOST_WAITING = 2_000
_TRACES = 2_000  # attempts whose entries are known by their trace, the newest
_ENDS_WITHIN_S = 2.0


class Follower:
    """What is followed during one phase. `began` tells it of the attempts that entries may be of."""

    def __init__(self, context: PhaseContext) -> None:
        self.context = context
        self._tests: dict[str, tuple[str, ...]] = {}
        self._waiting: list[LogEntry] = []
        self._left_out = 0
        self._news = asyncio.Event()

    def began(self, attempts: Iterable[AttemptStarted]) -> None:
        """These attempts have begun."""
        self._tests.update((attempt.trace_id, (attempt.id,)) for attempt in attempts)
        while len(self._tests) > _TRACES:
            del self._tests[next(iter(self._tests))]

    async def follow(self, cloud: Cloud, query: LogQuery) -> None:
        """Goes on until it is cancelled. Where it cannot, it says so in the journal and returns."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._listen(cloud, query))
                both.create_task(self._keep())
        except* StoreError:
            pass  # the phase itself cannot store anything either, and says so
        except* Exception as failed:  # noqa: BLE001 - told, and never the end of the phase
            why = self.context.redactor.text("; ".join(map(str, failed.exceptions)))
            told = f"the logs cannot be followed while tests run, they are read afterwards: {why}"
            with suppress(NetraLoopError):
                await self.context.event(Noted(text=told))

    async def _listen(self, cloud: Cloud, query: LogQuery) -> None:
        """Takes in what comes, as far as there is room: it is for those who store it to keep up."""
        async with aclosing(cast("Any", cloud.tail(query, self._missed))) as tail:
            async for entries in tail:
                room = _MOST_WAITING - len(self._waiting)
                self._waiting += entries[:room]
                self._left_out += len(entries[room:])
                self._news.set()

    def _missed(self, count: int) -> None:
        self._left_out += count
        self._news.set()

    async def _keep(self) -> None:
        """Stores what waits, then shows it."""
        context = self.context
        while True:
            await self._news.wait()
            some, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            left_out, self._left_out = self._left_out, 0
            if not self._waiting:
                self._news.clear()
            chars = sum(len(entry.message) for entry in some)
            stored = await apart(lambda some=some: self._as_stored(some), chars)  # type: ignore[misc]
            if stored:
                await context.record(Batch(entries=tuple(stored)))
            context.observer.logged(stored, left_out)
            await context.clock.sleep(_PACE_S)

    def _as_stored(self, entries: list[LogEntry]) -> list[LogEntry]:
        """`entries` without secrets, with their iteration and, where their trace says it, their tests."""
        said = [(entry.message, entry.payload, entry.request) for entry in entries]
        clean = redact_many(self.context.redactor, said)
        iteration = self.context.iteration
        return [
            replace(
                entry,
                message=message,
                payload=payload,
                request=request,
                tests=self._tests.get(entry.trace_id or "", ()),
                iteration=iteration,
            )
            for entry, (message, payload, request) in zip(entries, clean, strict=True)
        ]


@asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[None]:
    """Follows the logs while the block runs, where the loop collects any. Leaving it waits for nothing but a commit
    that is under way.
    """
    query = _query(follower.context)
    cloud = await follower.context.tools.cloud() if query is not None else None
    if cloud is None or query is None:
        yield
        return
    task = asyncio.create_task(follower.follow(cloud, query))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_ENDS_WITHIN_S)
        if task.done() and not task.cancelled():
            task.exception()  # of a process that is about to end; whoever ends it knows


def _query(context: PhaseContext) -> LogQuery | None:
    """What `collect-logs` will ask for, from now on; None where the loop has no such phase, or no revisions."""
    collecting = next((phase for phase in context.spec.phases if phase.uses == "collect-logs"), None)
    revisions = tuple(revision.name for revision in context.state().revisions.values())
    if collecting is None or not revisions:
        return None
    return LogQuery(revisions, context.clock.now(), severity=collecting.with_.get("severity"))
