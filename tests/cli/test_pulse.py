"""Reading a session while another process writes it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from netra_loop.cli.pulse import Pulse
from netra_loop.core.events import PhaseStarted, SessionEnded, SessionPaused, SessionStarted
from netra_loop.core.records import Batch
from netra_loop.testing import FakeClock, MemoryJournal
from netra_loop.testing.rows import entry, head, result

S = "golden-1"
STARTED = SessionStarted(loop="l", loop_file="l.yaml", loop_text="", environment="here", first_phase="select")
PAUSED = SessionPaused(iteration=1, why="asked to")


@pytest.fixture
async def owned():
    """A journal with a session that this process owns until the stack is closed."""
    journal = MemoryJournal()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(journal.own(S))
        await journal.create(head(S), Batch(events=(STARTED,)))
        yield journal, stack


async def begun(journal):
    pulse = Pulse(journal, S, FakeClock())
    await pulse.begin()
    return pulse


async def test_what_is_stored_comes_until_the_session_is_over(owned):
    journal, _ = owned
    pulse = await begun(journal)
    steps = [
        Batch(events=(PhaseStarted(iteration=1, phase="select", uses="select"),), results=(result("a"),)),
        Batch(entries=(entry("e1"),)),
        Batch(events=(PAUSED,), entries=(entry("e2"),)),
    ]
    seen = []
    async for news in pulse.news():
        seen += [item.event.kind for item in news.events]
        seen += [item.id for item in news.results] + [item.insert_id for item in news.entries]
        if steps:
            await journal.append(S, steps.pop(0))
    assert seen == ["phase_started", "a", "e1", "session_paused", "e2"]
    assert (pulse.state.exit_code, pulse.abandoned) == (75, False)


async def test_a_session_that_is_over_is_read_once(owned):
    journal, stack = owned
    await journal.append(S, Batch(events=(SessionEnded(iteration=1, outcome="met", exit_code=0, reason="held"),)))
    await stack.aclose()
    pulse = await begun(journal)
    assert [news.events async for news in pulse.news()] == [[]]
    assert (pulse.is_over, pulse.abandoned) == (True, False)


async def test_a_session_whose_process_was_killed_is_abandoned(owned):
    journal, stack = owned
    pulse = await begun(journal)
    async with aclosing(pulse.news()) as news:
        await anext(news)
        await stack.aclose()
        async for _ in news:
            pass
    assert (pulse.is_over, pulse.abandoned) == (False, True)


async def test_the_last_word_is_read_although_its_owner_is_gone(owned):
    journal, stack = owned
    pulse = await begun(journal)
    seen = []
    async for news in pulse.news():
        seen += [item.event for item in news.events]
        if not seen:
            await journal.append(S, Batch(events=(PAUSED,)))
            await stack.aclose()
    assert (seen, pulse.abandoned) == ([PAUSED], False)


async def test_reading_is_free_to_stop(owned):
    journal, _ = owned
    pulse = await begun(journal)
    reading = asyncio.ensure_future(anext(aiter(pulse.news())))
    await asyncio.sleep(0)
    reading.cancel()
    assert (await journal.holder(S)) is not None
