"""Tests of instants that hold when somebody sets the clock."""

from datetime import timedelta

import pytest

from netra_loop.clock import Beginning
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
