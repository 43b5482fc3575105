"""Die before and after every single append of a whole session, resume, and come to the same end.

The phases are the real ones; cloud, runner and journal are the shipped fakes. The fake cloud and the fake runner stand
for the world: what was deployed or run there outlives whoever did it, and is counted.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from netra_loop.app import PHASES
from netra_loop.core import events as ev
from netra_loop.core.machine import MAX_RECOVERIES
from netra_loop.core.records import Contact, Evidence, Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import (
    EnvironmentSpec,
    JourneySpec,
    LimitsSpec,
    LoopSpec,
    PhaseSpec,
    ServiceSpec,
    TestsSpec,
    TierSpec,
)
from netra_loop.core.state import State, Status
from netra_loop.engine.driver import Driver
from netra_loop.engine.signals import Stop
from netra_loop.errors import EnvironmentFailed
from netra_loop.execution.base import PoolOptions
from netra_loop.journal.base import Journal
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.closing import close_session
from netra_loop.phases.scope import Scope
from netra_loop.report.observer import Silence
from netra_loop.testing import Crash, CrashingJournal, Ends, FakeClock, FakeCloud, FakeRunner, MemoryJournal

SESSION = "night-20260101-000000-abcd"
TESTS = [f"tests/test_a.py::test_{number}" for number in range(4)]


@pytest.fixture(autouse=True, scope="module")
def _long_lived():
    """The phases collect garbage, hundreds of times here: what pytest itself holds need not be looked through."""
    gc.freeze()
    yield
    gc.unfreeze()


def loop(**changes: Any) -> LoopSpec:
    phases = (
        PhaseSpec(name="deploy", uses="deploy", next={"failed": "collect"}),
        PhaseSpec(name="select", uses="select"),
        PhaseSpec(name="execute", uses="execute"),
        PhaseSpec(name="collect", uses="collect-logs", with_={"settle_s": 5.0}),
        PhaseSpec(name="record", uses="record", next={"unmet": "deploy"}),
    )
    given: dict[str, Any] = {
        "name": "night",
        "path": Path("/project/loops/night.yaml"),
        "environments": {"local": EnvironmentSpec()},
        "services": {"backend": ServiceSpec(command=("serve",))},
        "tests": TestsSpec(paths=("tests",)),
        "tiers": (TierSpec(name="P1"),),
        "phases": phases,
        "limits": LimitsSpec(iterations=2),
    }
    return LoopSpec(**{**given, **changes})


@dataclass
class World:
    """Everything that outlives a process."""

    clock: FakeClock
    cloud: FakeCloud
    runners: dict[str, FakeRunner]
    journal: MemoryJournal
    folder: Path
    seen: list[str] = field(default_factory=list)
    in_flight: int = 0

    def begun(self) -> int:
        """How many tests were begun in all, whatever became of them."""
        return sum(sum(runner.begun.values()) for runner in self.runners.values())


@dataclass
class Tools:
    """The toolbox of one process in that world."""

    world: World
    environ: Mapping[str, str] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)
    workspace: None = None

    @property
    def folder(self) -> Path:
        return self.world.folder

    async def cloud(self) -> FakeCloud:
        return self.world.cloud

    def gone(self) -> None:
        return None

    async def until_gone(self) -> None:
        await asyncio.Event().wait()

    async def pool(self, options: PoolOptions) -> FakeRunner:
        assert options.env["NETRA_LOOP_SESSION"] == SESSION
        return self.world.runners[options.env["NETRA_LOOP_REVISION"]]  # the first service's

    async def pool_beside(self, options: PoolOptions, name: str) -> FakeRunner:
        return await self.pool(options)

    async def renew_pool(self) -> None:
        pass

    def journeys(self, journeys: Sequence[JourneySpec], scope: Scope) -> FakeRunner:
        raise AssertionError("the loop has no journeys")

    async def token(
        self, scope: Scope, on_try: Callable[[ev.Event], Awaitable[None]], good_for_s: float = 0.0
    ) -> str | None:
        return None

    def token_life(self) -> None:
        return None

    async def request(self, url: str, trace_id: str, token: str | None = None) -> int | None:
        await self.world.cloud.request(url, trace_id)
        return 200


def make_world(tmp_path: Path) -> World:
    """A night of two iterations: one test fails against the first revision and passes against the second."""
    clock = FakeClock()

    def passing() -> Ends:
        at = clock.now()
        revisions = ("backend-00001-fak", "backend-00002-fak")
        hosts = [*revisions, *(f"nl-abcd-{number}---{name}" for number, name in enumerate(revisions, 1))]
        talk = tuple(Contact(f"{host}.invalid", 80, 10, 10, at, at) for host in hosts)
        return Ends(Outcome.PASSED, evidence=Evidence(contacts=talk))

    mended = {test: passing() for test in TESTS}
    broken = {**mended, TESTS[2]: Ends(Outcome.FAILED, message="AssertionError: no")}
    runners = {
        "backend-00001-fak": FakeRunner(broken, clock=clock),
        "backend-00002-fak": FakeRunner(mended, clock=clock),
    }
    return World(clock, FakeCloud(clock), runners, MemoryJournal(clock), tmp_path)


def driver_of(world: World, journal: Journal, spec: LoopSpec, phases: Mapping[str, Any] | None = None) -> Driver:
    tools = Tools(world)

    def make(driver: Driver, phase: PhaseSpec, iteration: int, attempt: int) -> PhaseContext:
        return PhaseContext(
            session=SESSION,
            spec=spec,
            environment=spec.environments["local"],
            phase=phase,
            iteration=iteration,
            attempt=attempt,
            only=None,
            state=lambda: driver.state,
            journal=journal,
            record=driver.append,
            clock=world.clock,
            observer=Silence(),
            tools=tools,
            scope=lambda: Scope(spec, "local", SESSION, iteration, {}, driver.state.revisions),
        )

    stop = Stop(world.seen.append)
    return Driver(SESSION, spec, journal, phases or PHASES, make, world.clock, Silence(), stop, close_session)


def first(spec: LoopSpec) -> ev.SessionStarted:
    return ev.SessionStarted(
        loop=spec.name, loop_file=str(spec.path), loop_text="", environment="local", first_phase=spec.phases[0].name
    )


async def process(world: World, journal: Journal, spec: LoopSpec, phases: Mapping[str, Any] | None = None) -> State:
    """One process: it owns the session, makes it or takes it up, and drives it."""
    async with journal.own(SESSION):
        driver = driver_of(world, journal, spec, phases)
        if await journal.sessions():
            await driver.load()
            if not driver.state.status.is_final:
                await driver.resume(max_iterations=None, given={}, only=None)
        else:
            await driver.start(first(spec), world.clock.now())
        return await driver.drive()


async def until_it_ends(world: World, spec: LoopSpec, at: int | None, when: Any) -> tuple[State, int]:
    """The whole night, its first process dying at append `at`; how many processes it took."""
    journal = CrashingJournal(world.journal, at, when)
    try:
        return await process(world, journal, spec), 1
    except Crash:
        world.in_flight = world.begun() - len(await world.journal.results(SESSION))
        return await process(world, world.journal, spec), 2


async def what_is_left(world: World) -> dict[str, Any]:
    """What a person would find afterwards, without numbers that must differ (attempts, times, traces)."""
    results = await world.journal.results(SESSION)
    final = {(result.iteration, result.id): (result.outcome, result.revision, result.tier) for result in results}
    return {
        "results": final,
        "selection": [await world.journal.selection(SESSION, iteration) for iteration in (1, 2)],
        "findings": [
            [(finding.id, finding.state, finding.tests) for finding in await world.journal.findings(SESSION, number)]
            for number in (1, 2)
        ],
        "deployed": dict(world.cloud.effects),
    }


async def appends(tmp_path: Path) -> int:
    world = make_world(tmp_path)
    journal = CrashingJournal(world.journal)
    state = await process(world, journal, loop())
    assert (state.status, state.exit_code, state.iteration) == (Status.MET, 0, 2)
    return journal.appends


@pytest.mark.parametrize("when", ["before", "after"])
async def test_dying_at_any_append_changes_nothing_in_the_end(tmp_path, when):
    undisturbed = make_world(tmp_path)
    expected_state, _ = await until_it_ends(undisturbed, loop(), None, when)
    expected = await what_is_left(undisturbed)
    assert expected["deployed"] == {(SESSION, 1, "backend"): 1, (SESSION, 2, "backend"): 1}
    total = await appends(tmp_path)
    assert total > 30
    for at in range(1, total + 1):
        world = make_world(tmp_path)
        state, processes = await until_it_ends(world, loop(), at, when)
        assert processes == 2, f"the night never got to append {at}"
        assert (state.status, state.exit_code, state.iteration) == (
            expected_state.status,
            expected_state.exit_code,
            expected_state.iteration,
        ), f"died {when} append {at}"
        assert await what_is_left(world) == expected, f"died {when} append {at}"
        await no_finished_test_ran_again(world, f"died {when} append {at}")


async def no_finished_test_ran_again(world: World, where: str) -> None:
    """Each result stored is the test's only one in its iteration, and just what was in flight ran twice."""
    results = await world.journal.results(SESSION)
    stored = [(result.iteration, result.id) for result in results]
    assert len(stored) == len(set(stored)), where
    assert world.begun() == len(stored) + world.in_flight, where


@pytest.mark.parametrize("when", ["before", "after"])
async def test_dying_again_and_again_still_comes_to_the_end(tmp_path, when):
    """Every process of the night dies at its seventh append; recoveries that get somewhere never give up."""
    world = make_world(tmp_path)
    for _ in range(200):
        try:
            state = await process(world, CrashingJournal(world.journal, 7, when), loop())
            break
        except Crash:
            continue
    else:
        pytest.fail("the night never ended")
    assert (state.status, state.exit_code) == (Status.MET, 0)
    assert set(world.cloud.effects.values()) == {1}


class Deadly:
    """A phase that takes the whole process down whenever it acts."""

    async def run(self, context: PhaseContext) -> PhaseResult:
        raise Crash

    reconcile = run


async def test_a_phase_that_kills_the_process_each_time_is_given_up_by_name(tmp_path):
    world = make_world(tmp_path)
    phases = {**PHASES, "execute": Deadly()}
    for _ in range(MAX_RECOVERIES):
        with pytest.raises(Crash):
            await process(world, world.journal, loop(), phases)
    with pytest.raises(EnvironmentFailed, match="'execute'"):
        await process(world, world.journal, loop(), phases)
    (head,) = await world.journal.sessions()
    assert (head.state, head.exit_code) == ("failed", 3)


async def test_after_giving_up_a_person_may_resume_and_the_night_goes_on(tmp_path):
    world = make_world(tmp_path)
    phases = {**PHASES, "execute": Deadly()}
    for _ in range(MAX_RECOVERIES):
        with pytest.raises(Crash):
            await process(world, world.journal, loop(), phases)
    with pytest.raises(EnvironmentFailed):
        await process(world, world.journal, loop(), phases)
    state = await process(world, world.journal, loop())
    assert (state.status, state.exit_code) == (Status.MET, 0)


# -------------------------------------------------------------------------------------------- two services, at tags


def tagged_loop() -> LoopSpec:
    """The same night with two services, of which the first needs the second; none gets traffic before the goal."""
    spec = ServiceSpec(command=("serve",), traffic="tagged")
    return loop(services={"backend": spec.model_copy(update={"needs": ("store",)}), "store": spec})


async def traffic(world: World) -> dict[str, Any]:
    """Who serves in the end, and by which tags anything is reached."""
    left = {}
    for service in ("backend", "store"):
        standing = await world.cloud.standing(service)
        assert standing is not None
        left[service] = standing.serving, [target.tag for target in standing.targets if target.tag]
    return left


@pytest.mark.parametrize("when", ["before", "after"])
async def test_dying_anywhere_leaves_tagged_services_promoted_once_and_without_tags(tmp_path, when):
    undisturbed = make_world(tmp_path)
    journal = CrashingJournal(undisturbed.journal)
    state = await process(undisturbed, journal, tagged_loop())
    assert (state.status, state.iteration) == (Status.MET, 2)
    expected = await what_is_left(undisturbed)
    assert set(expected["deployed"].values()) == {1}
    promoted = {"backend": ("backend-00002-fak", []), "store": ("store-00002-fak", [])}
    assert await traffic(undisturbed) == promoted
    for at in range(1, journal.appends + 1):
        world = make_world(tmp_path)
        state, processes = await until_it_ends(world, tagged_loop(), at, when)
        where = f"died {when} append {at}"
        assert processes == 2, f"the night never got to append {at}"
        assert (state.status, state.exit_code, state.iteration) == (Status.MET, 0, 2), where
        assert await what_is_left(world) == expected, where
        assert await traffic(world) == promoted, where


@pytest.mark.parametrize("when", ["before", "after"])
async def test_dying_anywhere_leaves_what_a_failed_deploy_changed_where_it_was(tmp_path, when):
    """In the second iteration the first service's revision gets ready and the second's never does."""
    spec = ServiceSpec(command=("serve",))
    night = loop(services={"backend": spec, "store": spec})

    def make() -> World:
        world = make_world(tmp_path)
        deploy = world.cloud.deploy

        async def failing(request, progress):
            if (request.service, request.iteration) == ("store", 2) and not world.cloud.calls[SESSION, 2, "store"]:
                world.cloud.fail_next("HEALTH_CHECK_CONTAINER_ERROR", "never listened", service="store")
            return await deploy(request, progress)

        world.cloud.deploy = failing  # type: ignore[method-assign]
        return world

    undisturbed = make()
    journal = CrashingJournal(undisturbed.journal)
    state = await process(undisturbed, journal, night)
    assert (state.status, state.exit_code, state.iteration) == (Status.UNMET, 1, 2)
    first = {"backend": ("backend-00001-fak", []), "store": ("store-00001-fak", [])}
    for at in range(1, journal.appends + 1):
        world = make()
        state, _ = await until_it_ends(world, night, at, when)
        where = f"died {when} append {at}"
        assert (state.status, state.exit_code, state.iteration) == (Status.UNMET, 1, 2), where
        assert await traffic(world) == first, where
        world.cloud.gets_ready_late("store-00002-fak")
        assert await traffic(world) == first, where
        assert set(world.cloud.effects.values()) == {1}, where


@pytest.mark.parametrize("when", ["before", "after"])
async def test_dying_anywhere_in_a_comparison_leaves_one_tag_and_in_the_end_none(tmp_path, when):
    """One test fails against either revision; the session's last appends are those of the comparison and after it."""
    plain = loop().phases
    night = loop(phases=(*plain[:3], PhaseSpec(name="compare", uses="compare"), *plain[3:]))

    def make() -> World:
        world = make_world(tmp_path)
        world.runners["backend-00002-fak"] = world.runners["backend-00001-fak"]
        return world

    undisturbed = make()
    journal = CrashingJournal(undisturbed.journal)
    state = await process(undisturbed, journal, night)
    assert (state.status, state.iteration) == (Status.UNMET, 2)
    expected = await what_is_left(undisturbed)
    for at in range(journal.appends - 12, journal.appends + 1):
        world = make()
        state, _ = await until_it_ends(world, night, at, when)
        where = f"died {when} append {at}"
        assert (state.status, state.iteration) == (Status.UNMET, 2), where
        assert await what_is_left(world) == expected, where
        kinds = [item.event.kind for item in await world.journal.events(SESSION)]
        assert (kinds.count("revision_tagged"), kinds.count("revisions_compared")) == (1, 2), where
        standing = await world.cloud.standing("backend")
        assert standing is not None
        assert [target.tag for target in standing.targets if target.tag] == [], where


class Resetting(MemoryJournal):
    """Somebody sets the wall clock after the append `at`."""

    at = 0
    jump_s = 0.0

    async def append(self, session, batch, head=None):
        recorded = await super().append(session, batch, head)
        self.at -= 1
        if self.at == 0:
            self._clock.jump(self.jump_s)
        return recorded


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 86_400.0, -86_400.0])
async def test_setting_the_clock_at_any_append_changes_nothing(tmp_path, jump_s):
    undisturbed = make_world(tmp_path)
    await process(undisturbed, undisturbed.journal, loop())
    expected, total = await what_is_left(undisturbed), await appends(tmp_path)
    for at in range(1, total, 2):
        world = make_world(tmp_path)
        world.journal = Resetting(world.clock)
        world.journal.at, world.journal.jump_s = at, jump_s
        state = await process(world, world.journal, loop())
        assert (state.status, state.exit_code, state.logs_complete) == (Status.MET, 0, True), f"set at append {at}"
        assert await what_is_left(world) == expected, f"set at append {at}"
        assert 0 <= state.spent_s < 600, f"set at append {at}"
        finished = [item.event for item in await world.journal.events(SESSION)]
        assert min(item.duration_s for item in finished if isinstance(item, ev.PhaseFinished)) >= 0
