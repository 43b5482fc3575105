"""What is told of a test whose process could not tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from netra_loop.core.records import Evidence, Exchange, Frame
from netra_loop.execution.pool_ends import MemoryWatch, how, last_words
from netra_loop.execution.pool_worker import Worker

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def vmstat(tmp_path):
    file = tmp_path / "vmstat"
    file.write_text("nr_free_pages 1\noom_kill 3\n")
    return file


@pytest.fixture
def worker(tmp_path):
    return Worker("gw0", str(tmp_path / "gw0"), lambda _worker, _message: None)


def test_the_kernel_s_kills_for_memory_are_counted_since_one_looked(vmstat):
    watch = MemoryWatch(vmstat)
    assert watch.kills() == 0
    vmstat.write_text("oom_kill 5\n")
    assert (watch.kills(), watch.kills()) == (2, 0)
    vmstat.unlink()
    assert watch.kills() == 0


def test_a_kill_that_is_not_ours_is_told_with_what_the_kernel_did(vmstat, worker):
    watch = MemoryWatch(vmstat)
    assert how(worker, -9, watch) == "killed by SIGKILL, not by netra-loop"
    vmstat.write_text("oom_kill 4\n")
    assert "the kernel ran out of memory" in how(worker, -9, watch)
    assert how(worker, -11, watch) == "killed by SIGSEGV"
    assert how(worker, 113, watch) == "its process closed the connection that it reports through"


def test_the_last_exchange_and_the_last_frame_are_told():
    at = BEGUN + timedelta(seconds=1.5)
    exchange = Exchange("GET", "http://h/a", None, at, 0.0)
    frame = Frame("ws://h/ws", "text", "received", at, event="agent_thinking")
    told = last_words(Evidence(exchanges=(exchange,), frames=(frame,)), BEGUN)
    assert "last exchange: GET http://h/a -> no answer, begun after 1.500 s" in told
    assert "last frame: received text agent_thinking on ws://h/ws, after 1.500 s" in told
    assert last_words(Evidence(), BEGUN) == ""
