"""Tests of instants that hold when somebody sets the clock."""

import asyncio
from datetime import timedelta

import pytest

from netra_loop.clock import Beginning, Elapsed, within
from netra_loop.testing import FakeClock

JUMPS_S = [3600.0, -3600.0, 86_400.0, -86_400.0]


def test_a_beginning_stays_where_it_was_while_time_passes():
    clock = FakeClock()
    began, then = Beginning(clock), clock.now()
    clock.advance(500)
    assert began.at() == then


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_whatever_comes_after_a_beginning_is_after_it_however_the_clock_is_set(jump_s):
    clock = FakeClock()
    began, seen = Beginning(clock), [clock.now()]
    clock.advance(30)
    seen.append(clock.now())
    clock.jump(jump_s)
    seen.append(clock.now())
    clock.advance(30)
    seen.append(clock.now())
    assert began.at() <= min(seen)
    assert began.at() >= min(seen) - timedelta(seconds=31)


def test_a_beginning_that_lies_ahead_of_the_clock_is_now():
    clock = FakeClock()
    later = clock.now() + timedelta(hours=1)
    assert Beginning(clock, later).at() == clock.now()
    assert Beginning(clock, clock.now() - timedelta(hours=1)).at() == later - timedelta(hours=2)


class Suspended(FakeClock):
    """A clock of a process that is suspended for an hour in the middle of its first sleep."""

    async def sleep(self, seconds):
        if not self.slept:
            self.advance(3600)
        await super().sleep(seconds)


async def ready_after(clock, seconds):
    await clock.sleep(seconds)
    return "an answer"


async def test_what_takes_less_than_its_time_is_answered():
    clock = FakeClock()
    assert await within(clock, 10.0, ready_after(clock, 9.5)) == "an answer"
    assert clock.monotonic() < 10.0


async def test_what_takes_longer_is_given_up_at_its_time():
    clock = FakeClock()
    with pytest.raises(Elapsed):
        await within(clock, 10.0, asyncio.Event().wait())
    assert clock.monotonic() == pytest.approx(10.0)


async def test_time_in_which_we_were_suspended_does_not_count():
    clock = Suspended()
    with pytest.raises(Elapsed):
        await within(clock, 10.0, asyncio.Event().wait())
    assert clock.monotonic() == pytest.approx(3610.0)
