"""Tests of what waits to be stored."""

import tracemalloc

import pytest

from netra_loop.core.records import Outcome
from netra_loop.execution.base import Finished, Notice
from netra_loop.phases.backlog import Backlog
from netra_loop.testing.rows import T0


def ended(name: str, output: str = "", traceback: str = "") -> Finished:
    return Finished(name, 1, "gw0", T0, 0.1, Outcome.PASSED, "0" * 32, None, traceback, output)


@pytest.fixture
def backlog():
    made = Backlog()
    yield made
    made.close()


async def test_everything_comes_out_as_it_went_in_and_in_order(backlog: Backlog):
    said = [ended(str(n), f"{n}\ud83d\0é" * 20_000, f"E {n}" * 9000) for n in range(200)]
    said[7:7] = [Notice("a note"), ended("small")]
    for event in (*said, None):
        backlog.put_nowait(event)
    assert backlog.qsize() == 203
    assert [backlog.get_nowait() for _ in range(203)] == [*said, None]
    assert backlog.empty()


async def test_it_serves_again_once_it_was_empty(backlog: Backlog):
    for round_ in range(3):
        said = [ended(f"{round_}-{n}", chr(97 + n % 26) * 1_000_000) for n in range(20)]
        for event in said:
            backlog.put_nowait(event)
        assert [await backlog.get() for _ in said] == said


async def test_a_flood_does_not_fill_the_memory(backlog: Backlog):
    tracemalloc.start()
    try:
        for n in range(300):
            backlog.put_nowait(ended(str(n), f"{n:04}" * 50_000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000_000  # of 60 MB


async def test_closing_twice_is_safe(backlog: Backlog):
    backlog.close()
    backlog.close()
