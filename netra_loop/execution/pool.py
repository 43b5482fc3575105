"""Runs pytest tests: one interpreter collects, its forks run tests, and whatever happens to them each test is reported.

The design and its alternatives: docs/execution.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path

from netra_loop.cgroups import Group
from netra_loop.cgroups import make as make_group
from netra_loop.clock import Clock
from netra_loop.errors import Defect, EnvironmentFailed
from netra_loop.execution import pool_folder
from netra_loop.execution.base import Collection, Finished, Planned, PoolOptions, RunEvent
from netra_loop.execution.pool_ahead import Ahead
from netra_loop.execution.pool_result import missing
from netra_loop.execution.pool_run import Run, UnusableError
from netra_loop.execution.pool_wire import Switchboard
from netra_loop.execution.pool_zygote import Zygote

_BARREN = 2


class PytestPool:
    """The `Runner` of pytest tests. `scratch` is a folder of ours for the processes' output; it is made where missing.

    Each worker's processes are kept together by a cgroup where one can be had; `cgroups` False does without. After a
    cancelled `run` the pool may be used again. `ahead` is an interpreter that may have begun already: this pool takes
    it over, or ends it.
    """

    def __init__(
        self,
        options: PoolOptions,
        clock: Clock,
        scratch: Path,
        *,
        cgroups: bool = True,
        ahead: Ahead | None = None,
    ) -> None:
        self._options = dataclasses.replace(options, testrun_uid=options.testrun_uid or uuid.uuid4().hex)
        self._clock = clock
        self._scratch = scratch
        self._board = Switchboard()
        self._zygote: Zygote | None = None
        self._collected: Zygote | None = None  # the first one: what it gathered is what was selected from
        self._collection: Collection | None = None
        self._collecting = asyncio.Lock()
        self._ahead = ahead
        self._grouped = cgroups
        self._group: Group | None = None
        self._dead: list[Zygote] = []  # their workers may live on
        self._resting: list[asyncio.Task[None]] = []
        self._barren = 0  # zygotes that died since the last result
        self._renewing = asyncio.Lock()
        self._numbers: Counter[str] = Counter()
        self._run: Run | None = None

    async def collect(self) -> Collection:
        """See `Runner.collect`."""
        async with self._collecting:
            if self._collection is None:
                self._collection = await self._collect()
            return self._collection

    async def _collect(self) -> Collection:
        self._scratch.mkdir(parents=True, exist_ok=True)
        zygote, collecting = await self._taken_over() or await self._own()
        self._zygote = self._collected = zygote
        try:
            collection = await collecting
        except BaseException:  # cancelled: nobody will ask for what it collects
            await zygote.end(quit_s=0)
            raise
        if zygote.gathered.spawn is not None or collection.fatal is not None:
            await zygote.end()  # nothing will be forked of it
        return collection

    async def _own(self) -> tuple[Zygote, Awaitable[Collection]]:
        if self._group is None and self._grouped:
            self._group = make_group()
        await pool_folder.clear(self._scratch)
        await self._board.open()
        self._mark()
        zygote = self._new()
        return zygote, zygote.collect()

    async def _taken_over(self) -> tuple[Zygote, Awaitable[Collection]] | None:
        ahead = self._ahead
        if ahead is None:
            return None
        if not await ahead.serves(self._options):
            await ahead.end()
            self._ahead = None
            return None
        self._ahead = None
        collecting = ahead.collection(self._options)
        self._board, self._group = ahead.board, ahead.group
        self._mark()
        return ahead.zygote, collecting

    async def run(self, plan: Sequence[Planned]) -> AsyncIterator[RunEvent]:
        """See `Runner.run`. What is planned and was not collected is an `error`. Raises Defect where `collect` was not
        called before.
        """
        if self._collected is None or self._collection is None:
            raise Defect("run was called before collect")
        known = {test.id for test in self._collection.tests}
        for planned in plan:
            if planned.id not in known:
                yield missing(planned, self._collection, self._clock.now())
        plan = [planned for planned in plan if planned.id in known]
        if not plan:
            return
        gathered = self._collected.gathered
        run = self._run = Run(plan, gathered, self._options, self._clock, self._living, self._group, self._numbers)
        run.start(self._board, self._scratch)
        try:
            while (event := await run.events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, Finished):
                    self._barren = 0
                yield event
        finally:
            self._run = None
            await run.stop()

    async def renew(self, env: Mapping[str, str]) -> None:
        """See `Runner.renew`. Another interpreter collects, beside those that run tests, and takes the place of the one
        that workers are forked of.
        """
        options = dataclasses.replace(self._options, env={**env, **_mark_of(self._options.env)})
        forks = self._collected is not None and self._collected.gathered.spawn is None
        zygote = await self._another(options) if forks else None
        async with self._renewing:
            if zygote is not None:
                if self._zygote is not None:
                    self._dead.append(self._zygote)
                self._zygote = zygote
            self._options = options
            if self._run is not None:
                self._run.renewed(options)
            await self._let_go()

    async def _another(self, options: PoolOptions) -> Zygote:
        assert self._collection is not None
        zygote = Zygote(options, self._board, self._scratch, self._group)
        try:
            collection = await zygote.collect()
        except BaseException:
            await zygote.end(quit_s=0)
            raise
        lost = {test.id for test in self._collection.tests} - {test.id for test in collection.tests}
        why = collection.fatal or zygote.gathered.spawn or (f"{min(lost)!r} was not found" if lost else "")
        if why:
            await zygote.end(quit_s=0)
            raise EnvironmentFailed(f"the tests could not be collected anew: {why.splitlines()[0]}")
        return zygote

    async def _let_go(self) -> None:
        """Ends the zygotes that nobody is a fork of any more. The first one stays until the pool is closed: with it
        ends what its conftest files made for the whole run.
        """
        for zygote in [one for one in self._dead if one is not self._collected]:
            if self._run is None or not self._run.uses(zygote):
                self._dead.remove(zygote)
                await zygote.end(quit_s=0)

    def rest(self) -> None:
        """See `Runner.rest`. With the interpreter ends what its conftest files made for the whole run."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            self._resting.append(asyncio.create_task(zygote.end()))

    async def close(self) -> None:
        """See `Runner.close`."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead.end()
        if self._zygote is not None:
            await self._zygote.end()
        for zygote in self._dead:
            await zygote.end()
        self._dead.clear()
        await asyncio.gather(*self._resting)
        self._resting.clear()
        if self._group is not None:
            await self._group.end()
            self._group = None
        self._collection = self._collected = None
        await self._board.close()
        pool_folder.forget(self._scratch)

    def _new(self) -> Zygote:
        return Zygote(self._options, self._board, self._scratch, self._group)

    def _mark(self) -> None:
        """What it starts from here on is told from all else, should we not live to end it."""
        record = pool_folder.Record.new(self._board.folder.name, self._group)
        record.write(self._board.folder, self._scratch)
        env = {**self._options.env, pool_folder.MARK: record.mark}
        self._options = dataclasses.replace(self._options, env=env)

    async def _living(self) -> Zygote:
        async with self._renewing:
            if self._zygote is not None and not self._zygote.lost.is_set():
                return self._zygote
            self._barren += 1
            if self._barren > _BARREN:
                raise UnusableError(f"the process that collected died {self._barren} times before any test ended")
            if self._zygote is not None:
                self._dead.append(self._zygote)
            zygote = self._zygote = self._new()
            collection = await zygote.collect()
            if collection.fatal is not None:
                raise UnusableError(f"the process that collected died, and collecting again failed: {collection.fatal}")
            return zygote


def _mark_of(env: Mapping[str, str]) -> dict[str, str]:
    """By what processes of this pool are told from all others, once it has begun."""
    return {name: value for name, value in env.items() if name == pool_folder.MARK}
