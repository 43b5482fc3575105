"""Pools over small suites written for one test."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netra_loop.clock import SystemClock
from netra_loop.execution.base import Collection, Finished, Notice, Planned, PoolOptions, Started
from netra_loop.execution.pool import PytestPool
from netra_loop.execution.pool_ahead import Ahead


@dataclass
class Ran:
    """What a run over a whole collection brought."""

    collection: Collection
    finished: list[Finished] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def outcomes(self) -> dict[str, str]:
        return {event.id.split("::", 1)[1]: str(event.outcome) for event in self.finished}

    def of(self, name: str) -> Finished:
        (found,) = (event for event in self.finished if event.id.endswith("::" + name))
        return found


class Suite:
    """A folder of tests and pools over it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self.pools: list[PytestPool] = []

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.root / f"{name}.py").write_text(textwrap.dedent(text))

    def options(self, **changes: object) -> PoolOptions:
        # plugins of this project's own environment would only cost time
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        for name in [name for name in env if name.startswith("PYTEST_XDIST")]:
            del env[name]
        given: dict[str, object] = {"python": Path(sys.executable), "workers": 2, "timeout_s": 20.0, "env": env}
        return PoolOptions(root=self.root, paths=(".",), **(given | changes))  # type: ignore[arg-type]

    def pool(self, *, cgroups: bool = True, ahead: Ahead | None = None, **changes: object) -> PytestPool:
        pool = PytestPool(self.options(**changes), SystemClock(), self.scratch, cgroups=cgroups, ahead=ahead)
        self.pools.append(pool)
        return pool

    async def run(self, only: Callable[[str], bool] = lambda _id: True, **changes: object) -> Ran:
        pool = self.pool(**changes)
        collection = await pool.collect()
        ran = Ran(collection)
        plan = plan_of([test.id for test in collection.tests if only(test.id)])
        async for event in pool.run(plan):
            match event:
                case Finished():
                    ran.finished.append(event)
                case Started():
                    ran.started.append(event)
                case Notice():
                    ran.notices.append(event.text)
        assert sorted(event.id for event in ran.finished) == sorted(planned.id for planned in plan)
        return ran


def plan_of(ids: Sequence[str]) -> list[Planned]:
    return [Planned(test, 1, f"{number + 1:032x}") for number, test in enumerate(ids)]


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    root = tmp_path / "suite"
    root.mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    made = Suite(root, tmp_path / "scratch")
    yield made
    for pool in made.pools:
        await pool.close()
