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


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, store_path: Path) -> str:
    """A store that is still to be made, on each ground in turn."""
    if request.param == "sqlite":
        return str(store_path)
    return request.getfixturevalue("postgres").url_of_new_schema()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def journal(request: pytest.FixtureRequest, store_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    if request.param == "memory":
        opened: Journal = MemoryJournal(clock)
    elif request.param == "sqlite":
        opened = open_store(str(store_path), clock=clock)
    else:
        opened = open_store(request.getfixturevalue("postgres").url_of_new_schema(), clock=clock)
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
