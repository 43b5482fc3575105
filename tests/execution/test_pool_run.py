"""Whatever becomes of workers, a run brings each planned attempt to one end: seen over workers that follow a script."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netra_loop.core.records import CollectedTest
from netra_loop.execution.base import Finished, Notice, Planned, PoolOptions, RunEvent
from netra_loop.execution.gathered import Gathered
from netra_loop.execution.pool_run import Run
from netra_loop.execution.pool_wire import Switchboard
from netra_loop.execution.pool_worker import RefusedError, StartError, Worker
from netra_loop.testing import FakeClock

PASSES, CRASHES, UNBEGUN, LEAVES = "passes", "crashes", "unbegun", "leaves"


@dataclass
class Plot:
    """What becomes of the workers, one word after the other; all goes well once the words are used up."""

    starts: deque[type[Exception] | None] = field(default_factory=deque)
    fates: deque[str] = field(default_factory=deque)
    truth_s: float = 0.1
    begun: list[str] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    workers: int = 0
    up: int = 0
    room: int = 1000
    unbegun: bool = False
    crashed: set[str] = field(default_factory=set)

    def begins(self, group: str) -> None:
        self.running[group] += 1
        self.most[group] = max(self.most[group], self.running[group])

    def fate(self) -> str:
        fate = self.fates.popleft() if self.fates else PASSES
        if fate == UNBEGUN and self.unbegun:
            fate = PASSES  # three in a row, whosever they are, mean that no worker can be had
        self.unbegun = fate == UNBEGUN
        return fate

    def maker(self, plan: Sequence[Planned], groups: dict[str, str]) -> Callable[..., Worker]:
        def make(*given: Any, **named: Any) -> Worker:
            return Scripted(self, {key: one.id for key, one in enumerate(plan)}, groups, *given, **named)

        return make


class Scripted(Worker):
    """Speaks as the agent does: takes tests, asks what follows while one is torn down, leaves when told to."""

    def __init__(self, plot: Plot, ids: dict[int, str], groups: dict[str, str], *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._plot, self._ids, self._groups = plot, ids, groups
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._life: asyncio.Task[None] | None = None
        self._code = 0

    async def fork(self, *_: Any) -> None:
        await asyncio.sleep(0)
        if self._plot.up >= self._plot.room:
            raise RefusedError("no room")
        failure = self._plot.starts.popleft() if self._plot.starts else None
        if failure is not None:
            raise failure("as scripted")
        self._plot.workers += 1
        self._plot.up += 1
        self.ready.set()
        self._life = asyncio.create_task(self._live())

    def send(self, **message: object) -> None:
        self._inbox.put_nowait(message)

    async def exit_code(self) -> int | None:
        return self._code

    async def end(self) -> None:
        if self._life is not None and not self._life.done():
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    def tidy(self) -> None:
        pass

    def trim(self) -> None:
        pass

    async def _live(self) -> None:
        try:
            await self._work()
        finally:
            self._plot.up -= 1
            self.left()

    async def _work(self) -> None:
        token: dict[str, Any] | None = None
        while (message := token or await self._inbox.get())["is"] != "quit":
            token = None
            if message["is"] != "run":
                continue
            fate = self._plot.fate()
            if fate == UNBEGUN:
                self._code = -9
                return
            key, name = message["key"], self._ids[message["key"]]
            group = self._groups.get(name, name)
            self._plot.begins(group)
            self.said({"is": "began", "key": key, "at": 0.0, "log": 0})
            self._plot.begun.append(name)
            try:
                for _ in range(3):
                    await asyncio.sleep(0)
                if fate == CRASHES:
                    self._plot.crashed.add(name)
                    self._code = 3
                    return
                if self._inbox.empty():
                    self.said({"is": "ask", "key": key})
                token = await self._inbox.get()
            finally:
                self._plot.running[group] -= 1
            self.said({"is": "ended", "key": key, "last": fate == LEAVES, **passed(self._plot.truth_s)})
            if fate == LEAVES:
                break
        self.said({"is": "over", "code": 0, "text": ""})


def passed(seconds: float) -> dict[str, Any]:
    return {"outcome": "passed", "message": None, "traceback": "", "output": "", "duration": seconds, "reran": 0}


def planned(test: str, seconds: float | None = None, cost_s: float | None = None) -> Planned:
    fixtures = ((f"{test[0]}.py::@f", cost_s),) if cost_s is not None else ()
    return Planned(test, 1, "0" * 32, seconds=seconds, fixtures=fixtures)


async def played(
    plan: Sequence[Planned],
    plot: Plot,
    workers: int,
    *,
    isolation: str = "worker",
    groups: dict[str, str] | None = None,
) -> list[RunEvent]:
    gathered = Gathered(
        [CollectedTest(test, "t.py", 1) for test in dict.fromkeys(one.id for one in plan)], groups or {}
    )
    zygote = SimpleNamespace(gathered=gathered, lost=asyncio.Event())

    async def living() -> Any:
        return zygote

    options = PoolOptions(Path("python"), Path("/"), (), workers=workers, isolation=isolation)
    make = plot.maker(plan, gathered.groups)
    run = Run(plan, gathered, options, FakeClock(), living, worker=make)
    run.start(Switchboard(), Path("/nowhere"))
    events: list[RunEvent] = []
    async with asyncio.timeout(60):
        while (event := await run.events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            events.append(event)
        await run.stop()
    return events


def outcomes(events: Sequence[RunEvent]) -> list[tuple[str, str]]:
    return sorted((event.id, str(event.outcome)) for event in events if isinstance(event, Finished))


@st.composite
def plans(draw: st.DrawFn) -> list[Planned]:
    plan = []
    for module in "abc"[: draw(st.integers(1, 3))]:
        cost_s = draw(st.sampled_from([None, 0.02, 5.0]))
        seconds = draw(st.sampled_from([None, 0.001, 0.5]))
        plan += [planned(f"{module}{number}", seconds, cost_s) for number in range(draw(st.integers(1, 8)))]
    return plan


FATES = st.lists(st.sampled_from([PASSES, PASSES, CRASHES, UNBEGUN, LEAVES]), max_size=12)
STARTS = st.lists(st.sampled_from([None, ConnectionError, RefusedError]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(plans(), FATES, STARTS, st.integers(1, 6), st.sampled_from(["worker", "test"]), st.booleans())
def test_every_attempt_ends_once_however_workers_end(
    plan: list[Planned], fates: list[str], starts: list[Any], workers: int, isolation: str, grouped: bool
):
    plot = Plot(deque(starts), deque(fates))
    groups = {one.id: one.id[0] for one in plan if grouped and one.id[0] != "a"}
    events = asyncio.run(played(plan, plot, workers, isolation=isolation, groups=groups))
    assert outcomes(events) == sorted((one.id, "crashed" if one.id in plot.crashed else "passed") for one in plan)
    assert sorted(plot.begun) == sorted(one.id for one in plan)
    assert not plot.most or max(plot.most.values()) == 1  # never two of one group at once


async def test_a_zygote_that_dies_while_all_seats_wait_for_it_costs_no_test():
    plan = [planned(f"a{number}") for number in range(100)]
    events = await played(plan, Plot(deque([ConnectionError] * 64)), workers=64)
    assert set(outcomes(events)) == {(one.id, "passed") for one in plan}


async def test_workers_that_never_come_up_end_the_run_with_errors():
    plan = [planned(f"a{number}") for number in range(10)]
    events = await played(plan, Plot(deque([StartError] * 100)), workers=4)
    assert {outcome for _, outcome in outcomes(events)} == {"error"}


@pytest.mark.parametrize("isolation", ["worker", "test"])
async def test_where_there_is_room_for_few_workers_those_do_it_all(isolation):
    plan = [planned(f"a{number}") for number in range(20)]
    plot = Plot(room=2)
    events = await played(plan, plot, workers=8, isolation=isolation)
    assert {outcome for _, outcome in outcomes(events)} == {"passed"}
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "fewer workers than wanted, tried again and again: no room"
    ]


async def test_where_there_is_room_for_none_the_run_ends_with_errors():
    events = await played([planned("a0"), planned("a1")], Plot(room=0), workers=2)
    assert outcomes(events) == [("a0", "error"), ("a1", "error")]


async def test_a_seat_without_work_helps_once_the_rest_turns_out_to_be_long():
    plan = [planned(f"a{number}", 0.001, 1.0) for number in range(40)]
    short, long = Plot(truth_s=0.001), Plot(truth_s=0.5)
    await played(plan, short, workers=8)
    await played(plan, long, workers=8)
    assert long.workers - short.workers >= 7


async def test_a_later_run_leaves_the_folders_of_an_earlier_one_alone(suite):
    suite.write(
        test_kept="""
        import os
        def test_kept(tmp_path):
            with open("paths", "a") as file: print(tmp_path, file=file)
            with open("paths") as file: assert all(os.path.isdir(path) for path in file.read().split())
        """
    )
    pool = suite.pool(workers=1)
    (test,) = (await pool.collect()).tests
    for attempt in (1, 2):
        events = [event async for event in pool.run([Planned(test.id, attempt, "0" * 32)])]
        assert outcomes(events) == [(test.id, "passed")]
    assert len(set((suite.root / "paths").read_text().split())) == 2
