"""Runs golden paths told in YAML: HTTP and WebSocket steps, each journey a test beside pytest's."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property

import httpx

from netra_loop.clock import Clock, Elapsed, within
from netra_loop.core.records import JOURNEY_PREFIX, CollectedTest, Outcome
from netra_loop.core.spec import JourneySpec
from netra_loop.errors import Defect, NetraLoopError
from netra_loop.execution.base import Collection, Finished, Planned, RunEvent, Started
from netra_loop.execution.journey_steps import StepFailed, Walk
from netra_loop.execution.journey_values import Render, seconds
from netra_loop.open_files import behind


class JourneyRunner:
    """An `execution.base.Runner` over journeys; their ids are `journey::NAME`, their workers `journey0` and so on.

    `render(value, saved)` fills the `${…}` of one text, `saved` being what the journey saved so far; what it raises
    makes the journey an `error`. `timeout_s` bounds one journey. `source` is the loop file as messages name it.
    """

    def __init__(
        self,
        journeys: Sequence[JourneySpec],
        render: Render,
        timeout_s: float,
        workers: int,
        clock: Clock,
        *,
        source: str = "",
    ) -> None:
        self._journeys = {JOURNEY_PREFIX + journey.name: journey for journey in journeys}
        self._render = render
        self._timeout_s = timeout_s
        self._workers = workers
        self._clock = clock
        self._source = source
        self._tasks: set[asyncio.Task[None]] = set()

    async def collect(self) -> Collection:
        """See `Runner.collect`; nothing can go wrong here."""
        return Collection(
            tests=tuple(
                CollectedTest(
                    id=id_,
                    path=self._source,
                    line=journey.steps[0].line or None if journey.steps else None,
                    keywords=(journey.name,),
                )
                for id_, journey in self._journeys.items()
            ),
        )

    async def run(self, plan: Sequence[Planned]) -> AsyncGenerator[RunEvent, None]:
        """See `Runner.run`. Closing the iterator aborts the connections of what is under way, at once."""
        events: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        coming = iter(plan)
        width = max(1, min(self._workers, len(plan)))
        tasks = {asyncio.create_task(self._work(f"journey{n}", coming, events)) for n in range(width)}
        self._tasks |= tasks
        try:
            running = width
            while running:
                event = await events.get()
                if event is None:
                    running -= 1
                else:
                    yield event
            await asyncio.gather(*tasks)
        finally:
            await _end(tasks)
            self._tasks -= tasks

    async def renew(self, env: Mapping[str, str]) -> None:
        """See `Runner.renew`; `render` knows the newest values by itself."""

    def rest(self) -> None:
        """See `Runner.rest`: no process waits."""

    async def close(self) -> None:
        """See `Runner.close`."""
        await _end(self._tasks)

    async def _work(self, worker: str, coming: Iterator[Planned], events: asyncio.Queue[RunEvent | None]) -> None:
        try:
            for planned in coming:
                started_at = self._clock.now()
                await events.put(Started(planned.id, planned.attempt, worker, started_at, planned.trace_id))
                await events.put(await self._attempt(planned, worker, started_at))
        finally:
            events.put_nowait(None)

    async def _attempt(self, planned: Planned, worker: str, started_at: datetime) -> Finished:
        began = self._clock.monotonic()
        walk = Walk(
            self._journeys.get(planned.id) or JourneySpec(name=planned.id, steps=()),
            planned.trace_id,
            source=self._source,
            render=self._render,
            clock=self._clock,
            context=lambda: self._context,
        )
        outcome, message, stack = Outcome.PASSED, None, ""
        error: Exception | None = None
        try:
            self._require(planned.id)
            await within(self._clock, self._timeout_s, walk.run())
        except StepFailed as failed:
            outcome, message, error = Outcome.FAILED, str(failed), failed
        except Elapsed:
            outcome, message = Outcome.TIMEOUT, f"not finished within {seconds(self._timeout_s)} ({walk.place})"
            await walk.abort()
        except asyncio.CancelledError:
            await walk.abort()
            raise
        except NetraLoopError as failed:
            hint = f" ({failed.hint})" if failed.hint else ""
            outcome, message, error = Outcome.ERROR, f"{_one_line(failed)}{hint}, at {walk.place}", failed
        except Exception as failed:  # noqa: BLE001 - whatever a journey does, it gets an outcome, with the stack kept
            outcome, message = Outcome.ERROR, f"{type(failed).__name__} ({walk.place}): {_one_line(failed)}"
            stack, error = "".join(traceback.format_exception(failed)), failed
        await self._let_go(walk)
        if error is not None and (short := behind(error)) is not None:
            raise short from error  # it is our own process that may open no more: that says nothing of the journey
        return Finished(
            id=planned.id,
            attempt=planned.attempt,
            worker=worker,
            started_at=started_at,
            duration_s=max(0.0, self._clock.monotonic() - began),
            outcome=outcome,
            trace_id=planned.trace_id,
            message=message,
            traceback=stack,
            output="".join(f"{line}\n" for line in walk.lines),
            evidence=walk.trail.evidence(),
        )

    def _require(self, id_: str) -> None:
        if id_ not in self._journeys:
            raise Defect(f"no journey is called {id_!r}, expected one of {', '.join(self._journeys)}")

    @staticmethod
    async def _let_go(walk: Walk) -> None:
        try:
            await walk.close()
        except asyncio.CancelledError:
            await walk.abort()
            raise

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Made once, when a journey first needs it: it costs some 20 ms."""
        return httpx.create_ssl_context()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
