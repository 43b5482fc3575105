"""How `run` begins: the tests' interpreter starts while we are still importing what will drive it.

On two cores that is most of what a short run takes beside its tests. What is guessed of the interpreter is held against
what the loop file turns out to mean; it collects before the session is stored only where no phase comes before that and
nothing is still to be learned, for collecting changes nothing.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from netra_loop.loops import guess
from netra_loop.settings import Settings

if TYPE_CHECKING:
    from netra_loop.app import Beginning, Options
    from netra_loop.execution.pool_ahead import Ahead


class Opening:
    """Leaving it ends the interpreter that it began, used or not. Without `ahead` it begins none."""

    def __init__(self, settings: Settings, path: Path, *, ahead: bool) -> None:
        self._settings = settings
        self._path = path
        self._may = ahead
        self._begun: list[Ahead] = []
        self.ahead: Ahead | None = None

    async def __aenter__(self) -> Self:
        found = guess(self._path) if self._may else None
        if found is not None:
            self.ahead = self._begin(found.python, found.root, self._settings.environ)
        await self._imported("netra_loop.app")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for ahead in self._begun:
            await ahead.end()

    async def prepare(self, options: Options) -> Beginning:
        """The session that is to be; its tests are collected from here on, where that is all they need."""
        from netra_loop.app import prepare, tests_of
        from netra_loop.clock import SystemClock

        beginning = prepare(self._path, options, SystemClock().now())
        wanted = tests_of(beginning, self._settings) if self._may else None
        if wanted is not None:
            if self.ahead is None or not self.ahead.matches(wanted):
                self.ahead = self._begin(wanted.python, wanted.root, wanted.env)
            self.ahead.collect(wanted)
        await self._imported("netra_loop.journal.store", "netra_loop.execution.pool", "netra_loop.report.console")
        return beginning

    def _begin(self, python: Path, root: Path, environ: Mapping[str, str]) -> Ahead:
        from netra_loop.execution.pool_ahead import Ahead

        self._begun.append(Ahead(python, root, environ))
        return self._begun[-1]

    async def _imported(self, *names: str) -> None:
        for name in names:  # in a thread: what the interpreter says meanwhile is answered
            await asyncio.to_thread(importlib.import_module, name)
