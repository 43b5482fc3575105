"""One run of a plan: keeps the workers' seats filled and makes sure that each planned attempt is finished once.

Every seat is a coroutine that fills itself with worker after worker while there is work, and waits, without a process,
while there is none for it: work may come back, or turn out to be more than it seemed. What workers say is handled at
once, in the order it comes; what happens is put out as `RunEvent`s. A test that was handed out and never begun goes
back in line when its worker dies; one that had begun is `crashed`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netra_loop.cgroups import Group
from netra_loop.clock import Clock
from netra_loop.core.records import Outcome
from netra_loop.execution import pool_ends
from netra_loop.execution.base import Finished, Notice, Planned, PoolOptions, RunEvent, Started
from netra_loop.execution.gathered import Gathered
from netra_loop.execution.pool_deadlines import TICK_S, Deadlines
from netra_loop.execution.pool_queue import Assignment, Queue, slow, units
from netra_loop.execution.pool_result import Seen, finished, instant
from netra_loop.execution.pool_wire import Message, Switchboard
from netra_loop.execution.pool_worker import Index, RefusedError, StartError, Worker, index_of
from netra_loop.execution.pool_zygote import Zygote, dump_stacks
from netra_loop.processes import stopped

_BARREN = 3  # workers that die in a row before any test began: more would die too
_INTERRUPT_S = 3.5
_REFUSED_S = 10.0  # without a single worker, and no new one to be had
_PAUSE_S = 0.5
_WOKEN = 4  # at a time: there may be nothing left for more once these have taken theirs
_MEMORY = 0.3  # weight of the newest duration in a worker's running mean


class UnusableError(Exception):
    """No worker can be had any more; the text says why."""


Provider = Callable[[], Awaitable[Zygote]]


class Run:
    """`zygote` brings the living zygote, a new one where the old one died (UnusableError when that fails, too).

    `numbers` counts the workers that each seat has had, over all runs of a pool: no two share their files.
    """

    def __init__(
        self,
        plan: Sequence[Planned],
        gathered: Gathered,
        options: PoolOptions,
        clock: Clock,
        zygote: Provider,
        group: Group | None = None,
        numbers: Counter[str] | None = None,
        worker: Callable[..., Worker] = Worker,
    ) -> None:
        self._gathered = gathered
        self._options = options
        self._clock = clock
        self._zygote = zygote
        self._group = group
        alone = options.isolation == "test"
        self._queue = Queue(units(plan, gathered.groups), options.workers, alone=alone)
        self._seats = min(options.workers, len(self._queue))
        self._unfinished = {assignment.key: assignment for unit in self._queue for assignment in unit}
        self._deadlines: Deadlines[Worker] = Deadlines()
        self._index: Index = index_of(gathered.tests)
        self._indexed = gathered
        self._barren = 0
        self._memory = pool_ends.MemoryWatch()
        self._numbers: Counter[str] = Counter() if numbers is None else numbers
        self._worker = worker
        self._workers: set[Worker] = set()
        self._parked: dict[str, asyncio.Future[bool]] = {}
        self._coming: set[str] = set()  # seats whose worker has not been asked yet what it is given
        self._refused_at: float | None = None
        self._told: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Semaphore(max(4, 2 * (os.cpu_count() or 1)))
        self.events: asyncio.Queue[RunEvent | BaseException | None] = asyncio.Queue()

    # ---------------------------------------------------------------------------------------------------- from outside

    def start(self, board: Switchboard, scratch: Path) -> None:
        """Begins; `events` then brings what happens and, last, None."""
        self._board, self._scratch = board, scratch
        if self._gathered.spawn is not None:
            self._say(f"workers are spawned, not forked: {self._gathered.spawn}")
        self._do(self._all())

    def renewed(self, options: PoolOptions) -> None:
        """Workers that are up by now take no more tests; those that follow are made with `options`."""
        self._options = options
        for worker in self._workers:
            worker.stale = True

    def uses(self, zygote: Zygote) -> bool:
        """Whether a worker is, or is about to be, a fork of it."""
        return any(worker.zygote is zygote for worker in self._workers)

    async def stop(self) -> None:
        """Interrupts whatever runs, kills what has not ended 3.5 s later, and waits until nothing is left."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        workers = list(self._workers)
        for worker in workers:
            worker.interrupt()
        if workers:
            waits = [asyncio.ensure_future(worker.lost.wait()) for worker in workers if worker.channel is not None]
            if waits:
                await asyncio.wait(waits, timeout=_INTERRUPT_S)
            for wait in waits:
                wait.cancel()
        for worker in workers:
            await worker.end()
            await worker.exit_code()
            self._forget(worker)

    # ------------------------------------------------------------------------------------------------------------ seats

    async def _all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                async with asyncio.TaskGroup() as seats:
                    for number in range(self._seats):
                        seats.create_task(self._seat(f"gw{self._options.first + number}"))
                watch.cancel()
        except BaseExceptionGroup as errors:
            self.events.put_nowait(_first(errors))
            return
        for assignment in list(self._unfinished.values()):
            self._fail(assignment, "no worker ran it, and none holds it", "")
        self.events.put_nowait(None)

    async def _seat(self, name: str) -> None:
        while await self._wanted(name):
            worker = self._new(name)
            try:
                up = await self._up(worker)
                if up and not self._give(worker):
                    self._quit(worker)
            finally:
                self._coming.discard(name)
            self._stir()
            if up:
                await worker.lost.wait()
                code = await worker.exit_code()
                if worker.ending is not None:
                    await worker.ending
                self._settle(worker, code)
                self._stir()

    async def _wanted(self, name: str) -> bool:
        """Waits until one more worker is of use; False once nothing can come back any more."""
        if not self._queue and not self._workers:
            return False
        if self._useful(self._seats):
            self._coming.add(name)
            return True
        self._parked[name] = asyncio.get_running_loop().create_future()
        return await self._parked[name]

    def _useful(self, at_once: int) -> bool:
        return len(self._coming) < min(at_once, len(self._queue)) and self._queue.offers()

    def _stir(self) -> None:
        """Wakes as many waiting seats as there is something for, all of them when all is over."""
        over = not self._queue and not self._workers
        while self._parked and (over or self._useful(_WOKEN)):
            name, parked = self._parked.popitem()
            if not parked.done():  # cancelled
                if not over:
                    self._coming.add(name)
                parked.set_result(not over)

    async def _up(self, worker: Worker) -> bool:
        """Whether it came up; what a failure means for the others is seen to."""
        try:
            await self._bring_up(worker)
        except RefusedError as failure:
            self._forget(worker)
            await self._refused(str(failure), worker.name)
        except StartError as failure:
            await worker.end()
            await worker.exit_code()
            self._forget(worker)
            self._fruitless(str(failure))
        except ConnectionError:  # its zygote is gone, and says nothing about the worker; `zygote` knows when to give up
            self._forget(worker)
        except UnusableError as failure:
            self._forget(worker)
            self._give_up(str(failure))
        else:
            self._refused_at = None
            return True
        return False

    async def _refused(self, why: str, name: str) -> None:
        """There is no room for one more process. Those who live go on; without any it is tried again for a while."""
        self._say_once(f"fewer workers than wanted, tried again and again: {why}", about="refused")
        self._coming.discard(name)
        self._stir()
        now = self._clock.monotonic()
        if any(other.ready.is_set() for other in self._workers):
            self._refused_at = None
        elif self._refused_at is None:
            self._refused_at = now
        elif now - self._refused_at > _REFUSED_S:
            self._give_up(why)
            return
        await self._clock.sleep(_PAUSE_S)

    def _new(self, name: str) -> Worker:
        number = self._numbers[name]
        self._numbers[name] += 1
        files = str(self._scratch / (name if number == 0 else f"{name}-{number}"))
        worker = self._worker(name, files, self._heard, index=self._index)
        worker.tidy()  # of an earlier run in the same folder
        self._workers.add(worker)
        return worker

    async def _bring_up(self, worker: Worker) -> None:
        if self._gathered.spawn is not None:
            async with self._starting:
                await worker.spawn(self._board, self._options, self._seats, self._gathered.tests, self._group)
            return
        zygote = await self._zygote()
        if zygote.gathered is not self._indexed:  # collected anew
            self._indexed = zygote.gathered
            self._index = index_of(zygote.gathered.tests)
        worker.index = self._index
        await worker.fork(zygote, self._board, self._options, self._seats)

    def _forget(self, worker: Worker) -> None:
        self._board.forget(worker.token)
        self._deadlines.clear(worker)
        self._queue.leave(worker, worker.held)
        worker.held.clear()
        self._workers.discard(worker)
        worker.tidy()

    # ------------------------------------------------------------------------------------------------- what workers say

    def _heard(self, worker: Worker, message: Message) -> None:
        if worker.condemned:
            return
        match message["is"]:
            case "began":
                self._began(worker, message)
            case "called":
                worker.called = message
                self._saw(worker, message)
            case "seen":
                self._saw(worker, message)
            case "ask":
                if not worker.held and not worker.rested:
                    self._give(worker)
            case "ended":
                self._ended(worker, message)

    def _began(self, worker: Worker, message: Message) -> None:
        self._barren = 0
        assignment = worker.current = worker.held.popleft()
        worker.called = None
        page, trace = worker.files + ".page", assignment.planned.trace_id
        worker.seen = Seen(worker.files + ".forks", message["at"], trace, page, assignment.key)
        worker.log_start = message["log"]
        worker.started_at = instant(message["at"])
        worker.began = self._clock.monotonic()
        self._deadlines.set(worker, worker.began + self._options.timeout_s)
        planned = assignment.planned
        self._put(Started(planned.id, planned.attempt, worker.name, worker.started_at, planned.trace_id))
        for _ in range(self._queue.ahead(worker.mean_s, worker.held)):
            if worker.rested or not self._give(worker) or slow(worker.held[-1].planned):
                break

    @staticmethod
    def _saw(worker: Worker, message: Message) -> None:
        if worker.current is not None and worker.current.key == message["key"] and message["seen"] is not None:
            worker.seen.take(message["seen"])

    def _ended(self, worker: Worker, message: Message) -> None:
        assignment, started_at = worker.current, worker.started_at
        if assignment is None or started_at is None:
            return
        took = self._clock.monotonic() - worker.began
        worker.mean_s = took if worker.mean_s is None else (1 - _MEMORY) * worker.mean_s + _MEMORY * took
        worker.current = None
        self._deadlines.set(worker, self._clock.monotonic() + self._options.timeout_s)  # to go on, or to end
        said = finished(assignment.planned, worker.name, started_at, message, sources=worker.sources)
        self._finish(assignment, said)
        self._queue.took(assignment, max(0.0, said.duration_s - said.wider_s))
        self._stir()
        if message["last"] or worker.held:
            return  # it ends by itself, or goes on with what it has
        if self._options.isolation == "test" or not self._give(worker):
            self._quit(worker)

    def _quit(self, worker: Worker) -> None:
        worker.send(**{"is": "quit"})
        self._deadlines.set(worker, self._clock.monotonic() + self._options.timeout_s)

    def _give(self, worker: Worker) -> bool:
        """Hands out the next unit, or the word that nothing follows; False where there was no unit for this worker."""
        given = False
        while not given and not worker.orphaned and (unit := self._queue.take(worker)) is not None:
            for assignment in unit:
                given = self._hand(worker, assignment) or given
        if not given or not self._queue or self._options.isolation == "test":
            if not worker.rested:
                worker.send(**{"is": "rest"})
            worker.rested = True
        return given

    def _hand(self, worker: Worker, assignment: Assignment) -> bool:
        planned = assignment.planned
        index = worker.index.get(planned.id)
        if index is None:
            self._fail(assignment, f"was not collected: {planned.id}", worker.name)
            return False
        worker.rested = False
        worker.held.append(assignment)
        if worker.current is None:
            self._deadlines.set(worker, self._clock.monotonic() + self._options.timeout_s)
        worker.send(**{"is": "run", "key": assignment.key, "index": index, "trace": planned.trace_id})
        return True

    # ------------------------------------------------------------------------------------------------ ends that differ

    def _settle(self, worker: Worker, code: int | None) -> None:
        """After a worker's end: what it had begun is crashed, what it held goes back in line."""
        how = pool_ends.how(worker, code, self._memory)
        if worker.current is not None:
            took_s = self._clock.monotonic() - worker.began
            cut = pool_ends.crashed(worker, worker.current.planned, how, self._clock.now(), took_s)
            self._finish(worker.current, cut)
        elif worker.held and worker.started_at is None:
            self._fruitless(f"worker {worker.name} {how} before its test began")
        elif worker.over is not None and worker.over["text"]:
            last = worker.over["text"].strip().splitlines()[-1]
            self._say_once(f"worker {worker.name} did not end well: {last}", about=last)
        elif not worker.condemned and (worker.over is None or code not in {0, None}):
            self._say_once(f"worker {worker.name} {how} outside any test, before all was torn down", about=how)
        self._forget(worker)

    def _fruitless(self, why: str) -> None:
        self._barren += 1
        if self._barren >= _BARREN:
            self._give_up(why)

    def _give_up(self, why: str) -> None:
        for assignment in self._queue.drain():
            self._fail(assignment, f"no worker could be had: {why}", "")

    async def _watch(self) -> None:
        self._deadlines.expired(self._clock.monotonic())  # we are awake from here on, which is before any test begins
        while True:
            await self._clock.sleep(TICK_S)
            for worker in self._workers:
                worker.trim()
            for worker in self._deadlines.expired(self._clock.monotonic()):
                worker.condemned = True
                worker.look()  # before a signal for its stacks can wake it up
                worker.ending = self._do(self._time_out(worker))

    async def _time_out(self, worker: Worker) -> None:
        frozen = worker.who is not None and stopped(worker.who)
        try:
            await self._tell_overdue(worker, frozen=frozen)
        finally:
            await worker.end()

    async def _tell_overdue(self, worker: Worker, *, frozen: bool) -> None:
        stacks = "" if worker.who is None else await dump_stacks(worker.who, worker.stacks_file)
        limit_s = self._options.timeout_s
        if worker.current is not None:
            now, took_s = self._clock.now(), self._clock.monotonic() - worker.began
            planned = worker.current.planned
            self._finish(
                worker.current, pool_ends.overdue(worker, planned, limit_s, stacks, now, took_s, frozen=frozen)
            )
            worker.current = None
        else:
            self._say(f"worker {worker.name} did not go on within {limit_s:g} s and was killed")

    # ---------------------------------------------------------------------------------------------------------- putting

    def _fail(self, assignment: Assignment, message: str, worker: str) -> None:
        planned = assignment.planned
        line, _, rest = message.partition("\n")
        self._finish(
            assignment,
            Finished(
                planned.id,
                planned.attempt,
                worker,
                self._clock.now(),
                0.0,
                Outcome.ERROR,
                planned.trace_id,
                line,
                rest,
            ),
        )

    def _finish(self, assignment: Assignment, event: Finished) -> None:
        if assignment.key in self._unfinished:  # once, whatever comes after
            del self._unfinished[assignment.key]
            self._put(replace(event, placed=assignment.why or assignment.planned.why))

    def _say_once(self, text: str, *, about: str) -> None:
        if about not in self._told:
            self._told.add(about)
            self._say(text)

    def _say(self, text: str) -> None:
        self._put(Notice(text))

    def _put(self, event: RunEvent) -> None:
        self.events.put_nowait(event)

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _first(errors: BaseExceptionGroup) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
