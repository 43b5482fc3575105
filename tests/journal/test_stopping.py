"""Asking a session's owner to stop, through whatever journal."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from netra_loop.core.events import Noted
from netra_loop.core.records import Batch
from netra_loop.journal import stopping
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


async def test_what_nobody_heard_goes_with_the_next_owner_and_with_the_session(
    open_sqlite: Callable[[], Journal], store_path: Path
):
    journal, sessions = open_sqlite(), store_path.parent / "sessions"
    await journal.create(head(S), Batch())
    async with journal.own(S):
        await journal.append(S, Batch(events=(Noted(text="one"),)))
        await journal.ask_to_stop(S)
    (sessions / f"{S}.stop").write_text("1")  # as an earlier version left it
    assert len(list(sessions.glob("*.stop"))) == 2
    async with journal.own(S):
        assert list(sessions.glob("*.stop")) == []
        await journal.ask_to_stop(S)
        await journal.forget(S)
    assert list(sessions.iterdir()) == []


async def test_a_request_is_that_owner_s_who_has_it_once_it_stands(
    open_sqlite: Callable[[], Journal], store_path: Path
):
    """Whoever took the session while somebody else was asked is asked in his turn."""
    journal, third = open_sqlite(), open_sqlite()
    await journal.create(head(S), Batch())
    async with journal.own(S), third.own(S, takeover=True):
        stopping.ask(store_path.parent / "sessions" / f"{S}.lock", "the owner before")
        hearing = asyncio.create_task(third.asked_to_stop(S))
        heard, _ = await asyncio.wait({hearing}, timeout=0.3)
        assert not heard
        assert await journal.ask_to_stop(S)
        await asyncio.wait_for(hearing, 20)
