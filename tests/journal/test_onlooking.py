"""What those who only look ask of a large iteration: pages, counts, parts of an id; on every backend."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from netra_loop.core.records import Authenticity, Batch, Outcome
from netra_loop.journal.base import Journal
from netra_loop.report.view import count_tests, count_told
from netra_loop.testing.rows import after, attempt, entry, head, result, selected

S = "golden-1"


async def put(journal: Journal, batch: Batch) -> None:
    await journal.create(head(S), Batch())
    async with journal.own(S):
        await journal.append(S, batch)


@pytest.fixture
async def night(journal: Journal) -> Journal:
    """Seventy tests selected in an order that is not their ids', one in seven with three attempts, five unplaced."""
    draw = random.Random(7)
    names = [f"t/test_{n:02d}.py::test_it[100%_]" for n in range(70)]
    draw.shuffle(names)
    rows = [result(name, attempt=n, outcome=draw.choice(list(Outcome))) for name in names[::7] for n in (1, 2, 3)]
    rows += [result(name, outcome=draw.choice(list(Outcome)), flaky=draw.random() < 0.2) for name in names[1::7]]
    rows += [result(name, authenticity=draw.choice(list(Authenticity))) for name in names[2::7]]
    rows += [result(f"unplaced-{n}", started_at=after(n // 2)) for n in range(5)]
    rows += [result("unplaced-3", attempt=2, output="said"), result(names[0], iteration=2)]
    draw.shuffle(rows)
    chosen = tuple(selected(name, place) for place, name in enumerate(names))
    begun = (attempt("begun"), attempt("elsewhere", iteration=2))
    await put(journal, Batch(selected=chosen, selected_iteration=1, started=begun, results=tuple(rows)))
    return journal


@pytest.mark.parametrize("size", [1, 3, 500])
async def test_pages_are_the_results_in_their_order(night: Journal, size: int):
    pages = [page async for page in night.result_pages(S, 1, size)]
    assert [one for page in pages for one in page] == await night.results(S, 1, bodies=False)
    assert all(pages)
    assert len(pages) == 1 or size < 500 or len(pages) == 2


async def test_an_iteration_without_results_has_no_page(night: Journal):
    assert [page async for page in night.result_pages(S, 3)] == []


async def test_counts_are_those_of_the_rows(night: Journal):
    for iteration in (1, 2, 3):
        rows = await night.results(S, iteration, bodies=False)
        assert count_told(70, await night.counted(S, iteration)) == count_tests(70, rows)


async def test_only_tests_with_several_attempts_are_read_to_be_counted(night: Journal):
    counted = await night.counted(S, 1)
    assert {one.id for one in counted.retried} == {one.id for one in await night.results(S, 1) if one.attempt > 1}
    assert min(counted.once.values()) > 0


async def test_a_test_that_has_a_second_attempt_alone_is_counted_once(journal: Journal):
    await put(journal, Batch(results=(result("a", attempt=2), result("b"))))
    assert count_told(2, await journal.counted(S, 1))["passed"] == 2


async def test_a_test_stands_by_its_latest_attempt_at_the_mark(journal: Journal):
    failed = {"outcome": Outcome.FAILED, "message": "no", "output": "said"}
    first = [result("a", **failed), result("b", **failed), result("c"), result("d", iteration=2, **failed)]
    await journal.create(head(S), Batch())
    async with journal.own(S):
        await journal.append(S, Batch(results=tuple(first), entries=(entry("e1"), entry("e2", iteration=2))))
        mark = await journal.mark(S)
        again = (result("b", attempt=2, flaky=True), result("c", attempt=2, authenticity=Authenticity.FAKE))
        await journal.append(S, Batch(results=again, entries=(entry("e3"),)))
    then = await journal.standing(S, 1, mark, 20)
    kind = Outcome.FAILED, False, first[0].authenticity
    assert (then.counted[kind], sum(then.counted.values()), then.entries) == (2, 3, 1)
    assert [(one.id, one.output) for one in then.failed] == [("a", ""), ("b", "")]
    now = await journal.standing(S, 1, await journal.mark(S), 20)
    assert (now.counted[kind], sum(now.counted.values()), now.entries) == (1, 3, 2)
    assert [one.id for one in now.failed] == ["a", "c"]
    assert [one.id for one in (await journal.standing(S, 1, await journal.mark(S), 1)).failed] == ["c"]


async def test_a_large_iteration_stands_as_its_latest_attempts_do(night: Journal):
    latest = {one.id: one for one in sorted(await night.results(S, 1), key=lambda one: one.attempt)}
    told = Counter((one.outcome, one.flaky, one.authenticity) for one in latest.values())
    now = await night.standing(S, 1, await night.mark(S), 100)
    assert now.counted == told
    failed = {one.id for one in latest.values() if one.outcome.is_failure or one.authenticity is Authenticity.FAKE}
    assert {one.id for one in now.failed} == failed


async def test_what_began_before_an_instant_is_left_out(journal: Journal):
    rows = (result("a", outcome=Outcome.FAILED), result("a", attempt=2, started_at=after(9)), result("b"))
    begun = (attempt("a"), attempt("x"), attempt("y", started_at=after(9)))
    await put(journal, Batch(started=begun, results=rows))
    mark = await journal.mark(S)
    now = await journal.standing(S, 1, mark, 20, since=after(5))
    assert (sum(now.counted.values()), now.failed) == (1, [])
    assert [one.id for one in await journal.under_way(S, 1, mark, since=after(5))] == ["y"]
    assert [one.id for one in await journal.under_way(S, 1, mark)] == ["x", "y"]


async def test_what_ended_after_the_mark_is_under_way_at_it(journal: Journal):
    await journal.create(head(S), Batch())
    async with journal.own(S):
        await journal.append(S, Batch(started=(attempt("a"), attempt("b"), attempt("c", iteration=2))))
        mark = await journal.mark(S)
        await journal.append(S, Batch(started=(attempt("d"),), results=(result("a"),)))
    assert [one.id for one in await journal.under_way(S, 1, mark)] == ["a", "b"]
    assert [one.id for one in await journal.under_way(S, 1, await journal.mark(S))] == ["b", "d"]


async def test_parts_of_ids_are_found_as_they_are_written(night: Journal):
    assert sorted(await night.named(S, 1, "_01.py")) == ["t/test_01.py::test_it[100%_]"]
    assert len(await night.named(S, 1, "[100%_]")) == 70
    assert await night.named(S, 1, "TEST_") == []
    assert await night.named(S, 1, "begun") == ["begun"]
    assert await night.named(S, 1, "elsewhere") == []
    assert sorted(await night.named(S, 1, "unplaced-")) == [f"unplaced-{n}" for n in range(5)]


async def test_the_selection_of_some_tests_alone(night: Journal):
    whole = await night.selection(S, 1)
    some = [whole[3].id, "unknown", whole[1].id]
    assert await night.selection(S, 1, tests=some) == [whole[1], whole[3]]
    assert await night.selection(S, 1, tests=[]) == []
