from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.records import CollectedTest
from netra_loop.core.selection import keyword_problems, path_matches, select
from netra_loop.core.spec import JourneySpec, SelectSpec, TierSpec
from netra_loop.errors import UsageError


def collected(name: str, *, path: str = "tests/e2e/test_x.py", markers: tuple[str, ...] = ()) -> CollectedTest:
    return CollectedTest(f"{path}::{name}", path, 1, markers, (name, path.rpartition("/")[2], *markers))


def tier(name: str, **select_by: object) -> TierSpec:
    return TierSpec(name=name, select=SelectSpec.model_validate(select_by))


def ids(chosen: list) -> list[str]:
    return [one.id.rpartition("::")[2] for one in chosen]


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("**/test_priority1*", "tests/e2e/test_priority1_critical.py", True),
        ("**/test_priority1*", "test_priority1_critical.py", True),
        ("**/test_priority1*", "tests/test_priority10/test_a.py", False),
        ("tests/**/test_a.py", "tests/test_a.py", True),
        ("tests/**/test_a.py", "tests/x/y/test_a.py", True),
        ("test_a.py", "tests/x/test_a.py", True),
        ("tests/*.py", "tests/x/test_a.py", False),
        ("tests/x", "tests/x/y/test_a.py", True),
        ("./tests/x/", "tests/x/test_a.py", True),
        ("tests/[ab]?st", "tests/best", True),
        ("tests/test_[!a].py", "tests/test_a.py", False),
        ("", "tests/test_a.py", False),
        ("**", "tests/test_a.py", True),
    ],
)
def test_a_glob_names_paths_as_purepath_does(glob: str, path: str, matches: bool):
    assert path_matches(glob, path) is matches


def test_a_node_id_names_a_class_or_a_function_with_all_its_parameters():
    assert path_matches("t/a.py::T", "t/a.py", "t/a.py::T::test_x")
    assert path_matches("t/a.py::test_x", "t/a.py", "t/a.py::test_x[1]")
    assert not path_matches("t/a.py::test_x", "t/a.py", "t/a.py::test_xy")


@given(st.text("*?/[]ab!", max_size=40), st.text("ab/", max_size=40))
def test_no_glob_is_an_error(glob: str, path: str):
    assert path_matches(glob, path) in {True, False}


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("progress", ["test_progression", "test_Progress_bar"]),
        ("progress and not BAR", ["test_progression"]),
        ("(bar or stream) and test", ["test_Progress_bar", "test_stream"]),
        ("not not stream", ["test_stream"]),
        ("bar or stream and nothing", ["test_Progress_bar"]),
    ],
)
def test_keywords_mean_what_pytest_means(keyword: str, expected: list[str]):
    tests = [collected(name) for name in ("test_progression", "test_Progress_bar", "test_stream")]
    assert ids(select(tests, [], [tier("P1", keyword=keyword)])) == expected


def test_markers_match_whole_names():
    tests = [collected("test_a", markers=("critical",)), collected("test_b", markers=("criticality",))]
    assert ids(select(tests, [], [tier("P1", marker="critical and not slow")])) == ["test_a"]


@pytest.mark.parametrize("bad", ["", "and", "a b", "(a", "a)", "a or", "not", "a & b", "__import__('os')", "a == 1"])
def test_a_bad_expression_is_told_in_words(bad: str):
    problem = keyword_problems(bad)
    assert problem
    assert "Traceback" not in problem


def test_ten_thousand_parentheses_and_nots_do_not_exhaust_the_stack():
    assert keyword_problems("(" * 10_000 + "a" + ")" * 10_000) is None
    assert keyword_problems("not " * 10_000 + "a") is None
    assert keyword_problems("(" * 10_000 + "a") == "a '(' is never closed"


def test_the_first_tier_that_selects_a_test_owns_it_and_the_rest_is_left_out():
    tests = [collected("test_a", markers=("critical",)), collected("test_b"), collected("test_c")]
    tiers = [tier("P1", marker="critical"), tier("P2", keyword="test_a or test_b")]
    chosen = select(tests, [], tiers)
    assert [(one.tier, one.position) for one in chosen] == [("P1", 0), ("P2", 1)]
    assert chosen[0].reason == "tier P1 by marker critical; no duration known, file order"


def test_without_tiers_everything_is_in_and_belongs_to_none():
    chosen = select([collected("test_a")], [JourneySpec(name="path", steps=())], [])
    assert [(one.id, one.tier) for one in chosen] == [("journey::path", None), ("tests/e2e/test_x.py::test_a", None)]


def test_a_journey_goes_to_its_tier_and_one_that_names_none_is_not_lost():
    tiers = [tier("P1", marker="critical"), tier("P2", keyword="chat")]
    journeys = [
        JourneySpec(name="named", tier="P2", steps=()),
        JourneySpec(name="chat", steps=()),
        JourneySpec(name="other", steps=()),
    ]
    chosen = {one.id: one.tier for one in select([], journeys, tiers)}
    assert chosen == {"journey::named": "P2", "journey::chat": "P2", "journey::other": "P1"}


def test_only_keeps_one_tier_and_refuses_a_name_that_is_none():
    tiers = [tier("P1", keyword="test_a"), tier("P2", everything=True)]
    tests = [collected("test_a"), collected("test_b")]
    assert ids(select(tests, [], tiers, only="P2")) == ["test_b"]
    with pytest.raises(UsageError, match="'P3', expected one of P1, P2"):
        select(tests, [], tiers, only="P3")


def test_a_place_in_the_order_is_explained():
    tests = [collected("test_a"), collected("test_b"), collected("test_c")]
    chosen = select(tests, [], [], failed_before={tests[2].id}, durations={tests[0].id: 1.234, tests[1].id: 20})
    assert ids(chosen) == ["test_c", "test_b", "test_a"]
    assert [one.reason.partition("; ")[2] for one in chosen] == [
        "failed last time",
        "longest first: 20 s",
        "longest first: 1.23 s",
    ]
