"""How `run` begins: the tests' interpreter starts while we are still importing what will drive it.

On two cores that is most of what a short run takes beside its tests. What is guessed of the interpreter is held against
what the loop file turns out to mean. It collects before the phase that asks for it only where no phase comes earlier
and nothing is still to be learned; and before the store is open only where there is none yet that could refuse it, for
collecting runs the project's own code.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from netra_loop.errors import EnvironmentFailed, UsageError
from netra_loop.loops import find_loop, guess
from netra_loop.settings import STORE_FILE, Settings, read

if TYPE_CHECKING:
    import asyncio

    from netra_loop.beginning import Beginning, Options
    from netra_loop.execution.pool_ahead import Ahead
    from netra_loop.execution.pool_begun import Begun

T = TypeVar("T")


class Opening:
    """The event loop of one command, and the interpreters that it began: leaving it ends them, used or not."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._glanced: Begun | None = None
        self._begun: list[Ahead] = []
        self.ahead: Ahead | None = None
        self._first = False

    @classmethod
    def glancing(cls, arguments: Sequence[str]) -> Opening:
        """Starts the interpreter that `run` with these arguments most likely needs, before they are understood.

        For a process that does nothing else: what it imports stays, so the garbage collector need not look through it.
        """
        opening = cls()
        opening._first = True
        gc.disable()
        if "run" not in arguments or "--continue" in arguments:
            return opening
        try:
            settings = read()
        except FileNotFoundError:  # our working directory: said by whoever needs it next
            return opening
        for word in arguments[arguments.index("run") + 1 :]:
            with contextlib.suppress(UsageError, OSError, ValueError):  # said once the word is known to be the loop
                found = None if word.startswith("-") else guess(find_loop(settings, word))
                if found is not None:
                    opening._glanced = _begin(found.python, found.root, settings.environ)
                    break
        return opening

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `asyncio.run` does."""
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner.run(work)

    async def prepare(self, path: Path, settings: Settings, options: Options, *, ahead: bool) -> Beginning:
        """The session that is to be. With `ahead` its interpreter knows what to collect, where that can be known, and
        begins at once where nothing can refuse the session any more; else `Session.start` lets it.
        """
        self._take_glanced()
        await _imported("netra_loop.beginning")
        from netra_loop.beginning import first_collection, prepare
        from netra_loop.clock import SystemClock

        beginning = prepare(path, options, SystemClock().now())
        wanted = first_collection(beginning, settings) if ahead else None
        if wanted is not None:
            if self.ahead is None or not self.ahead.matches(wanted):
                self._follow(_begin(wanted.python, wanted.root, wanted.env))
            if self.ahead is not None:
                self.ahead.plan(wanted)
                if _is_fresh(settings, path):
                    self.ahead.go()
        await _imported("netra_loop.app", "netra_loop.journal.store", "netra_loop.execution.pool")
        await self._end(but=self.ahead)  # what was guessed wrong would stand there all night
        if self._first:
            gc.freeze()
            gc.enable()
        return beginning

    def close(self) -> None:
        """Safe to repeat."""
        gc.enable()
        if self._glanced is not None or self._begun:
            self.run(self._end_all())
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    async def _end_all(self) -> None:
        self._take_glanced()
        await self._end(but=None)

    async def _end(self, *, but: Ahead | None) -> None:
        for ahead in [one for one in self._begun if one is not but]:
            await ahead.end()
            self._begun.remove(ahead)

    def _take_glanced(self) -> None:
        glanced, self._glanced = self._glanced, None
        self._follow(glanced)

    def _follow(self, begun: Begun | None) -> None:
        """From here on there is an event loop that looks after it."""
        if begun is not None:
            from netra_loop.execution.pool_ahead import Ahead

            self.ahead = Ahead(begun)
            self._begun.append(self.ahead)


def _begin(python: Path, root: Path, environ: Mapping[str, str]) -> Begun | None:
    """None where it could not be: the pool, which starts its own then, says why."""
    from netra_loop.execution.pool_begun import Begun

    try:
        return Begun(python, root, environ)
    except (OSError, EnvironmentFailed):
        return None


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


async def _imported(*names: str) -> None:
    import asyncio
    import importlib

    for name in names:  # in a thread: what the interpreter says meanwhile is answered
        await asyncio.to_thread(importlib.import_module, name)
