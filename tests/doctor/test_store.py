"""Tests of what a doctor says of the store."""

from __future__ import annotations

from datetime import UTC, datetime

from netra_loop.core.events import SessionStarted
from netra_loop.core.records import Batch
from netra_loop.doctor.base import Status
from netra_loop.doctor.store import store
from netra_loop.journal.base import SessionHead
from netra_loop.journal.store import open_store
from tests.doctor.conftest import lines


async def test_none_yet_is_well_and_none_is_made(subject, tmp_path):
    first, room = await lines(store, subject())
    assert (first.status, room.check, room.status) == (Status.OK, "disk space", Status.OK)
    assert not (tmp_path / ".netra-loop").exists()


async def test_sessions_are_counted_and_who_holds_one_is_named(subject, tmp_path):
    now = datetime.now(UTC)
    journal = open_store(f"sqlite:///{tmp_path}/.netra-loop/journal.db")
    started = SessionStarted(loop="n", loop_file="n", loop_text="", environment="here", first_phase="select")
    async with journal.own("night-1"):
        await journal.create(
            SessionHead("night-1", "n", "here", "running", 1, None, now, now), Batch(events=(started,))
        )
        first, modes, _ = await lines(store, subject())
    await journal.close()
    assert first.status is Status.OK
    assert "1 session, 1 unfinished; night-1 is held by" in first.detail
    assert modes.status is Status.OK


async def test_a_file_that_others_may_read(subject, tmp_path):
    await open_store(f"sqlite:///{tmp_path}/.netra-loop/journal.db").close()
    (tmp_path / ".netra-loop" / "journal.db").chmod(0o644)
    line = next(line for line in await lines(store, subject()) if line.check == "store's modes")
    assert line.status is Status.WARN
    assert line.mend.startswith("chmod 700")


async def test_another_programs_file(subject, tmp_path):
    (tmp_path / ".netra-loop").mkdir(mode=0o700)
    (tmp_path / ".netra-loop" / "journal.db").write_text("not a database" * 100)
    first = (await lines(store, subject()))[0]
    assert (first.check, first.status) == ("store", Status.FAIL)
    assert first.mend
