"""Which test `results --test` means, and what it reads of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from netra_loop.cli.one_test import matching, read_one_test, whys
from netra_loop.core.events import PhaseFinished, PhaseStarted, SessionStarted, TestsSelected
from netra_loop.core.records import AttemptStarted, Batch, LogEntry, Outcome, Result, Selected
from netra_loop.errors import UsageError
from netra_loop.journal.base import SessionHead
from netra_loop.testing import MemoryJournal

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
LOOP = "name: l\ntests: {paths: [t]}\nstages: [asked, answered]\nphases: {select: {uses: select}}\n"
FLOW, OTHER, PENDING = "t/test_a.py::test_flow", "t/test_a.py::test_flow_twice", "t/test_a.py::test_later"


def ended(id_: str, iteration: int, attempt: int = 1) -> Result:
    known = {"duration_s": 1.0, "started_at": AT, "worker": "gw0", "revision": None, "trace_id": f"{id_}{attempt}"}
    return Result(id=id_, tier="P1", iteration=iteration, attempt=attempt, outcome=Outcome.PASSED, **known)


@pytest.fixture
async def store():
    """Two iterations: `FLOW` ran in both, `OTHER` in the first alone, `PENDING` has begun in the second."""
    journal = MemoryJournal()
    head = SessionHead("l-1", "l", "here", "running", 2, "execute", AT, AT)
    started = SessionStarted(loop="l", loop_file="l.yaml", loop_text=LOOP, environment="here", first_phase="select")
    async with journal.own(head.id):
        await journal.create(head, Batch(events=(started,)))
        entry = LogEntry(AT + timedelta(seconds=0.5), "INFO", "stdout", "b", "b-1", "said", "i", iteration=1)
        for iteration, ids in ((1, [FLOW, OTHER]), (2, [FLOW, PENDING])):
            chosen = tuple(Selected(id_, "P1", n, f"why {iteration}") for n, id_ in enumerate(ids))
            results = tuple(ended(id_, iteration) for id_ in ids if id_ != PENDING)
            await journal.append(
                head.id,
                Batch(
                    events=(
                        PhaseStarted(uses="select", iteration=iteration, phase="select", attempt=1),
                        TestsSelected(selected=len(ids), iteration=iteration, phase="select", attempt=1),
                        PhaseFinished(target="select", outcome="ok", iteration=iteration, phase="select", attempt=1),
                    ),
                    selected=chosen,
                    selected_iteration=iteration,
                    results=results,
                    started=(AttemptStarted(ids[1], iteration, 1, "gw1", AT, "x"),),
                    entries=(entry,) if iteration == 1 else (),
                ),
            )
    return journal


async def read(store, wanted: str, iteration: int | None = 2):
    return await read_one_test(store, await store.find("latest"), wanted, iteration)


async def refused(store, wanted: str, iteration: int | None = 2) -> str:
    with pytest.raises(UsageError) as caught:
        await read(store, wanted, iteration)
    assert caught.value.exit_code == 2
    return f"{caught.value}"


async def test_a_part_of_an_id_is_enough(store):
    for wanted in (FLOW, "test_flow", "flow", "a.py::test_flow"):
        test = await read(store, wanted)
        assert [(one.id, one.iteration) for one in test.attempts] == [(FLOW, 2)]


async def test_it_comes_with_its_place_its_entries_and_the_loops_stages(store):
    test = await read(store, FLOW, None)
    assert [one.iteration for one in test.attempts] == [1, 2]
    assert {number: item.reason for number, item in test.selected.items()} == {1: "why 1", 2: "why 2"}
    assert test.of == {1: 2, 2: 2}
    assert [entry.message for entry in test.entries[1]] == ["said"]
    assert [stage.name for stage in test.stages] == ["asked", "answered"]


async def test_a_part_of_several_ids_lists_them(store):
    said = await refused(store, "a.py", 1)
    assert "could mean 2 tests" in said
    assert FLOW in said
    assert OTHER in said


async def test_a_test_of_another_iteration_is_told_where(store):
    assert f"{OTHER}: it is in iteration 1" in await refused(store, "twice")


async def test_a_test_without_a_result_says_how_it_stands(store):
    assert "was begun and has not ended" in await refused(store, "later")


async def test_an_id_is_never_taken_for_a_part_of_another(store):
    """`test_later` has no result yet, and its id is a part of one that has."""
    longer = PENDING + "_on"
    async with store.own("l-1"):
        await store.append("l-1", Batch(results=(ended(longer, 2),)))
    assert f"{PENDING} in iteration 2: it was begun and has not ended" in await refused(store, PENDING)
    assert f"{PENDING} in iteration 2: it was begun and has not ended" in await refused(store, PENDING, None)
    assert [one.id for one in (await read(store, "later_on")).attempts] == [longer]
    assert f"{PENDING}: it is in iteration 2" in await refused(store, PENDING, 1)


async def test_a_part_may_be_of_a_test_that_has_not_ended(store):
    assert "could mean 2 tests" in await refused(store, "t/test_a.py")


async def test_what_no_test_is_called(store):
    assert "has no test 'nothing'" in await refused(store, "nothing", None)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("t.py::a", ["t.py::a"]),
        ("a", ["t.py::a", "u.py::a[x]"]),
        ("a[x]", ["u.py::a[x]"]),
        ("ab", ["t.py::ab"]),
        (".py", ["t.py::a", "u.py::a[x]", "t.py::ab"]),
        ("zz", []),
    ],
)
def test_an_exact_name_goes_before_a_part_of_others(wanted, found):
    assert matching(["t.py::a", "u.py::a[x]", "t.py::ab"], wanted) == found


async def test_why_is_known_by_iteration_and_id(store):
    found = await store.results("l-1")
    reasons = await whys(store, await store.find("latest"), found)
    assert (reasons[1, FLOW], reasons[2, FLOW]) == ("why 1", "why 2")
