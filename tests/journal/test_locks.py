"""What lock files say, of one session and of one store among several."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import StoreDamaged
from netra_loop.journal import locks
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head

S = "golden-1"
Open = Callable[[], Journal]


async def made(journal: Journal, texts: int = 2) -> None:
    await journal.create(head(), Batch())
    async with journal.own(S):
        for number in range(texts):
            await journal.append(S, Batch(events=(Noted(text=f"n{number}"),)))


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"seq": "7", "hash": 7}', '{"seq": 7, "hash": "f'])
def test_a_file_that_was_half_written_says_nothing(store_path: Path, text: str):
    path = locks.lock_path(store_path.parent, S)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert locks.acknowledged(store_path.parent, S) is None
    assert locks.all_acknowledged(store_path.parent) == {}
    assert locks.holder(path) is None


def test_whoever_only_looks_imports_nothing_that_takes_a_session(store_path: Path):
    code = f"import sys; from netra_loop.journal.store import open_store; open_store({str(store_path)!r})"
    taken = "{'netra_loop.journal.ownership', 'netra_loop.journal.forgetting', 'netra_loop.journal.verifying'}"
    command = [sys.executable, "-c", f"{code}; print(sorted({taken} & sys.modules.keys()))"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


async def test_stores_in_one_folder_know_nothing_of_each_other(store_path: Path):
    journals = [open_store(str(store_path.with_name(name))) for name in ("journal.db", "a.db", "b.db")]
    for number, journal in enumerate(journals):
        await made(journal, texts=number + 1)
        await journal.create(head(f"only-{number}"), Batch())
    async with journals[0].own(S), journals[1].own(S), journals[2].own(S):  # one name, three sessions
        for journal in journals:
            await journal.append(S, Batch(events=(Noted(text="each its own"),)))
    async with journals[0].own(S):
        await journals[0].forget(S)
    for number, journal in enumerate(journals):
        found = {one.id for one in await journal.sessions()}
        assert found == ({f"only-{number}"} | ({S} if number else set()))
        await journal.close()
    again = [open_store(str(store_path.with_name(name))) for name in ("a.db", "b.db")]
    assert [await journal.verify(S) for journal in again] == [3, 4]
    for journal in again:
        await journal.close()


async def test_what_an_older_version_acknowledged_counts_where_one_store_alone_can_be_meant(
    open_sqlite: Open, store_path: Path
):
    await made(open_sqlite())
    text = json.dumps({"seq": 9, "hash": "f" * 64})
    (store_path.parent / "sessions" / "gone.lock").write_text(text.ljust(512))
    with pytest.raises(StoreDamaged, match="'gone', 9 were acknowledged"):
        await open_sqlite().sessions()
    await open_store(str(store_path.with_name("other.db"))).close()
    assert [one.id for one in await open_sqlite().sessions()] == [S]
