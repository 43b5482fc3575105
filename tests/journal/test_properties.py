"""Whatever is appended, in whatever order: each store reads it back as the twin in memory does, and as it was."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netra_loop.core.events import Noted, PhaseFinished, TestsSelected
from netra_loop.core.records import Batch, Evidence, Exchange, Frame, Outcome, Result
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing import FakeClock, MemoryJournal
from netra_loop.testing.postgres import PrivatePostgres
from netra_loop.testing.rows import after, attempt, entry, finding, head, result, selected

S = "golden-1"
NewStore = Callable[[], str]

anything = st.text(st.characters(), max_size=8)  # with NUL and lone surrogates
names = st.sampled_from(["a", "b", "ä[1]", "z"])
iterations = st.integers(1, 3)
instants = st.integers(-10, 10).map(after)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(anything, inner, max_size=2),
    max_leaves=4,
)
events = st.one_of(
    st.builds(Noted, text=anything, iteration=iterations),
    st.builds(
        PhaseFinished, target=names, iteration=iterations, facts=st.dictionaries(anything, json_values, max_size=2)
    ),
    st.builds(TestsSelected, selected=st.integers(0, 9), iteration=iterations),
)
exchanges = st.builds(Exchange, names, anything, st.none() | st.just(500), instants, st.just(0.5))
frames = st.builds(Frame, anything, names, names, instants, text=st.none() | anything)
evidence = st.builds(
    Evidence,
    exchanges=st.lists(exchanges, max_size=2).map(tuple),
    frames=st.lists(frames, max_size=2).map(tuple),
)
results = st.builds(
    result,
    names,
    iteration=iterations,
    attempt=st.integers(1, 2),
    outcome=st.sampled_from(Outcome),
    duration_s=st.floats(0, 1e9),
    started_at=instants,
    output=anything | st.just("long " * 2000),
    evidence=evidence,
)
entries = st.builds(
    entry,
    names,
    timestamp=instants,
    iteration=iterations,
    payload=st.none() | st.dictionaries(anything, json_values, max_size=2),
    tests=st.lists(names, max_size=2, unique=True).map(tuple),
)
batches = st.builds(
    lambda *parts: Batch(*(tuple(part) if isinstance(part, list) else part for part in parts)),
    st.lists(events, max_size=3),
    st.lists(st.builds(selected, names, st.integers(0, 3)), max_size=2),
    iterations,
    st.lists(st.builds(attempt, names, iteration=iterations, started_at=instants), max_size=2),
    st.lists(results, max_size=3),
    st.lists(entries, max_size=3),
    st.lists(st.builds(finding, names, last_iteration=iterations), max_size=2),
    iterations,
    st.just({}),
    st.lists(results, max_size=2),
    st.lists(entries, max_size=2),
)


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewStore:
    """Gives the URL of a store that is still to be made, as often as asked."""
    if request.param == "postgres":
        postgres: PrivatePostgres = request.getfixturevalue("postgres")
        return postgres.url_of_new_schema
    return lambda: str(tmp_path_factory.mktemp("store") / "journal.db")


async def on_both(url: str, check: Callable[[Journal], Awaitable[Any]]) -> list[Any]:
    stored = open_store(url, clock=FakeClock())
    try:
        return [await check(stored), await check(MemoryJournal(FakeClock()))]
    finally:
        await stored.close()


async def everything(journal: Journal) -> list[Any]:
    return [
        await journal.events(S),
        [await journal.selection(S, iteration) for iteration in (1, 2, 3)],
        [await journal.attempts(S, iteration) for iteration in (1, 2, 3)],
        await journal.results(S),
        await journal.results(S, 2, bodies=False),
        [await journal.count(S, iteration) for iteration in (1, 2, 3)],
        await journal.entries(S),
        await journal.entries(S, 1, limit=2),
        [page async for page in journal.entry_pages(S, 1, size=2)],
        await journal.results(S, test=["a", "z"]),
        [await journal.findings(S, iteration) for iteration in (None, 1, 2, 3)],
        await journal.durations("golden-path"),
        await journal.sessions(),
    ]


async def append_all(journal: Journal, sequence: Iterable[Batch]) -> None:
    await journal.create(head(), Batch())
    async with journal.own(S):
        for batch in sequence:
            await journal.append(S, batch)


few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.lists(batches, max_size=4))
def test_both_read_back_the_same_and_every_event_once_and_in_order(new_store: NewStore, sequence: list[Batch]):
    async def check(journal: Journal) -> list[Any]:
        await append_all(journal, sequence)
        return await everything(journal)

    stored, remembered = asyncio.run(on_both(new_store(), check))
    assert stored == remembered
    appended = [event for batch in sequence for event in batch.events]
    assert [one.event for one in stored[0]] == appended
    assert [one.seq for one in stored[0]] == list(range(1, len(appended) + 1))


@few
@given(st.lists(results, max_size=6), batches)
def test_rows_read_back_as_last_stored_and_again_change_nothing(
    new_store: NewStore, last_results: list[Result], batch: Batch
):
    async def check(journal: Journal) -> None:
        rows = replace(batch, events=(), results=tuple(last_results), judged=())
        await append_all(journal, [rows])
        once = await everything(journal)
        last = {(one.iteration, one.id, one.attempt): one for one in last_results}
        assert {(one.iteration, one.id, one.attempt): one for one in await journal.results(S)} == last
        async with journal.own(S):
            await journal.append(S, rows)
        assert await everything(journal) == once

    asyncio.run(on_both(new_store(), check))
