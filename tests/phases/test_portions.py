"""What one commit takes, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from netra_loop.core.records import Outcome
from netra_loop.execution.base import Finished, Notice, RunEvent
from netra_loop.phases.portions import Portions, apart, weight, whole
from netra_loop.testing import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ended(output: str = "") -> Finished:
    return Finished("t", 1, "gw0", NOW, 0.1, Outcome.PASSED, "0" * 32, output=output)


def queue_of(*events: RunEvent | None) -> asyncio.Queue[RunEvent | None]:
    queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()
    for event in events:
        queue.put_nowait(event)
    return queue


async def test_what_queued_up_is_one_portion():
    portions = Portions(queue_of(Notice("a"), ended(), None), FakeClock())
    assert await portions.take() == [Notice("a"), ended(), None]


async def test_a_portion_is_bounded_in_number():
    portions = Portions(queue_of(*[ended()] * 1200), FakeClock())
    assert [len(await portions.take()) for _ in range(3)] == [500, 500, 200]


async def test_a_portion_is_bounded_in_size():
    portions = Portions(queue_of(*[ended("x" * 400_000)] * 7), FakeClock())
    assert [len(await portions.take()) for _ in range(3)] == [3, 3, 1]


async def test_portions_are_paced_and_the_first_is_not():
    clock = FakeClock()
    queue = queue_of(ended())
    portions = Portions(queue, clock)
    before = clock.monotonic()
    await portions.take()
    assert clock.monotonic() == before
    queue.put_nowait(ended())
    await portions.take()
    assert clock.monotonic() > before


async def test_a_cancelled_take_has_taken_nothing():
    queue = queue_of()
    portions = Portions(queue, FakeClock())
    taking = asyncio.create_task(portions.take())
    await asyncio.sleep(0)
    taking.cancel()
    queue.put_nowait(ended())
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert portions.rest() == [ended()]


async def test_much_text_is_gone_through_in_a_thread_and_little_is_not():
    here = threading.get_ident()
    assert await apart(threading.get_ident, weight([ended("x" * 100_000)])) != here
    assert await apart(threading.get_ident, weight([ended("x" * 100)])) == here


async def test_what_is_to_be_whole_ends_before_its_cancellation_does():
    done: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.append("stored")

    task = asyncio.create_task(whole(work()))
    await begun.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["stored"]
