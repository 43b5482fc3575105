"""The tests' interpreter, started before it is known what it is to collect, so that it is ready when that is.

It begins in two steps. Started, it has imported pytest and nothing else. Once all is known that the tests are given, it
may be told to collect, as it would be by `PytestPool.collect`, to which it is handed over with what it has done by
then. A pool that turns out to need another interpreter, folder or environment ends it and starts its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netra_loop.cgroups import Group
from netra_loop.cgroups import make as make_group
from netra_loop.errors import EnvironmentFailed
from netra_loop.execution import pool_folder
from netra_loop.execution.options import PoolOptions
from netra_loop.execution.pool_wire import Switchboard
from netra_loop.execution.pool_zygote import Zygote

if TYPE_CHECKING:
    from netra_loop.execution.base import Collection

_OURS = "NETRA_LOOP_"  # what nothing looks at while an interpreter starts; it may come later


class Ahead:
    """Starts at once, in the running event loop. `environ` is all of the tests' environment but for `NETRA_LOOP_…`.

    To be ended by whoever made it, unless a pool took it over. What goes wrong meanwhile is told by nobody: a pool that
    is given it starts its own interpreter then, and says what that meets.
    """

    def __init__(self, python: Path, root: Path, environ: Mapping[str, str]) -> None:
        self.board = Switchboard()
        self.group: Group | None = None
        self.zygote: Zygote | None = None
        self._options = PoolOptions(python=python, root=root, paths=(), env=environ)
        self._wanted: PoolOptions | None = None
        self._planned: PoolOptions | None = None
        self._launched = asyncio.Event()
        self._starting = asyncio.create_task(self._start())
        self._starting.add_done_callback(lambda _: self._launched.set())
        self._collecting: asyncio.Task[Collection] | None = None

    async def _start(self) -> Zygote:
        await self.board.open()
        self.group = make_group()
        record = pool_folder.Record.new(self.board.folder.name, self.group)
        record.write(self.board.folder)
        options = replace(self._options, env={**_given(self._options.env), pool_folder.MARK: record.mark})
        zygote = self.zygote = Zygote(options, self.board, self.board.folder, self.group)
        await zygote.start(early=self._launched.set)
        return zygote

    async def launched(self) -> None:
        """Returns once it comes up by itself, whether or not the event loop runs."""
        await self._launched.wait()

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
        zygote = await self._starting
        await pool_folder.clear(self.board.folder)  # what a killed process left of its tests, before ours are imported
        zygote.settle(replace(options, env={**options.env, pool_folder.MARK: self.board.folder.name}))
        return await zygote.collect()

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
        if self.zygote is not None:
            await self.zygote.end(quit_s=0)
        if self.group is not None:
            await self.group.end()
        await self.board.close()

    def matches(self, options: PoolOptions) -> bool:
        """Whether it was started for such options."""
        own = self._options
        return (own.python, own.root, _given(own.env)) == (options.python, options.root, _given(options.env))


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_OURS)}
