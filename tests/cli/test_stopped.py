"""What `netra-loop stop` says it saw, and its exit code: the session's process is played by the test."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from netra_loop.core import events as ev
from netra_loop.core.records import Batch
from netra_loop.journal.store import open_store
from netra_loop.testing.rows import T0, head

S = "golden-1"
STARTED = ev.SessionStarted(loop="golden-path", loop_file="f", loop_text="", environment="local", first_phase="select")


@dataclass(frozen=True)
class Told:
    """What the command said, and how it ended."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def stopped(tmp_path: Path):
    """Stops a session whose process does nothing but record the last word that is given, and let go."""

    async def play(last: ev.Event | None, state: str) -> Told:
        url = str(tmp_path / "state" / "journal.db")
        store = open_store(url)
        words = [sys.executable, "-m", "netra_loop.cli.main", "--store", url, "stop", S]
        pipe = asyncio.subprocess.PIPE
        async with store.own(S):
            await store.create(head(S), Batch(events=(STARTED,)))
            asked = asyncio.create_task(store.asked_to_stop(S))
            process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, cwd=tmp_path)
            await asyncio.wait_for(asked, 60)
            if last is not None:
                await store.append(S, Batch(events=(last,)), head(S, state=state, updated_at=T0))
        stdout, stderr = await process.communicate()
        await store.close()
        assert process.returncode is not None
        return Told(process.returncode, stdout.decode(), stderr.decode())

    return play


def resumes(told: Told) -> bool:
    return told.stdout.startswith("netra-loop") and told.stdout.endswith(f"resume {S}\n")


async def test_a_pause_is_0_and_says_how_to_go_on(stopped):
    told = await stopped(ev.SessionPaused(why="netra-loop stop"), "paused")
    assert (told.code, resumes(told)) == (0, True), told.stderr
    assert told.stderr.splitlines()[-1] == f"paused: {S}"


async def test_a_pause_for_another_reason_is_one_too_and_named(stopped):
    told = await stopped(ev.SessionPaused(why="the budget of 5h is used up"), "paused")
    assert (told.code, resumes(told)) == (0, True)
    assert "though not for being asked to: the budget of 5h is used up" in told.stderr


@pytest.mark.parametrize(
    ("outcome", "code", "verdict"),
    [("met", 0, "goal met: all is well"), ("unmet", 1, "unmet: all is well"), ("stuck", 1, "stuck: all is well")],
)
async def test_a_session_that_ended_by_itself_is_not_said_to_be_stopped(stopped, outcome, code, verdict):
    told = await stopped(ev.SessionEnded(outcome=outcome, exit_code=code, reason="all is well"), outcome)
    assert (told.code, told.stdout) == (code, "")
    assert told.stderr.splitlines()[-1] == f"{S} ended by itself before it could pause: {verdict}"


async def test_a_session_that_failed_has_its_own_code_and_can_be_gone_on_with(stopped):
    told = await stopped(ev.SessionFailed(exit_code=3, error="no quota"), "failed")
    assert (told.code, resumes(told)) == (3, True)
    assert told.stderr.splitlines()[-1] == f"{S} failed before it could pause: no quota"


async def test_a_process_that_is_gone_without_a_word_did_not_pause(stopped):
    told = await stopped(None, "running")
    assert (told.code, told.stdout) == (3, "")
    assert "did not pause" in told.stderr
    assert "gone without a word" in told.stderr
    assert told.stderr.splitlines()[-1].endswith(f"resume {S}")
