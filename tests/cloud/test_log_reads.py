"""Tests of the budget that all readers of logs share."""

import asyncio

import pytest

from netra_loop.cloud.log_reads import READS, WINDOW_S, ReadBudget, process_budget
from netra_loop.errors import OutOfReads
from netra_loop.testing import FakeClock


@pytest.fixture
def waits():
    return []


@pytest.fixture
def on_wait(waits):
    async def told(why, seconds):
        waits.append((why, seconds))

    return told


async def calls(budget, clock, number, on_wait):
    at = []
    for _ in range(number):
        await budget.turn(on_wait)
        at.append(clock.monotonic())
    return at


async def test_thirty_calls_pass_at_once_and_the_next_one_waits_for_the_first_to_be_a_minute_old(waits, on_wait):
    clock = FakeClock()
    at = await calls(ReadBudget(clock), clock, READS + 1, on_wait)
    assert at[READS - 1] == 0
    assert at[READS] > WINDOW_S
    ((why, seconds),) = waits
    assert "30 times in 60 s" in why
    assert seconds == pytest.approx(at[READS])


async def test_no_minute_holds_more_than_thirty_whoever_asks(on_wait):
    clock = FakeClock()
    budget = ReadBudget(clock)
    readers = [calls(budget, clock, 25, on_wait) for _ in range(4)]
    at = sorted(one for reader in await asyncio.gather(*readers) for one in reader)
    assert len(at) == 100
    assert all(later - earlier > WINDOW_S for earlier, later in zip(at, at[READS:], strict=False))


async def test_a_turn_that_would_come_too_late_is_refused_at_once_and_taken_by_nobody(waits, on_wait):
    clock = FakeClock()
    budget = ReadBudget(clock, 1)
    assert not await budget.turn(on_wait, lambda: 0.0)
    with pytest.raises(OutOfReads, match="the next in 60 s"):
        await budget.turn(on_wait, lambda: 8.0)
    assert (clock.monotonic(), waits) == (0, [])
    assert await budget.turn(on_wait, lambda: 61.0)
    assert clock.monotonic() < 61


async def test_a_reader_that_gives_up_gives_its_turn_back(on_wait):
    clock = FakeClock()
    budget = ReadBudget(clock, 1)
    await budget.turn()
    waiting = asyncio.create_task(budget.turn(on_wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    clock.advance(WINDOW_S + 1)
    await budget.turn()
    assert clock.monotonic() == WINDOW_S + 1


async def test_what_is_left_grows_again(on_wait):
    clock = FakeClock()
    budget = ReadBudget(clock, 3)
    await calls(budget, clock, 2, on_wait)
    assert budget.left() == 1
    clock.advance(WINDOW_S + 1)
    assert budget.left() == 3


async def test_short_waits_are_not_told(waits, on_wait):
    clock = FakeClock()
    await calls(ReadBudget(clock, 1, window_s=0.5), clock, 3, on_wait)
    assert waits == []


def test_there_is_one_budget_in_a_process():
    assert process_budget() is process_budget()
