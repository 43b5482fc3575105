"""A session read from end to end: how far it is, how little it takes, what it finds."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.errors import StoreDamaged
from netra_loop.journal.base import Journal
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head, result

S = "golden-1"
READS = """
import asyncio, resource, sys
from netra_loop.journal.store import open_store

async def main():
    journal = open_store(sys.argv[1])
    await journal.sessions()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = await journal.verify_all("golden-1")
    print(found.events, found.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await journal.close()

asyncio.run(main())
"""


async def test_it_says_how_far_it_is(journal: Journal):
    await journal.create(head(), Batch())
    async with journal.own(S):
        await journal.append(
            S, Batch(events=(Noted(iteration=1, text="one"),), results=tuple(map(result, many(11_000))))
        )
    heard: list[tuple[int, int]] = []
    found = await journal.verify_all(S, lambda done, of: heard.append((done, of)))
    assert (found.events, found.rows) == (1, 11_000)
    assert heard == sorted(heard)
    assert heard


def many(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


def test_it_holds_little_however_much_there_is(store_path: Path):
    """100 MB of events, 20 MB of rows: kB more than before."""

    async def filled() -> None:
        journal = open_store(str(store_path))
        await journal.create(head(), Batch())
        async with journal.own(S):
            long = tuple(Noted(iteration=1, text="e" * 10_000) for _ in range(1000))
            for _ in range(10):
                await journal.append(S, Batch(events=long))
            heavy = tuple(result(name, output="o" * 2000) for name in many(10_000))
            await journal.append(S, Batch(results=heavy))
        await journal.close()

    asyncio.run(filled())
    done = subprocess.run([sys.executable, "-c", READS, str(store_path)], capture_output=True, text=True, check=True)
    events, rows, more = map(int, done.stdout.split())
    assert (events, rows) == (10_000, 10_000)
    assert more < 30_000


async def test_an_index_that_leaves_rows_out_is_told(store_path: Path):
    """Each row that is read is as it was written; the lists that go by the index lack one."""
    journal = open_store(str(store_path))
    try:
        await journal.create(head(), Batch())
        async with journal.own(S):
            await journal.append(S, Batch(results=tuple(map(result, many(3)))))
        await journal.verify_form()
        without_an_index_entry(store_path)
        await journal.verify_all(S)
        with pytest.raises(StoreDamaged, match=r"the store is not whole: .*results"):
            await journal.verify_form()
    finally:
        await journal.close()


def without_an_index_entry(store: Path) -> None:
    """A row is stored while SQLite believes that an index is one of no rows."""
    name, sql = changed(store, "select name, sql from sqlite_master where tbl_name = 'results' and sql like '%INDEX%'")[
        0
    ]
    changed(store, "update sqlite_master set sql = sql || ' where 0' where name = ?", name)
    names = [row[1] for row in changed(store, "pragma table_info(results)")]
    values = ", ".join("'hidden'" if name == "id" else name for name in names)
    changed(store, f"insert into results select {values} from results limit 1")
    changed(store, "update sqlite_master set sql = ? where name = ?", sql, name)


def changed(store: Path, statement: str, *values: str) -> list[tuple[str, ...]]:
    other = sqlite3.connect(store)
    try:
        with other:
            other.execute("pragma writable_schema=on")
            return other.execute(statement, values).fetchall()
    finally:
        other.close()
