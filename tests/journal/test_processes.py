"""Real processes, really killed."""

import asyncio
import random
import signal
import sys

import pytest

from netra_loop.core.records import Batch
from netra_loop.errors import SessionHeld
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head, result

S = "golden-1"

APPENDS_FOR_EVER = """
import asyncio, itertools, sys
from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import result

async def main():
    journal = open_store(sys.argv[1])
    async with journal.own("golden-1"):
        print("owns", flush=True)
        for number in itertools.count():
            batch = Batch(events=(Noted(text=str(number)),), results=(result(f"t{number}", output="x" * 3000),))
            [stored] = await journal.append("golden-1", batch)
            print(stored.seq, flush=True)

asyncio.run(main())
"""


async def start(store: str) -> asyncio.subprocess.Process:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPENDS_FOR_EVER, store, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"owns\n"
    return child


async def killed_after(child: asyncio.subprocess.Process, lines: int) -> list[int]:
    """Kills it after that many acknowledgements; gives all that it had printed by then."""
    assert child.stdout is not None
    said = [await child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    said += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    return [int(line) for line in said if line.endswith(b"\n")]


async def test_what_was_acknowledged_survives_kill_after_kill(store_url: str):
    journal = open_store(store_url)
    await journal.create(head(), Batch())
    last = 0
    for lines in (1, random.randrange(5, 60)):
        acknowledged = await killed_after(await start(store_url), lines)
        assert acknowledged[0] == last + 1
        stored = await journal.events(S)  # which verifies the chain
        last = stored[-1].seq
        assert last - acknowledged[-1] in {0, 1}  # the one under way may have been committed
        assert {f"t{one.event.text}" for one in stored} == {one.id for one in await journal.results(S)}
    await journal.close()


async def test_a_kill_leaves_a_store_that_the_next_process_opens(store_url: str):
    journal = open_store(store_url)
    await journal.create(head(), Batch())
    await journal.close()
    acknowledged = await killed_after(await start(store_url), 3)
    again = open_store(store_url)
    assert await again.verify(S) >= acknowledged[-1]
    assert await again.holder(S) is None
    await again.close()


async def test_two_owners(store_url: str):
    journal = open_store(store_url)
    await journal.create(head(), Batch())
    child = await start(store_url)
    try:
        with pytest.raises(SessionHeld, match=rf"held by process {child.pid} on ") as caught:
            await journal.own(S).__aenter__()
        assert caught.value.exit_code == 5
        holder = await journal.holder(S)
        assert holder is not None
        assert holder.pid == child.pid
    finally:
        await killed_after(child, 0)
    async with journal.own(S) as epoch:  # the kernel let go
        assert epoch == 2
        await journal.append(S, Batch(results=(result(),)))
    await journal.close()
