"""Tests of the driver: what it commits, and when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from netra_loop.core import events as ev
from netra_loop.core.records import Batch
from netra_loop.core.spec import LoopSpec, PhaseSpec
from netra_loop.core.state import Mode, Status
from netra_loop.engine.driver import Driver
from netra_loop.engine.signals import Stop
from netra_loop.errors import (
    AccessRefused,
    Defect,
    EnvironmentFailed,
    StoreAway,
    StoreError,
    TooManyOpenFiles,
    UsageError,
)
from netra_loop.phases.base import PhaseResult
from netra_loop.report.observer import Silence
from netra_loop.testing import FakeClock, MemoryJournal
from netra_loop.testing.rows import result

SESSION = "night-20260101-000000-abcd"


class Says:
    """A phase that ends as it is told, one visit after the other, and keeps how it was called."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []

    async def run(self, context):
        return await self._act("run", context)

    async def reconcile(self, context):
        return await self._act("reconcile", context)

    async def _act(self, how, context):
        self.calls.append(how)
        answer = self.answers.pop(0)
        if callable(answer):
            return await answer(context)
        if isinstance(answer, BaseException):
            raise answer
        return PhaseResult(answer, f"it was {answer}")


class Context:
    """All that a phase of these tests looks at."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver


class House:
    """A session of phases that say what they are told, over one journal."""

    def __init__(self, **phases: Says) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.said: list[str] = []
        self.phases = phases
        self.spec = self.loop({name: {} for name in phases})

    def loop(self, targets: dict[str, dict[str, str]]) -> LoopSpec:
        phases = tuple(PhaseSpec(name=name, uses="run", next=to) for name, to in targets.items())
        self.spec = LoopSpec(name="night", path=Path("/p/night.yaml"), phases=phases)
        return self.spec

    @asynccontextmanager
    async def driver(self, journal=None, closing=None):
        """A process with the session in its hands, made or taken up."""
        journal = journal or self.journal

        class ByName:
            def __init__(self, table):
                self.table = table

            def __getitem__(self, uses):
                return self

            async def run(self, context):
                return await self.table[context.phase].run(context)

            async def reconcile(self, context):
                return await self.table[context.phase].reconcile(context)

        def make(driver, phase, iteration, attempt):
            context = Context(driver)
            context.phase = phase.name
            return context

        async with journal.own(SESSION):
            stop = Stop(self.said.append)
            driver = Driver(
                SESSION, self.spec, journal, ByName(self.phases), make, self.clock, Silence(), stop, closing
            )
            driver.stop = stop
            if await journal.sessions():
                await driver.load()
                await driver.resume(max_iterations=None, given={}, only=None)
            else:
                first = ev.SessionStarted(
                    loop="night",
                    loop_file="/p/night.yaml",
                    loop_text="",
                    environment="local",
                    first_phase=self.spec.phases[0].name,
                )
                await driver.start(first, self.clock.now())
            yield driver

    async def drive(self):
        async with self.driver() as driver:
            return await driver.drive()

    async def kinds(self):
        return [item.event.kind for item in await self.journal.events(SESSION)]

    async def head(self):
        return (await self.journal.sessions())[0]


async def test_each_phase_is_an_intent_and_an_outcome():
    house = House(one=Says("ok"), two=Says("ok"))
    state = await house.drive()
    assert await house.kinds() == [
        "session_started",
        *("phase_started", "phase_finished") * 2,
        "session_ended",
    ]
    assert (state.mode, state.exit_code) == (Mode.ENDED, 1)
    assert (await house.head()).state == state.status.value


async def test_the_intent_is_stored_before_the_phase_acts():
    seen = []

    async def look(context):
        seen.extend(item.event.kind for item in await house.journal.events(SESSION))
        return PhaseResult("ok", "")

    house = House(one=Says(look))
    await house.drive()
    assert seen == ["session_started", "phase_started"]


async def test_outcomes_lead_where_the_loop_says():
    house = House(one=Says("failed"), two=Says(), three=Says("ok"))
    house.loop({"one": {"failed": "three"}, "two": {}, "three": {}})
    await house.drive()
    assert (house.phases["two"].calls, house.phases["three"].calls) == ([], ["run"])


async def test_a_stop_between_phases_pauses_before_the_next():
    house = House(one=Says("ok"), two=Says("ok"))
    async with house.driver() as driver:

        async def asks(context):
            driver.stop.request("SIGTERM")
            return PhaseResult("ok", "done all the same")

        house.phases["one"].answers = [asks]
        state = await driver.drive()
    assert (state.status, state.exit_code, state.reason, state.mode) == (Status.PAUSED, 75, "SIGTERM", Mode.READY)
    assert house.phases["two"].calls == []
    assert (await house.head()).exit_code == 75
    state = await house.drive()
    assert (house.phases["one"].calls, house.phases["two"].calls, state.mode) == (["run"], ["run"], Mode.ENDED)


async def test_a_stop_within_a_phase_cancels_it_and_leaves_it_open():
    ended = []

    async def waits(context):
        asyncio.get_running_loop().call_soon(context.driver.stop.request, "SIGINT")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    house = House(one=Says(waits, "ok"))
    state = await house.drive()
    assert (state.status, state.mode, state.phase, ended) == (Status.PAUSED, Mode.OPEN, "one", ["cleaned up"])
    assert (await house.kinds())[-1] == "session_paused"
    await house.drive()
    assert house.phases["one"].calls == ["run", "reconcile"]


async def test_a_phase_that_ends_while_it_is_stopped_has_ended():
    async def insists(context):
        context.driver.stop.request("SIGINT")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return PhaseResult("ok", "just made it")

    house = House(one=Says(insists), two=Says())
    state = await house.drive()
    assert (state.status, state.mode, state.target) == (Status.PAUSED, Mode.READY, "two")


async def test_a_commit_under_way_when_the_stop_comes_is_known_of():
    """The journal finishes what it began before it lets a cancellation through."""

    class Slow(MemoryJournal):
        async def append(self, session, batch, head=None):
            recorded = await super().append(session, batch, head)
            if any(isinstance(event, ev.Noted) for event in batch.events):
                driver.stop.request("SIGINT")
                await house.clock.sleep(1)
            return recorded

    async def notes(context):
        await context.driver.append(Batch(events=(ev.Noted(text="found it"),)))
        return PhaseResult("ok", "")

    house = House(one=Says(notes, "ok"))
    house.journal = Slow(house.clock)
    async with house.driver() as driver:
        state = await driver.drive()
    assert state.status is Status.PAUSED
    assert (await house.kinds())[-2:] == ["noted", "session_paused"]


async def test_nothing_is_stored_after_what_a_store_that_is_away_did_not_get():
    """What follows would stand there without what went before, were it back by then."""

    class Away(MemoryJournal):
        async def append(self, session, batch, head=None):
            if batch.results and batch.results[0].id == "lost":
                raise StoreAway("the store is away")
            return await super().append(session, batch, head)

    async def records(context):
        for name in ("kept", "lost", "later"):
            await context.driver.append(Batch(events=(ev.Noted(text=name),), results=(result(name),)))

    async def goes_on(context):
        with contextlib.suppress(StoreAway):
            await records(context)
        await context.driver.append(Batch(results=(result("later still"),)))

    house = House(one=Says(goes_on))
    house.journal = Away(house.clock)
    with pytest.raises(StoreAway, match=r"^the store is away; not stored: 1 event, 2 results$"):
        await house.drive()
    assert [one.id for one in await house.journal.results(SESSION)] == ["kept"]
    assert (await house.kinds())[-1] == "noted"


async def test_an_environment_s_failure_is_recorded_and_raised():
    house = House(one=Says(EnvironmentFailed("no quota", hint="ask for more"), "ok"))
    with pytest.raises(EnvironmentFailed, match="no quota"):
        await house.drive()
    failed = (await house.journal.events(SESSION))[-1].event
    assert (failed.kind, failed.exit_code, failed.error, failed.hint) == (
        "session_failed",
        3,
        "no quota",
        "ask for more",
    )
    head = await house.head()
    assert (head.state, head.exit_code) == ("failed", 3)


async def test_after_a_failure_resume_tries_the_phase_again():
    house = House(one=Says(EnvironmentFailed("no quota"), "ok"))
    with pytest.raises(EnvironmentFailed):
        await house.drive()
    state = await house.drive()
    assert (house.phases["one"].calls, state.mode) == (["run", "reconcile"], Mode.ENDED)


async def test_credentials_that_are_refused_pause_the_session_wherever_it_was_found():
    refused = AccessRefused("reading service 'web'", "UNAUTHENTICATED", "no", hint="log in")
    wrapped = EnvironmentFailed("the promotion failed", hint="log in")
    wrapped.__cause__ = refused
    for error in (refused, wrapped):
        house = House(one=Says(error, "ok"))
        state = await house.drive()
        assert state.status is Status.PAUSED
        assert state.reason.endswith("; log in")
        assert (await house.drive()).mode is Mode.ENDED
        assert house.phases["one"].calls == ["run", "reconcile"]


async def test_a_mistake_found_late_keeps_its_exit_code():
    house = House(one=Says(UsageError("cannot start './fix.sh'")))
    with pytest.raises(UsageError):
        await house.drive()
    assert (await house.head()).exit_code == 2


async def test_anything_unexpected_is_a_defect_and_recorded():
    house = House(one=Says(ZeroDivisionError("by zero")))
    with pytest.raises(Defect, match="ZeroDivisionError: by zero") as caught:
        await house.drive()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    head = await house.head()
    assert (head.state, head.exit_code) == ("failed", 4)


@pytest.mark.parametrize("unforeseen", [True, False])
async def test_too_many_open_files_are_the_environment_s_fault_and_recorded(unforeseen):
    short = OSError(errno.EMFILE, "Too many open files", "/dev/null")
    error = EnvironmentFailed("'sh' cannot be started")
    error.__cause__ = short
    house = House(one=Says(short if unforeseen else error))
    with pytest.raises(TooManyOpenFiles) as caught:
        await house.drive()
    assert caught.value.hint.endswith(f", then: netra-loop resume {SESSION}")
    head = await house.head()
    assert (head.state, head.exit_code) == ("failed", 3)


async def test_what_the_store_refuses_is_raised_without_recording():
    house = House(one=Says(StoreError("disk full")))
    with pytest.raises(StoreError, match="disk full"):
        await house.drive()
    assert (await house.kinds())[-1] == "phase_started"


async def test_the_loop_may_ask_to_pause_and_resume_goes_past_it():
    house = House(one=Says("ok"), two=Says("ok"))
    house.loop({"one": {"ok": "pause"}, "two": {}})
    state = await house.drive()
    assert (state.status, state.exit_code) == (Status.PAUSED, 75)
    assert "'one'" in str(state.reason)
    state = await house.drive()
    assert (house.phases["two"].calls, state.mode) == (["run"], Mode.ENDED)


async def test_a_phase_may_ask_to_pause_and_is_reconciled_by_whoever_resumes():
    class Waits(Says):
        async def run(self, context):
            await super().run(context)
            return PhaseResult("", "", pauses="waits for somebody")

    house = House(one=Waits("ok", "ok"), two=Says("ok"))
    state = await house.drive()
    assert (state.status, state.reason, state.mode) == (Status.PAUSED, "waits for somebody", Mode.OPEN)
    state = await house.drive()
    assert (house.phases["one"].calls, state.mode) == (["run", "reconcile"], Mode.ENDED)


async def test_driving_an_ended_session_does_nothing_more():
    house = House(one=Says("ok"))
    async with house.driver() as driver:
        await driver.drive()
        before = await house.kinds()
        await driver.drive()
    assert await house.kinds() == before


async def test_what_a_phase_found_is_committed_with_its_outcome():
    async def finds(context):
        return PhaseResult("ok", "", batch=Batch(events=(ev.Noted(text="a worker was spawned"),)))

    house = House(one=Says(finds))
    await house.drive()
    assert (await house.kinds())[1:4] == ["phase_started", "noted", "phase_finished"]


async def test_a_goal_to_hold_once_more_starts_the_next_iteration():
    async def again(context):
        return PhaseResult("ok", "held once", again=True)

    house = House(one=Says("ok", "ok"), two=Says(again, "ok"))
    state = await house.drive()
    assert (state.iteration, house.phases["two"].calls) == (2, ["run", "run"])


class Closing:
    """What is done before a session ends: each answer in turn; an error is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.met: list[bool] = []

    async def __call__(self, context, *, met):
        self.met.append(met)
        answer = self.answers.pop(0)
        if callable(answer):
            await answer()
        if isinstance(answer, Exception):
            raise answer
        return True


async def tagging(context):
    """A phase that is about to make a tag."""
    await context.driver.append(Batch(events=(ev.TrafficSeen(service="s", revision="s-1", tag="nl-abcd-1"),)))
    return PhaseResult("ok", "")


async def test_tags_are_seen_to_before_the_session_ends():
    house, closing = House(one=Says(tagging)), Closing(None)
    async with house.driver(closing=closing) as driver:
        await driver.drive()
    assert closing.met == [False]
    assert (await house.kinds())[-1] == "session_ended"


async def test_without_tags_there_is_nothing_to_see_to():
    house, closing = House(one=Says("ok")), Closing()
    async with house.driver(closing=closing) as driver:
        await driver.drive()
    assert closing.met == []


async def test_a_closing_that_fails_leaves_the_session_to_be_resumed():
    house, closing = House(one=Says(tagging)), Closing(EnvironmentFailed("no promotion"), None)
    async with house.driver(closing=closing) as driver:
        with pytest.raises(EnvironmentFailed):
            await driver.drive()
    assert (await house.head()).exit_code == 3
    async with house.driver(closing=closing) as driver:
        assert (await driver.drive()).mode is Mode.ENDED
    assert "phase_recovered" not in await house.kinds()


async def test_a_closing_that_is_interrupted_pauses_and_goes_on_later():
    house = House(one=Says(tagging))
    began = asyncio.Event()

    async def forever():
        began.set()
        await asyncio.Event().wait()

    closing = Closing(forever, None)
    async with house.driver(closing=closing) as driver:
        driving = asyncio.create_task(driver.drive())
        await began.wait()
        driver.stop.request("asked to")
        assert (await driving).status is Status.PAUSED
    async with house.driver(closing=closing) as driver:
        assert (await driver.drive()).mode is Mode.ENDED


async def test_a_wait_is_a_fact_of_the_phase_that_waited():
    async def waits(context):
        await context.driver.waited("quota", 2.5)
        return PhaseResult("ok", "")

    house = House(one=Says(waits))
    async with house.driver() as driver:
        await driver.drive()
        await driver.waited("too late", 9.0)
    (event,) = [item.event for item in await house.journal.events(SESSION) if item.event.kind == "waited"]
    assert (event.why, event.seconds, event.phase, event.iteration) == ("quota", 2.5, "one", 1)


async def test_what_a_phase_took_before_a_pause_is_stored_with_it():
    async def works(context):
        house.clock.advance(100)
        context.driver.stop.request("the budget of 100s is used up")
        await asyncio.Event().wait()

    house = House(one=Says(works, "ok"))
    state = await house.drive()
    assert (state.status, state.spent_s) == (Status.PAUSED, 100)


async def test_a_second_attempt_at_the_tests_is_told_from_the_first_by_its_place_in_the_store():
    house = House(one=Says("ok"), tests=Says("ok", "ok"), two=Says("failed", "ok"))
    house.loop({"one": {}, "tests": {}, "two": {"failed": "tests", "ok": "done"}})
    phases = [
        phase.model_copy(update={"uses": "execute"}) if phase.name == "tests" else phase for phase in house.spec.phases
    ]
    house.spec = house.spec.model_copy(update={"phases": tuple(phases)})

    async def stores(context):
        await context.driver.append(Batch(results=(result("test_a"), result("test_b"))))
        return PhaseResult("ok", "")

    house.phases["tests"].answers[0] = stores
    await house.drive()
    begun = [item.event for item in await house.journal.events(SESSION) if item.event.kind == "phase_started"]
    assert [event.results for event in begun if event.phase == "tests"] == [None, 2]
