"""Drives a session: fold the journal, decide, append the intent, let the phase act, append the outcome.

A crash can only fall between two appends. Before an intent: nothing happened. After it: the phase's `reconcile` finds
out. After an outcome: the next process decides the same as this one would have.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from netra_loop import open_files
from netra_loop.clock import Clock
from netra_loop.core import events as ev
from netra_loop.core.machine import End, GiveUp, Pause, Recover, Start, decide, target_of
from netra_loop.core.records import Batch
from netra_loop.core.spec import LoopSpec, PhaseSpec
from netra_loop.core.state import Mode, State, Status, fold
from netra_loop.engine.signals import Stop
from netra_loop.errors import AccessRefused, Defect, DiskFull, EnvironmentFailed, NetraLoopError, StoreAway, StoreError
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.phases.base import Phase, PhaseContext
from netra_loop.report.observer import Observer

_COPY_S = 30.0
_COPY_AT_END_S = 1.0  # somebody waits for the process to end

_KINDS = {"event": ("event", "events"), "result": ("result", "results"), "entry": ("log entry", "log entries")}

MakeContext = Callable[["Driver", PhaseSpec, int, int], PhaseContext]
T = TypeVar("T")


class Closing(Protocol):
    """What is done to a session's services before it ends; see `phases.closing`."""

    def __call__(self, context: PhaseContext, *, met: bool) -> Coroutine[Any, Any, bool]:
        """True once nothing is left to do. Safe to cancel and to repeat."""
        ...


class Driver:
    """One process's work on one session, which it must own (`Journal.own`) all the while."""

    def __init__(
        self,
        session: str,
        spec: LoopSpec,
        journal: Journal,
        phases: Mapping[str, Phase],
        make_context: MakeContext,
        clock: Clock,
        observer: Observer,
        stop: Stop,
        closing: Closing | None = None,
        hide: Callable[[Batch], Batch] = lambda batch: batch,
    ) -> None:
        self.session = session
        self.spec = spec
        self.state = State()
        self.clock = clock
        self.observer = observer
        self._journal = journal
        self._phases = phases
        self._make_context = make_context
        self._stop = stop
        self._closing = closing
        self._hide = hide  # what every batch passes before it is stored
        self._appending = asyncio.Lock()
        self._copied = 0  # the iteration at whose beginning the store was copied
        self._no_copy: str | None = None
        self._full: DiskFull | None = None  # nothing more is stored but that
        self._away: StoreAway | None = None  # likewise, and nothing at all
        self._unstored = Counter[str]()  # what was to be, by kind

    async def start(self, started: ev.SessionStarted, at: datetime) -> None:
        """Makes the session; nothing exists before this returns."""
        head = SessionHead(self.session, started.loop, started.environment, Status.RUNNING, 1, None, at, at)
        try:
            recorded = await self._journal.create(head, Batch(events=(started,)))
        except DiskFull as error:  # there is nothing yet that could be resumed
            raise StoreError(str(error), hint="make room, then run it again") from error
        self._took_in(recorded)

    async def load(self) -> State:
        """Folds what earlier processes left."""
        self.state = fold(await self._journal.events(self.session))
        return self.state

    async def resume(
        self,
        *,
        max_iterations: int | None,
        given: Mapping[str, str],
        only: str | None,
        loop_text: str | None = None,
    ) -> None:
        """Says that this process goes on with it; what its command line gave (variables, a tier) holds from here
        on, and so does `loop_text`, where it is not None.
        """
        resumed = ev.SessionResumed(
            iteration=self.state.iteration,
            pid=os.getpid(),
            host=socket.gethostname(),
            max_iterations=max_iterations,
            vars=dict(given),
            only=only,
            loop_text=loop_text,
        )
        await self.append(Batch(events=(resumed,)))

    async def note(self, text: str) -> None:
        """Records a sentence for a person, once in the session's life."""
        told = (item.event for item in await self._journal.events(self.session))
        if all(not isinstance(event, ev.Noted) or event.text != text for event in told):
            await self.append(Batch(events=(ev.Noted(iteration=self.state.iteration, text=text),)))

    async def append(self, batch: Batch) -> None:
        """Commits `batch` and folds its events. One at a time; what it returns from is durable.

        Cancelling waits for the commit, and folds it: what the journal holds and what we know may never differ.
        """
        commit = asyncio.create_task(self._commit(batch))
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await asyncio.wait({commit})
            commit.result()
            raise

    async def _commit(self, batch: Batch) -> None:
        async with self._appending:
            if self._full is not None:
                raise self._full  # what room there is is kept for the stop
            if self._away is not None:  # were it back now, what follows would stand without what went before
                self._unstored += _kinds(batch)
                raise self._away
            batch = self._hide(batch)
            head = self._head(batch)
            try:
                self._took_in(await self._journal.append(self.session, batch, head))
            except DiskFull as error:
                self._full = error
                raise
            except StoreAway as error:
                self._away = error
                self._unstored += _kinds(batch)
                raise

    async def drive(self) -> State:
        """Goes on until the session ends, pauses or fails, and returns its state then.

        An error of the tree is recorded before it is raised again; so is anything unexpected, as a defect.
        A copy of the store is kept after each iteration and at the end, where that takes no time worth speaking of.
        """
        try:
            state = await self._until_over()
        except StoreAway as error:
            if self._unstored:
                error.lose(", ".join(f"{count} {_KINDS[kind][count != 1]}" for kind, count in self._unstored.items()))
            raise
        except StoreError:
            raise
        except NetraLoopError:
            await self._copy_at_end()
            raise
        await self._copy_at_end()
        return state

    async def _copy_at_end(self) -> None:
        why = await self._journal.snapshot(_COPY_AT_END_S, due=True)
        if why is not None:
            self.observer.progress(f"no snapshot of the store was made: {why}")

    async def _copy(self) -> None:
        why = await self._journal.snapshot(_COPY_S)
        if why is not None and why != self._no_copy and self._stop.why is None:
            told = f"no snapshot of the store was made: {why}"
            await self.append(Batch(events=(ev.Noted(iteration=self.state.iteration, text=told),)))
        self._no_copy = why

    async def _until_over(self) -> State:
        while True:
            try:
                if not await self._advance():
                    return self.state
            except DiskFull as error:
                return await self._pause_without_room(error)
            except StoreError:
                raise  # what cannot be stored cannot be recorded either
            except NetraLoopError as error:
                if _is_disk_full(error):
                    return await self._pause_without_room(error)
                if _is_login_needed(error):  # a person has to do that; the phase then goes on from where it stood
                    await self._pause("; ".join(filter(None, (str(error), error.hint))))
                    return self.state
                named = self._too_many_files(error) or error
                await self._failed(named)
                if named is error:
                    raise
                raise named from error
            except Exception as error:
                if _is_disk_full(error):
                    return await self._pause_without_room(error)
                unforeseen = f"{type(error).__name__}: {error}"
                named = self._too_many_files(error) or Defect(unforeseen, hint=f"netra-loop journal {self.session}")
                await self._failed(named)
                raise named from error

    async def _advance(self) -> bool:
        """One command; False once there is nothing more to do here."""
        command = decide(self.spec, self.state)
        if isinstance(command, End):
            if self.state.mode is not Mode.ENDED:
                if not await self._closed(met=command.status is Status.MET):
                    return await self._pause(self._stop.why or "asked to")
                ended = ev.SessionEnded(
                    iteration=self.state.iteration,
                    outcome=command.status.value,
                    exit_code=command.exit_code,
                    reason=command.reason,
                )
                await self.append(Batch(events=(ended,)))
            return False
        if isinstance(command, GiveUp):
            raise EnvironmentFailed(
                f"phase {command.phase!r} ended netra-loop's process {command.recoveries} times in a row",
                hint=f"see what it does to this machine, then: netra-loop resume {self.session}",
            )
        if isinstance(command, Pause):
            return await self._pause(command.why)
        if self._stop.why is not None:
            return await self._pause(self._stop.why)
        return await self._perform(command)

    async def _perform(self, command: Start | Recover) -> bool:
        phase = self.spec.phase(command.phase)
        where = {"iteration": command.iteration, "phase": phase.name, "attempt": command.attempt}
        if command.iteration > max(self._copied, 1):
            self._copied = command.iteration
            await self._copy()
            if self._stop.why is not None:  # it was given up for that
                return await self._pause(self._stop.why)
        if isinstance(command, Recover):
            progress = await self._progress(phase, command.iteration)
            await self.append(Batch(events=(ev.PhaseRecovered(progress=progress, **where),)))  # type: ignore[arg-type]
            if isinstance(decide(self.spec, self.state), GiveUp):
                return True
        else:
            before = await self._results_before(phase, command.attempt)
            await self.append(Batch(events=(ev.PhaseStarted(uses=phase.uses, results=before, **where),)))  # type: ignore[arg-type]
        began = self.clock.monotonic()
        context = self._make_context(self, phase, command.iteration, command.attempt)
        actor = self._phases[phase.uses]
        result = await self._act(actor.reconcile(context) if isinstance(command, Recover) else actor.run(context))
        if result is None:
            return await self._pause(self._stop.why or "asked to", spent_s=self.clock.monotonic() - began)
        if result.pauses:
            return await self._pause(result.pauses, spent_s=self.clock.monotonic() - began)
        finished = ev.PhaseFinished(
            outcome=result.outcome,
            target=self.spec.phases[0].name if result.again else target_of(self.spec, phase, result.outcome),
            summary=result.summary,
            duration_s=round(self.clock.monotonic() - began, 3),
            facts=result.facts,
            **where,  # type: ignore[arg-type]
        )
        await self.append(replace(result.batch, events=(*result.batch.events, finished)))
        return True

    async def _progress(self, phase: PhaseSpec, iteration: int) -> int:
        """How much the iteration has stored so far. While tests run, what services log is no progress of theirs."""
        if phase.uses == "execute":
            return len(await self._journal.results(self.session, iteration, bodies=False))
        return await self._journal.count(self.session, iteration)

    async def _results_before(self, phase: PhaseSpec, attempt: int) -> int | None:
        """Where the results of this attempt of the phase will begin: told by their order, since clocks may be set."""
        if phase.uses != "execute" or attempt == 1:
            return None
        return (await self._journal.mark(self.session)).results

    async def _closed(self, *, met: bool) -> bool:
        """Settles the traffic and takes tags off, where the session may have made any of either; False where that was
        interrupted. A crash in it leaves the session about to end, so the next process does it again.
        """
        state = self.state
        left = bool(state.tags) or (not met and len({one.iteration for one in state.deployed if one.made}) > 1)
        if self._closing is None or not left or state.phase is None:
            return True
        phase = self.spec.phase(state.phase)
        context = self._make_context(self, phase, state.iteration, state.attempt)
        return await self._act(self._closing(context, met=met)) is not None

    async def waited(self, why: str, seconds: float) -> None:
        """Records that something outside made us wait; nothing where the session stands still."""
        state = self.state
        if state.mode in {Mode.READY, Mode.OPEN} and state.status is Status.RUNNING:
            where = {"iteration": state.iteration, "phase": state.phase, "attempt": state.attempt}
            event = ev.Waited(why=why, seconds=round(seconds, 3), **where)  # type: ignore[arg-type]
            await self.append(Batch(events=(event,)))

    async def _act(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the phase returns; None where it was interrupted by a request to stop."""
        task = asyncio.create_task(work)
        asked = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                return None
        finally:
            task.cancel()
            asked.cancel()
            await asyncio.gather(task, asked, return_exceptions=True)

    def _too_many_files(self, error: Exception) -> NetraLoopError | None:
        return open_files.behind(error, then=f"netra-loop resume {self.session}")

    async def _pause(self, why: str, *, spent_s: float = 0.0) -> bool:
        paused = ev.SessionPaused(iteration=self.state.iteration, why=why, spent_s=round(spent_s, 3))
        await self.append(Batch(events=(paused,)))
        return False

    async def _pause_without_room(self, error: Exception) -> State:
        """A full disk is no failure of the session: it pauses, in the room that the reserve took. DiskFull where even
        that is not enough.
        """
        self._full = None
        hint = error.hint if isinstance(error, NetraLoopError) else None
        await self._pause("; ".join(filter(None, (str(error), hint))))
        return self.state

    async def _failed(self, error: NetraLoopError) -> None:
        event = ev.SessionFailed(
            iteration=self.state.iteration,
            phase=self.state.phase,
            exit_code=error.exit_code,
            error=str(error),
            hint=error.hint,
        )
        await self.append(Batch(events=(event,)))

    def _head(self, batch: Batch) -> SessionHead | None:
        """The row `list` will show once `batch` is in; None where it changes nothing there."""
        if not batch.events or self.state.started_at is None:
            return None
        now = self.clock.now()
        ahead = fold(
            (ev.Recorded(self.state.seq + place, now, event) for place, event in enumerate(batch.events, 1)),
            self.state,
        )
        return SessionHead(
            self.session,
            ahead.loop,
            ahead.environment,
            ahead.status.value,
            ahead.iteration,
            ahead.phase,
            self.state.started_at,
            now,
            ahead.exit_code,
        )

    def _took_in(self, recorded: tuple[ev.Recorded, ...]) -> None:
        self.state = fold(recorded, self.state)
        for item in recorded:
            self.observer.event(item)


def _kinds(batch: Batch) -> Counter[str]:
    """How much of what it holds; kinds without any are left out."""
    events = sum(not isinstance(event, ev.SessionPaused | ev.SessionFailed) for event in batch.events)
    held = {"event": events, "result": len(batch.results), "entry": len(batch.entries)}
    return Counter({kind: count for kind, count in held.items() if count})


def _is_disk_full(error: BaseException | None) -> bool:
    """Whether a disk without room, ours or the temporary files', is at the bottom of it."""
    seen: list[BaseException | None] = [error]
    for one in seen:
        if isinstance(one, DiskFull) or (isinstance(one, OSError) and one.errno in {errno.ENOSPC, errno.EDQUOT}):
            return True
        if one is not None:
            seen += [one.__cause__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
    return False


def _is_login_needed(error: BaseException | None) -> bool:
    """Whether credentials that were refused are at the bottom of it."""
    while error is not None and not isinstance(error, AccessRefused):
        error = error.__cause__
    return error is not None
