"""`netra-loop stop` while the session goes from one process to another."""

import asyncio
import sys
from pathlib import Path

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head

S = "golden-1"


async def test_who_took_the_session_while_another_was_asked_is_asked_too(tmp_path: Path):
    store = tmp_path / "state" / "journal.db"
    first, second = open_store(str(store)), open_store(str(store))
    await first.create(head(S), Batch(events=(Noted(text="one"),)))
    words = [sys.executable, "-m", "netra_loop.cli.main", "--store", str(store), "stop", S]
    async with second.own(S):
        hanging = asyncio.create_task(second.asked_to_stop(S))
        pipe = asyncio.subprocess.PIPE
        command = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, cwd=tmp_path)
        await asyncio.wait_for(hanging, 60)  # it was asked, and does nothing about it
        async with first.own(S, takeover=True):
            await asyncio.wait_for(first.asked_to_stop(S), 60)
    _, told = await command.communicate()
    assert b"took it meanwhile, and was asked, too" in told
    for journal in (first, second):
        await journal.close()
