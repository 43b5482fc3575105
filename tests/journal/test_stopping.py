"""Asking a session's owner to stop, through whatever journal."""

import asyncio

from netra_loop.core.records import Batch
from netra_loop.journal.base import Journal
from netra_loop.testing.rows import head

S = "golden-1"


async def test_the_owner_hears_that_it_was_asked(journal: Journal):
    await journal.create(head(S), Batch())
    async with journal.own(S):
        hearing = asyncio.create_task(journal.asked_to_stop(S))
        assert await journal.ask_to_stop(S)
        await asyncio.wait_for(hearing, 20)


async def test_where_nobody_owns_the_session_nobody_is_asked(journal: Journal):
    await journal.create(head(S), Batch())
    assert not await journal.ask_to_stop(S)
    async with journal.own(S):
        pass
    assert not await journal.ask_to_stop(S)


async def test_a_request_that_comes_too_late_is_not_the_next_owner_s(journal: Journal):
    await journal.create(head(S), Batch())
    async with journal.own(S):
        assert await journal.ask_to_stop(S)
    async with journal.own(S):
        hearing = asyncio.create_task(journal.asked_to_stop(S))
        heard, _ = await asyncio.wait({hearing}, timeout=0.5)
        assert not heard
        await journal.ask_to_stop(S)
        await asyncio.wait_for(hearing, 20)


async def test_one_session_s_owner_is_not_asked_for_another(journal: Journal):
    for name in (S, "golden-2"):
        await journal.create(head(name), Batch())
    async with journal.own(S), journal.own("golden-2"):
        hearings = [asyncio.create_task(journal.asked_to_stop(name)) for name in (S, "golden-2")]
        await journal.ask_to_stop("golden-2")
        heard, others = await asyncio.wait(hearings, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert heard == {hearings[1]}
        for other in others:
            other.cancel()
        await asyncio.wait(others)
