"""`list --prune` against whoever works on the same sessions at that moment."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from netra_loop.cli.pruning import prune
from netra_loop.core.records import Batch
from netra_loop.core.retention import Retention
from netra_loop.journal.base import Holder, SessionHead, StoreIdentity
from netra_loop.journal.folders import claim
from netra_loop.settings import Settings
from netra_loop.testing import MemoryJournal
from netra_loop.testing.rows import head

ALL = Retention(None, 0)


class Busy(MemoryJournal):
    """Something happens to its sessions right after they were listed."""

    def __init__(self, *changed: SessionHead, removed: str | None = None) -> None:
        super().__init__()
        self._changed = changed
        self._gone = removed

    async def holder(self, session: str) -> Holder | None:
        changed, self._changed = self._changed, ()
        for one in changed:
            async with self.own(one.id):
                await self.append(one.id, Batch(), one)
        gone, self._gone = self._gone, None
        if gone is not None:
            async with self.own(gone):
                await self.forget(gone)
        return await super().holder(session)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "loops").mkdir()
    return Settings(environ=dict(os.environ), store=None, ci=False, cwd=tmp_path)


def folder_of(settings: Settings, session: str) -> Path:
    folder = settings.state_dir() / "sessions" / session
    folder.mkdir(parents=True)
    (folder / "work").write_text("ours")
    return folder


def ended(session: str) -> SessionHead:
    return replace(head(session), state="met", exit_code=0)


async def test_one_that_went_on_since_it_was_chosen_stays(settings: Settings, capsys: pytest.CaptureFixture[str]):
    now = replace(ended("first"), updated_at=datetime.now(UTC) + timedelta(seconds=1))
    journal = Busy(now)
    for session in ("first", "second"):
        await journal.create(ended(session), Batch())
    folder = folder_of(settings, "first")
    await prune(journal, settings, ALL, yes=True, dry_run=False, as_json=False)
    assert await journal.sessions() == [now]
    assert (folder / "work").exists()
    assert "kept     first: it went on meanwhile: met" in capsys.readouterr().out


async def test_what_a_resume_would_take_by_now_stays(settings: Settings, capsys: pytest.CaptureFixture[str]):
    """The newest unfinished one ended while the others were removed: now it is the one before it."""
    journal = Busy(ended("newest"))
    for session in ("old", "newest"):
        await journal.create(head(session), Batch())
    await prune(journal, settings, ALL, yes=True, dry_run=False, as_json=False)
    assert [one.id for one in await journal.sessions()] == ["newest", "old"]
    assert "kept     old: it is the newest unfinished one by now" in capsys.readouterr().out


async def test_one_that_another_process_removed_is_said_to_be(settings: Settings, capsys: pytest.CaptureFixture[str]):
    journal = Busy(removed="first")
    await journal.create(ended("first"), Batch())
    await prune(journal, settings, ALL, yes=True, dry_run=False, as_json=False)
    assert "kept     first: another process has removed it" in capsys.readouterr().out


async def test_a_folder_that_another_store_s_session_of_that_name_has_stays(
    settings: Settings, capsys: pytest.CaptureFixture[str]
):
    journal = MemoryJournal()
    for session in ("first", "second"):
        await journal.create(ended(session), Batch())
    theirs, ours = folder_of(settings, "first"), folder_of(settings, "second")
    claim(theirs, StoreIdentity("b" * 32, "postgresql://me@host/db"))
    claim(ours, await journal.identity())
    await prune(journal, settings, ALL, yes=True, dry_run=False, as_json=False)
    assert await journal.sessions() == []
    assert (theirs / "work").exists()
    assert not ours.exists()
    assert "; its folder is left, it is that of postgresql://me@host/db" in capsys.readouterr().out
