"""What `execute` hands out: each attempt with what is known for its place."""

from __future__ import annotations

from netra_loop.core.records import CollectedTest
from netra_loop.phases.planning import Planner

SHARING = CollectedTest("a.py::shares", "a.py", 1, shares=("a.py::@server", "a.py::@cache"))


def planner(durations: dict[str, float]) -> Planner:
    return Planner({"a.py::red": (0, 2)}, durations, {SHARING.id: SHARING})


def test_an_attempt_carries_what_it_and_its_fixtures_took_before():
    (one,) = planner({"a.py::shares": 1.5, "a.py::@server": 4.0}).plan(["a.py::shares"], {}, {})
    assert (one.attempt, one.seconds, one.fixtures) == (1, 1.5, (("a.py::@server", 4.0), ("a.py::@cache", None)))


def test_each_attempt_has_a_trace_of_its_own_and_the_band_of_its_test():
    red, other = planner({}).plan(["a.py::red", "a.py::other"], {}, {})
    assert (red.band, other.band) == ((0, 2), (1, 0))
    assert len({red.trace_id, other.trace_id}) == 2
    assert len(red.trace_id) == len(other.trace_id) == 32


def test_what_comes_again_says_why():
    ids = ["first", "failed", "cut off", "both"]
    plan = planner({}).plan(ids, {"failed": 1, "cut off": 1, "both": 2}, {"failed": 1, "both": 1})
    assert [(one.attempt, one.why) for one in plan] == [
        (1, ""),
        (2, "again, last: failed on attempt 1"),
        (2, "again: attempt 1 was cut off before its result"),
        (3, "again, last: failed before"),
    ]
