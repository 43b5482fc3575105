"""Deadlines against a clock that the test holds."""

from __future__ import annotations

from netra_loop.execution.pool_deadlines import TICK_S, Deadlines


def test_a_deadline_passes_once():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 10.0)
    deadlines.set("b", 20.0)
    assert deadlines.expired(9.99) == []
    assert deadlines.expired(10.0) == ["a"]
    assert deadlines.expired(10.1) == []


def test_a_cleared_deadline_never_passes():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 10.0)
    deadlines.clear("a")
    deadlines.clear("unknown")
    assert deadlines.expired(11.0) == []


def test_time_in_which_nobody_could_look_does_not_count():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.expired(0.0)
    deadlines.set("a", 10.0)
    assert deadlines.expired(60.0) == []
    assert deadlines.expired(60.0 + TICK_S) == []
    late = 60.0 - TICK_S
    now = 60.0 + TICK_S
    while now < 10.0 + late - TICK_S:
        now += TICK_S
        assert deadlines.expired(now) == []
    assert deadlines.expired(10.0 + late) == ["a"]
