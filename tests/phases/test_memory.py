"""Tests of what is remembered from earlier sessions."""

from netra_loop.core.events import Committed, RevisionReady
from netra_loop.core.past import Fixed
from netra_loop.core.records import Batch, FindingState
from netra_loop.errors import StoreError
from netra_loop.phases.memory import remembered
from netra_loop.testing import FakeClock, MemoryJournal
from netra_loop.testing.rows import finding, head


async def put(journal: MemoryJournal, session: str, *batches: Batch) -> None:
    await journal.create(head(session), Batch())
    async with journal.own(session):
        for batch in batches:
            await journal.append(session, batch)


def ready(iteration: int) -> RevisionReady:
    name = f"backend-{iteration:05d}-abc"
    return RevisionReady(iteration=iteration, service="backend", revision=name, url="http://b", ws_url="ws://b")


def found(iteration: int, state: FindingState = FindingState.NEW) -> Batch:
    return Batch(findings=(finding("F-1", state=state),), findings_iteration=iteration)


async def test_the_second_night_knows_what_mended_it_in_the_first():
    journal = MemoryJournal(FakeClock())
    made = Committed(iteration=1, commit="c" * 40, parent="p" * 40, tree="t" * 40, subject="mend it")
    first = Batch(events=(ready(1), made, ready(2), ready(3)))
    await put(journal, "night-1", first, found(1), found(2, FindingState.FIXED))
    await put(journal, "night-2", found(1))
    told = await remembered(journal, "golden-path", "night-2", [finding("F-1")])
    assert told["F-1"].fixed == Fixed("night-1", 2, "backend-00002-abc", "c" * 40)
    assert (told["F-1"].sessions, told["F-1"].first_session) == (1, "night-1")


async def test_the_first_night_knows_nothing():
    journal = MemoryJournal(FakeClock())
    await put(journal, "night-1", found(1))
    assert await remembered(journal, "golden-path", "night-1", [finding("F-1")]) == {}


class Strange(MemoryJournal):
    """Holds a session that a newer version wrote."""

    async def events(self, session: str, after: int = 0):
        raise StoreError("written by a newer netra-loop")


async def test_a_session_that_cannot_be_read_ends_no_other():
    journal = Strange(FakeClock())
    await put(journal, "night-1", found(1), found(2, FindingState.FIXED))
    await put(journal, "night-2", found(1))
    told = await remembered(journal, "golden-path", "night-2", [finding("F-1")])
    assert told["F-1"].fixed == Fixed("night-1", 2)
