from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.schedule import Candidate, order


def candidate(name: str, rank: int = 0, module: str = "m") -> Candidate:
    return Candidate(name, f"P{rank}", rank, module, "because")


def names(candidates: list[Candidate], failed: set[str] = frozenset(), durations: dict[str, float] | None = None):
    return [one.id for one, _ in order(candidates, failed, durations or {})]


def test_failing_first_then_tiers_then_the_longest():
    candidates = [candidate("low", 1), candidate("short"), candidate("long"), candidate("broken", 1)]
    durations = {"low": 99.0, "short": 1.0, "long": 5.0}
    assert names(candidates, {"broken"}, durations) == ["broken", "long", "short", "low"]


def test_failing_ones_keep_the_order_of_tiers_among_themselves():
    assert names([candidate("low", 1), candidate("high", 0)], {"low", "high"}) == ["high", "low"]


def test_never_timed_tests_come_before_timed_ones_and_keep_their_modules_together():
    candidates = [candidate("a1", module="a"), candidate("b1", module="b"), candidate("a2", module="a"), candidate("t")]
    assert names(candidates, durations={"t": 60.0}) == ["a1", "a2", "b1", "t"]


def test_a_senseless_duration_counts_as_unknown():
    candidates = [candidate("first"), candidate("second")]
    assert names(candidates, durations={"first": float("nan"), "second": -1.0}) == ["first", "second"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.booleans(), st.none() | st.floats()), max_size=30)
)
def test_every_candidate_is_placed_exactly_once(rows: list[tuple[int, str, bool, float | None]]):
    candidates = [candidate(str(index), rank, module) for index, (rank, module, _, _) in enumerate(rows)]
    failed = {str(index) for index, row in enumerate(rows) if row[2]}
    durations = {str(index): row[3] for index, row in enumerate(rows) if row[3] is not None}
    placed = names(candidates, failed, durations)
    assert sorted(placed) == sorted(one.id for one in candidates)
    assert set(placed[: len(failed)]) == failed
