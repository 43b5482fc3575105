"""How `run` begins: the tests' interpreter starts while we are still importing what will drive it.

On two cores that is most of what a short run takes beside its tests. What is guessed of the interpreter is held against
what the loop file turns out to mean. It collects before the phase that asks for it only where no phase comes earlier
and nothing is still to be learned; and before the store is open only where there is none yet that could refuse it, for
collecting runs the project's own code.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from netra_loop.errors import UsageError
from netra_loop.loops import find_loop, guess
from netra_loop.settings import STORE_FILE, Settings, read

if TYPE_CHECKING:
    from netra_loop.beginning import Beginning, Options
    from netra_loop.execution.pool_ahead import Ahead

T = TypeVar("T")


class Opening:
    """The event loop of one command, and the interpreters that it began: leaving it ends them, used or not."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._begun: list[Ahead] = []
        self.ahead: Ahead | None = None
        self._first = False

    def glance(self, arguments: Sequence[str]) -> None:
        """Starts the interpreter that `run` with these arguments most likely needs, before they are understood.

        For a process that does nothing else: what it imports stays, so the garbage collector need not look through it.
        """
        self._first = True
        gc.disable()
        if "run" not in arguments or {"--continue", "-h", "--help"} & set(arguments):
            return
        settings = read()
        for word in arguments[arguments.index("run") + 1 :]:
            with contextlib.suppress(UsageError, OSError, ValueError):  # said once the word is known to be the loop
                found = None if word.startswith("-") else guess(find_loop(settings, word))
                if found is not None:
                    self._runner.run(self._launch(found.python, found.root, settings.environ))
                    return

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `asyncio.run` does."""
        return self._runner.run(work)

    async def prepare(self, path: Path, settings: Settings, options: Options, *, ahead: bool) -> Beginning:
        """The session that is to be. With `ahead` its interpreter knows what to collect, where that can be known, and
        begins at once where nothing can refuse the session any more; else `Session.start` lets it.
        """
        await _imported("netra_loop.beginning")
        from netra_loop.beginning import first_collection, prepare
        from netra_loop.clock import SystemClock

        beginning = prepare(path, options, SystemClock().now())
        wanted = first_collection(beginning, settings) if ahead else None
        if wanted is not None:
            if self.ahead is None or not self.ahead.matches(wanted):
                self._begin(wanted.python, wanted.root, wanted.env)
            assert self.ahead is not None
            self.ahead.plan(wanted)
            if _is_fresh(settings, path):
                self.ahead.go()
        await _imported("netra_loop.app", "netra_loop.journal.store", "netra_loop.execution.pool")
        if self._first:
            gc.freeze()
            gc.enable()
        return beginning

    def close(self) -> None:
        """Safe to repeat."""
        gc.enable()
        begun, self._begun = self._begun, []
        if begun:
            self._runner.run(_end(begun))
        self._runner.close()

    async def _launch(self, python: Path, root: Path, environ: Mapping[str, str]) -> None:
        await self._begin(python, root, environ).launched()

    def _begin(self, python: Path, root: Path, environ: Mapping[str, str]) -> Ahead:
        from netra_loop.execution.pool_ahead import Ahead

        self.ahead = Ahead(python, root, environ)
        self._begun.append(self.ahead)
        return self.ahead


def _is_fresh(settings: Settings, path: Path) -> bool:
    """Whether the session's store is still to be made, in a folder that takes it."""
    folder = settings.state_dir(path.parent)
    left = (STORE_FILE, "sessions", "snapshots")  # a store that is missing is not begun anew
    if settings.store is not None or folder.is_symlink() or any(os.path.lexists(folder / name) for name in left):
        return False
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return (
        there.is_dir()
        and os.access(there, os.W_OK | os.X_OK)
        and (there != folder or there.stat().st_mode & 0o022 == 0)
    )


async def _end(begun: Sequence[Ahead]) -> None:
    for ahead in begun:
        await ahead.end()


async def _imported(*names: str) -> None:
    for name in names:  # in a thread: what the interpreter says meanwhile is answered
        await asyncio.to_thread(importlib.import_module, name)
