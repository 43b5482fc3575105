"""Tests of a runner whose tests' names tell no secret."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from netra_loop.core.records import CollectedTest, Outcome
from netra_loop.core.redact import Redactor
from netra_loop.execution.base import Collection, Finished, Notice, Planned, RunEvent, Started
from netra_loop.execution.names_hidden import NamesHidden

AT = datetime(2026, 11, 21, tzinfo=UTC)
IDS = [
    "t/a.py::test_x[open-sesame-1]",
    "t/a.py::test_x[open-sesame-2]",
    "t/a.py::test_x[plain]",
    "t/open-sesame.py::test_y",
]


class Real:
    """A runner that is told apart by what it was asked to run."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.found = Collection(
            tuple(CollectedTest(id_, "t/a.py", 1, shares=("t/a.py::@db[open-sesame-1]",)) for id_ in ids)
        )
        self.asked: list[Planned] = []

    async def collect(self) -> Collection:
        return self.found

    async def run(self, plan: Sequence[Planned]) -> AsyncIterator[RunEvent]:
        self.asked += plan
        for one in plan:
            yield Started(one.id, one.attempt, "gw0", AT, one.trace_id)
            fixtures = {"t/a.py::@db[open-sesame-1]": 0.5}
            yield Finished(one.id, one.attempt, "gw0", AT, 1.0, Outcome.PASSED, one.trace_id, fixtures=fixtures)
        yield Notice("done")


async def ran(runner: NamesHidden, ids: Sequence[str]) -> list[RunEvent]:
    plan = [Planned(id_, 1, "0" * 32, fixtures=(("t/a.py::@db[[redacted]]", None),)) for id_ in ids]
    async with aclosing(runner.run(plan)) as events:
        return [event async for event in events]


async def test_values_are_hidden_and_found_again():
    real = Real(IDS)
    runner = NamesHidden(real, lambda: Redactor(["open-sesame-1", "open-sesame-2"]))
    collection = await runner.collect()
    shown = [test.id for test in collection.tests]
    assert shown == ["t/a.py::test_x[[redacted]]", "t/a.py::test_x[[redacted]] #2", IDS[2], IDS[3]]
    assert collection.tests[0].shares == ("t/a.py::@db[[redacted]]",)
    assert await runner.collect() is collection
    events = await ran(runner, shown)
    assert [one.id for one in real.asked] == IDS
    assert [name for name, _ in real.asked[0].fixtures] == ["t/a.py::@db[open-sesame-1]"]
    assert "open-sesame-1" not in repr(events)
    assert [event.id for event in events if isinstance(event, Finished)] == shown


async def test_another_process_shows_the_same_names():
    runners = [NamesHidden(Real(IDS), lambda: Redactor(["open-sesame-1", "open-sesame-2"])) for _ in range(2)]
    one, other = [await runner.collect() for runner in runners]
    assert one.tests == other.tests


async def test_without_secrets_nothing_is_touched():
    real = Real(IDS)
    runner = NamesHidden(real, Redactor)
    assert await runner.collect() is real.found
    await ran(runner, IDS)
    assert [one.id for one in real.asked] == IDS
