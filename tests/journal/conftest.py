from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing import FakeClock, MemoryJournal


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".netra-loop" / "journal.db"


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, store_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = MemoryJournal(clock) if request.param == "memory" else open_store(str(store_path), clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def open_sqlite(store_path: Path) -> AsyncIterator[Callable[[], Journal]]:
    """Opens the store at `store_path`, as often as asked, and closes what was opened."""
    opened: list[Journal] = []

    def open_again() -> Journal:
        opened.append(open_store(str(store_path), busy_timeout_s=0.2))
        return opened[-1]

    yield open_again
    for journal in opened:
        await journal.close()
