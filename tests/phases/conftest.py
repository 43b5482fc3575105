"""A bench for one phase at a time: the shipped fakes, a journal in memory, and the state folded from it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from netra_loop.app import PHASES
from netra_loop.clock import SystemClock
from netra_loop.cloud.token_life import TokenLife
from netra_loop.core import events as ev
from netra_loop.core.records import Batch, Contact, Evidence, LogEntry, Outcome, Result
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import EnvironmentSpec, JourneySpec, LoopSpec, PhaseSpec, ServiceSpec, TestsSpec
from netra_loop.core.state import State, fold
from netra_loop.execution.base import PoolOptions, Runner
from netra_loop.journal.base import SessionHead
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.scope import Scope
from netra_loop.report.observer import Silence
from netra_loop.testing import Ends, FakeClock, FakeCloud, FakeRunner, MemoryJournal
from netra_loop.workspace.base import Workspace
from netra_loop.workspace.making import make

SESSION = "night-20260101-000000-abcd"


class Watcher(Silence):
    """Keeps what a person would have seen."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[Result] = []
        self.planned: list[int] = []

    def progress(self, text: str) -> None:
        self.said.append(text)

    def finished(self, result: Result) -> None:
        self.shown.append(result)

    def plan(self, total: int) -> None:
        self.planned.append(total)


@dataclass
class Tools:
    """A toolbox of fakes. `asked` are the options every pool was asked for with."""

    folder: Path
    fake_cloud: FakeCloud | None
    environ: dict[str, str] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)
    runner: Runner | None = None
    journey_runner: Runner | None = None
    access: str | None = None
    answering: bool = True
    asked: list[PoolOptions] = field(default_factory=list)
    tokens_asked: int = 0
    renewed: int = 0
    workspace: Workspace | None = None
    beside: dict[str, Runner] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def cloud(self) -> FakeCloud | None:
        return self.fake_cloud

    def gone(self) -> str | None:
        return "process 17 (signal 9)" if self.ended.is_set() else None

    async def until_gone(self) -> None:
        await self.ended.wait()

    async def pool(self, options: PoolOptions) -> Runner:
        self.asked.append(options)
        assert self.runner is not None
        return self.runner

    async def pool_beside(self, options: PoolOptions, name: str) -> Runner:
        self.asked.append(options)
        return self.beside[name]

    async def renew_pool(self) -> None:
        self.renewed += 1

    def journeys(self, journeys: Sequence[JourneySpec], scope: Scope) -> Runner:
        assert self.journey_runner is not None
        return self.journey_runner

    async def token(
        self, scope: Scope, on_try: Callable[[ev.Event], Awaitable[None]], good_for_s: float = 0.0
    ) -> str | None:
        self.tokens_asked += 1
        return self.access

    def token_life(self) -> TokenLife | None:
        return None

    async def request(self, url: str, trace_id: str, token: str | None = None) -> int | None:
        if not self.answering or self.fake_cloud is None:
            return None
        await self.fake_cloud.request(url, trace_id)
        return 200


class Bench:
    """One session, one phase at a time. `act` starts the phase, lets it act and commits its outcome."""

    def __init__(self, folder: Path, session: str = SESSION) -> None:
        self.session = session
        self.clock = FakeClock()
        self.cloud = FakeCloud(self.clock)
        self.journal = MemoryJournal(self.clock)
        self.tools = Tools(folder, self.cloud)
        self.watcher = Watcher()
        self.state = State()
        self.iteration = 1
        self.only: str | None = None
        self.spec = LoopSpec(
            name="night",
            path=folder / "project" / "loops" / "night.yaml",
            environments={"local": EnvironmentSpec()},
            services={"backend": ServiceSpec(command=("serve",))},
            tests=TestsSpec(paths=("../tests",)),
            phases=(PhaseSpec(name="first", uses="select"),),
        )
        self.spec.base_dir.mkdir(parents=True)

    async def begin(self) -> None:
        started = ev.SessionStarted(
            loop="night", loop_file="night.yaml", loop_text="", environment="local", first_phase="first"
        )
        self.state = fold(await self.journal.create(self.head(), Batch(events=(started,))))

    def change(self, **changes: Any) -> None:
        """Another loop file: keys of the loop itself."""
        self.spec = self.spec.model_copy(update=changes)

    def head(self) -> SessionHead:
        now = self.clock.now()
        return SessionHead(self.session, "night", "local", "running", self.iteration, None, now, now)

    async def record(self, batch: Batch) -> None:
        self.state = fold(await self.journal.append(self.session, batch, self.head()), self.state)

    def scope(self) -> Scope:
        return Scope(self.spec, "local", self.session, self.iteration, self.tools.environ, self.state.revisions)

    def context(self, uses: str, attempt: int = 1, **parameters: Any) -> PhaseContext:
        phase = PhaseSpec(name=uses, uses=uses, with_=parameters)  # type: ignore[arg-type]
        return PhaseContext(
            session=self.session,
            spec=self.spec,
            environment=self.spec.environments["local"],
            phase=phase,
            iteration=self.iteration,
            attempt=attempt,
            only=self.only,
            state=lambda: self.state,
            journal=self.journal,
            record=self.record,
            clock=self.clock,
            observer=self.watcher,
            tools=self.tools,
            scope=self.scope,
        )

    async def open(self, uses: str, attempt: int = 1, **parameters: Any) -> PhaseContext:
        """The intent is stored; what follows is the phase's own business."""
        started = ev.PhaseStarted(iteration=self.iteration, phase=uses, attempt=attempt, uses=uses)
        await self.record(Batch(events=(started,)))
        return self.context(uses, attempt, **parameters)

    async def close(self, context: PhaseContext, result: PhaseResult) -> PhaseResult:
        finished = ev.PhaseFinished(outcome=result.outcome, target="first", summary=result.summary, facts=result.facts)
        batch = replace(result.batch, events=(*result.batch.events, context.stamp(finished)))
        await self.record(batch)
        return result

    async def act(self, uses: str, attempt: int = 1, **parameters: Any) -> PhaseResult:
        context = await self.open(uses, attempt, **parameters)
        return await self.close(context, await self.run(context))

    async def run(self, context: PhaseContext) -> PhaseResult:
        """The phase acts; its outcome is not stored."""
        return await PHASES[context.phase.uses].run(context)

    async def recover(self, context: PhaseContext) -> PhaseResult:
        """Another process finds the intent open."""
        return await self.close(context, await PHASES[context.phase.uses].reconcile(context))

    async def deployed(self) -> str:
        """The first service's revision, made by a deploy phase; the log is empty again."""
        name = str((await self.act("deploy")).facts["revisions"][0])
        self.cloud.logs.clear()
        return name

    def tests(self, **ends: Any) -> FakeRunner:
        """The loop's tests, by function name, and how they end; a pass has talked to the first revision."""
        runner = FakeRunner({full(name): self.real(said) for name, said in ends.items()}, clock=self.clock)
        self.tools.runner = runner
        return runner

    def real(self, said: Any) -> Any:
        if isinstance(said, list):
            return [self.real(one) for one in said]
        if said is not Outcome.PASSED:
            return said
        at = self.clock.now()
        return Ends(said, evidence=Evidence(contacts=(Contact("backend-00001-fak.invalid", 80, 9, 9, at, at),)))

    async def executed(self, **ends: Any) -> PhaseResult:
        """Deploy, select and execute."""
        await self.deployed()
        self.tests(**ends)
        await self.act("select")
        return await self.act("execute")

    async def results(self) -> list[tuple[str, int, str]]:
        """(function, attempt, outcome) of all that is stored of this iteration."""
        stored = await self.journal.results(self.session, self.iteration)
        return [(one.id.rpartition("::")[2], one.attempt, one.outcome.value) for one in stored]

    async def events(self, kind: str) -> list[Any]:
        return [item.event for item in await self.journal.events(self.session) if item.event.kind == kind]

    def entry(self, message: str = "hello", second: float = 0.0, **more: Any) -> LogEntry:
        """An entry of the first revision, put into the cloud's log."""
        given: dict[str, Any] = {
            "timestamp": self.clock.now() + timedelta(seconds=second),
            "severity": "INFO",
            "log": "stdout",
            "service": "backend",
            "revision": "backend-00001-fak",
            "message": message,
            "insert_id": f"{len(self.cloud.logs):04d}",
        }
        entry = LogEntry(**{**given, **more})
        self.cloud.logs.append(entry)
        return entry


def full(name: str) -> str:
    """The id of the test of that name."""
    return f"tests/test_a.py::{name}"


@pytest.fixture
async def bench(tmp_path: Path):
    async with AsyncExitStack() as stack:
        made = Bench(tmp_path)
        await stack.enter_async_context(made.journal.own(SESSION))
        await made.begin()
        yield made


def _committed(root: Path) -> None:
    named = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "First")):
        subprocess.run(["git", *named, *words], cwd=root, check=True)


@pytest.fixture
def fixing(bench):
    """Gives the bench a checkout, and a workspace of it: a service, a test, a conftest and the loop file."""

    async def prepare(kind: str = "copy", app: str = "answer = 41\n") -> Path:
        root = bench.spec.root_dir
        for name, text in {
            "service/app.py": app,
            "service/other.py": "x = 1\n",
            "tests/test_app.py": "def test_answer(): assert 0\n",
            "loops/night.yaml": "name: night\n",
            "README.md": "read me\n",
        }.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        bench.clock, bench.tools.environ = SystemClock(), {"PATH": os.environ["PATH"]}
        bench.tools.folder.mkdir(exist_ok=True)
        if kind == "worktree":
            _committed(root)
        inside = bench.tools.folder / "inside"
        inside.mkdir(exist_ok=True)
        workspace = await make(kind, root, inside, bench.session, bench.tools.environ)
        bench.tools.workspace = workspace
        made = workspace.made
        event = ev.WorkspaceMade(
            how=made.kind, home=str(workspace.home), root=str(made.root), branch=made.branch, base=made.base
        )
        await bench.record(Batch(events=(event,)))
        bench.spec = bench.spec.placed_at(workspace.place(bench.spec.base_dir))
        return made.root

    return prepare
