"""Tests of a runner whose tests' names tell no secret."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from netra_loop.core.records import CollectedTest, Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.shown_names import ShownNames
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


SECRETS = ("open-sesame-1", "open-sesame-2")


def hidden(real: Real, session: str = "s-1", secrets: Sequence[str] = SECRETS) -> NamesHidden:
    return NamesHidden(real, ShownNames(session, lambda: Redactor(secrets)))


async def shown(ids: Sequence[str], session: str = "s-1") -> list[str]:
    """What the tests are called, in the order of `ids`."""
    return [test.id for test in (await hidden(Real(ids), session).collect()).tests]


async def test_values_are_hidden_and_found_again():
    real = Real(IDS)
    runner = hidden(real)
    collection = await runner.collect()
    names = [test.id for test in collection.tests]
    assert [name.partition(" #")[0] for name in names] == [
        *("t/a.py::test_x[[redacted]]", "t/a.py::test_x[[redacted]]", IDS[2], IDS[3])
    ]
    assert len({*names}) == len(IDS)
    assert names[2:] == IDS[2:]
    (share,) = collection.tests[0].shares
    assert share.startswith("t/a.py::@db[[redacted]] #")
    assert await runner.collect() is collection
    plan = [Planned(id_, 1, "0" * 32, fixtures=((share, None),)) for id_ in names]
    async with aclosing(runner.run(plan)) as events:
        told = [event async for event in events]
    assert [one.id for one in real.asked] == IDS
    assert [name for name, _ in real.asked[0].fixtures] == ["t/a.py::@db[open-sesame-1]"]
    assert "open-sesame-1" not in repr(told)
    assert [event.id for event in told if isinstance(event, Finished)] == names
    assert {*told[1].fixtures} == {share}  # type: ignore[union-attr]


async def test_a_name_is_the_same_in_each_process_of_a_session_whatever_else_is_collected():
    one, other, *_ = await shown(IDS)
    assert await shown(IDS) == [one, other, *IDS[2:]]
    assert await shown([IDS[2], IDS[1], IDS[0]]) == [IDS[2], other, one]
    assert await shown([IDS[1]]) == [other]
    assert (await shown(IDS, session="s-2"))[0] not in {one, other}


async def test_names_whose_digests_are_alike_stay_different_and_the_same_in_any_order():
    ids = [f"t/a.py::test_x[open-sesame-1-{number}]" for number in range(60)]
    forth, back = await shown(ids), await shown(ids[::-1])
    assert len({*forth}) == len(ids)
    assert forth == back[::-1]


async def test_names_that_are_taken_by_others_are_not_given_again():
    (name,) = await shown([IDS[0]])
    real = Real([name, IDS[0]])
    one, other = [test.id for test in (await hidden(real).collect()).tests]
    assert one == name
    assert other == f"{name}.2"


async def test_what_was_shown_once_keeps_its_name_when_more_is_known():
    known = ["another-secret"]
    real = Real(IDS)
    runner = NamesHidden(real, ShownNames("s-1", lambda: Redactor(known)))
    before = [test.id for test in (await runner.collect()).tests]
    known += SECRETS
    real.found = Collection(real.found.tests)
    assert [test.id for test in (await runner.collect()).tests] == before


async def test_without_secrets_nothing_is_touched():
    real = Real(IDS)
    runner = hidden(real, secrets=())
    assert await runner.collect() is real.found
    async with aclosing(runner.run([Planned(id_, 1, "0" * 32) for id_ in IDS])) as events:
        assert [event async for event in events]
    assert [one.id for one in real.asked] == IDS
