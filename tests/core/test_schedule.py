from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.schedule import Candidate, order


def candidate(name: str, rank: int = 0, module: str = "m") -> Candidate:
    return Candidate(name, f"P{rank}", rank, module, "because")


def sharing(name: str, fixture: str, module: str = "m") -> Candidate:
    return Candidate(name, "P0", 0, module, "because", (fixture,))


def reasons(candidates: list[Candidate], failed: set[str], durations: dict[str, float]) -> dict[str, str]:
    return {one.id: why for one, why in order(candidates, failed, durations)}


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


def test_tests_that_share_a_costly_fixture_stand_together_where_their_whole_length_puts_them():
    candidates = [sharing("a1", "m.py::@f"), candidate("alone"), sharing("a2", "m.py::@f"), candidate("longest")]
    durations = {"a1": 3.0, "a2": 1.0, "alone": 2.0, "longest": 9.0, "m.py::@f": 2.0}
    assert names(candidates, durations=durations) == ["longest", "a1", "a2", "alone"]


def test_a_fixture_known_to_be_quick_keeps_nothing_together():
    candidates = [sharing("a1", "m.py::@f"), candidate("b"), sharing("a2", "m.py::@f")]
    durations = {"a1": 3.0, "a2": 1.0, "b": 2.0, "m.py::@f": 0.001}
    assert names(candidates, durations=durations) == ["a1", "b", "a2"]


def test_every_place_has_its_reason():
    candidates = [
        *(sharing(f"kept{n}", "t/a.py::@server") for n in range(3)),
        sharing("both", "t/a.py::@server"),
        candidate("new"),
        candidate("timed"),
        candidate("red"),
    ]
    told = reasons(candidates, {"red", "both"}, {"timed": 12.34, "t/a.py::@server": 4.2})
    assert told["kept0"] == "kept with 2 others: module fixture server (4.2 s)"
    assert told["both"] == "failed last time"
    assert told["red"] == "failed last time"
    assert told["new"] == "no duration known, file order"
    assert told["timed"] == "longest first: 12.3 s"


def test_a_fixture_of_unknown_cost_keeps_its_tests_together():
    candidates = [sharing("a1", "t/a.py::A::@x[0]"), candidate("b"), sharing("a2", "t/a.py::A::@x[0]")]
    assert names(candidates) == ["a1", "a2", "b"]
    assert reasons(candidates, set(), {})["a1"] == "kept with 1 other: class fixture x[0] (cost not known)"


def test_fixtures_of_nested_scopes_stay_up_as_long_as_they_can():
    def test(name: str, *shares: str) -> Candidate:
        return Candidate(name, None, 0, "m", "because", shares)

    package, browsers = "t::@db", ("t/m.py::@b[0]", "t/m.py::@b[1]")
    candidates = [
        test("m-b0-1", package, browsers[0]),
        test("other-1", package, "t/n.py::@c"),
        test("m-b1-1", package, browsers[1]),
        test("m-b0-2", package, browsers[0]),
        test("m-b1-2", package, browsers[1]),
        test("other-2", package, "t/n.py::@c"),
    ]
    assert names(candidates) == ["m-b0-1", "m-b0-2", "other-1", "other-2", "m-b1-1", "m-b1-2"]
