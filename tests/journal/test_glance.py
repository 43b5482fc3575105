"""Whoever comes second is told who holds the session, whatever it is called by; and nobody else is stopped."""

from dataclasses import replace

import pytest

from netra_loop.core.records import Batch
from netra_loop.core.state import Status
from netra_loop.errors import SessionHeld
from netra_loop.journal.glance import ENDED, check_free
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import head


def test_what_has_ended_is_what_the_state_says():
    assert {status.value for status in Status if status.is_final} == set(ENDED)


@pytest.mark.parametrize("called", [None, "latest", "golden-2-x", "golden-2"])
async def test_a_held_session_is_told_with_its_holder(store_url: str, called: str | None):
    journal = open_store(store_url)
    for name in ("golden-1", "golden-2-x"):
        await journal.create(head(name), Batch())
    check_free(store_url, called)
    async with journal.own("golden-2-x"):
        with pytest.raises(
            SessionHeld, match=str(await journal.holder("golden-2-x")).replace("(", r"\(").replace(")", r"\)")
        ):
            check_free(store_url, called)
        check_free(store_url, "golden-1")
    check_free(store_url, called)
    await journal.close()


async def test_the_newest_unfinished_one_is_meant_where_none_is_named(store_url: str):
    journal = open_store(store_url)
    await journal.create(head("golden-1"), Batch())
    await journal.create(replace(head("golden-2"), state="met"), Batch())
    async with journal.own("golden-2"):
        check_free(store_url, None)
    async with journal.own("golden-1"):
        with pytest.raises(SessionHeld, match="'golden-1' is held"):
            check_free(store_url, None)
    await journal.close()


@pytest.mark.parametrize("called", ["golden", "other", "%", "'; --", "\udcff", "\0"])
async def test_what_names_no_session_or_several_is_left_to_others(store_url: str, called: str):
    journal = open_store(store_url)
    for name in ("golden-1", "golden-2"):
        await journal.create(head(name), Batch())
    async with journal.own("golden-1"), journal.own("golden-2"):
        check_free(store_url, called)
    await journal.close()


@pytest.mark.parametrize(
    "store", ["postgresql://nobody@127.0.0.1:1/db", "postgresql://a@b@c", "sqlite:///nowhere/j.db", "/x"]
)
def test_a_store_that_cannot_be_used_is_left_to_others(store: str):
    check_free(store, None)
