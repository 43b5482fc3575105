"""The tests' interpreter, started before it is known what it is to collect, so that it is ready when that is.

It begins in two steps. Started, it has imported pytest and nothing else. Once all is known that the tests are given, it
may be told to collect, as it would be by `PytestPool.collect`, to which it is handed over with what it has done by
then. A pool that turns out to need another interpreter, folder or environment ends it and starts its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from netra_loop.errors import EnvironmentFailed
from netra_loop.execution import pool_folder
from netra_loop.execution.options import PoolOptions
from netra_loop.execution.pool_begun import Begun, given
from netra_loop.execution.pool_guardian import reaped
from netra_loop.execution.pool_wire import Switchboard
from netra_loop.execution.pool_zygote import Zygote

if TYPE_CHECKING:
    from netra_loop.execution.base import Collection


class Ahead:
    """What was `begun`, in the running event loop. To be ended by whoever made it, unless a pool took it over. What
    goes wrong meanwhile is told by nobody: a pool that is given it starts its own interpreter and says what that meets.
    """

    def __init__(self, begun: Begun) -> None:
        self.board = Switchboard()
        self.group = begun.group
        self._begun = begun
        self._options = PoolOptions(python=begun.python, root=begun.root, paths=(), env=begun.environ)
        self.zygote = Zygote(self._options, self.board, begun.folder.path)
        self._wanted: PoolOptions | None = None
        self._planned: PoolOptions | None = None
        self._starting = asyncio.create_task(self._start())
        self._collecting: asyncio.Task[Collection] | None = None

    async def _start(self) -> None:
        await self.board.adopt(self._begun.folder, self._begun.socket)
        await self.zygote.adopt(self._begun)

    def plan(self, options: PoolOptions) -> None:
        """Says what `go` is to collect."""
        self._planned = options

    def go(self) -> None:
        """Begins to collect what was planned: from here on the project's own code runs. Safe to repeat."""
        if self._planned is not None:
            self.collect(self._planned)

    def collect(self, options: PoolOptions) -> None:
        """Begins to collect; does nothing where it was not started for such options."""
        if self._collecting is None and self.matches(options):
            self._wanted = options
            self._collecting = asyncio.create_task(self._collect(options))

    async def _collect(self, options: PoolOptions) -> Collection:
        await self._starting
        await pool_folder.clear(self.board.folder)  # what a killed process left of its tests, before ours are imported
        self.zygote.settle(replace(options, env={**options.env, pool_folder.MARK: self.board.folder.name}))
        return await self.zygote.collect()

    async def serves(self, options: PoolOptions) -> bool:
        """Whether a pool of these options may take it over. False where it could not be started."""
        try:
            await self._starting
        except (OSError, EnvironmentFailed):
            return False
        return self.matches(options) if self._wanted is None else self._wanted == options

    async def collection(self, options: PoolOptions) -> Collection:
        """What it collected; begins to where it has not. Only where it `serves` them."""
        self.collect(options)
        assert self._collecting is not None
        return await self._collecting

    async def end(self) -> None:
        """Ends its process and all that this started. Safe to repeat; not for one that a pool has taken over."""
        tasks = [task for task in (self._starting, self._collecting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.board.path:
            await self.zygote.end(quit_s=0)
        else:  # before it was taken over
            self._begun.drop()
            await reaped(self._begun.guardian.pid)
        if self.group is not None:
            await self.group.end()
        await self.board.close()

    def matches(self, options: PoolOptions) -> bool:
        """Whether it was started for such options."""
        own = self._begun
        return (own.python, own.root, own.environ) == (options.python, options.root, given(options.env))
