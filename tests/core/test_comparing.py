"""The table of two runs at one moment."""

import json

import pytest

from netra_loop.core.comparing import Comparison, compare, from_row, summary
from netra_loop.core.records import Authenticity, Outcome

PASSED, FAILED, TIMEOUT, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.TIMEOUT, Outcome.SKIPPED


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (FAILED, PASSED, Comparison.FIXED),
        (TIMEOUT, Outcome.XPASSED, Comparison.FIXED),
        (FAILED, TIMEOUT, Comparison.NOT_FIXED),
        (PASSED, PASSED, Comparison.FLAKE),
        (PASSED, FAILED, Comparison.REGRESSION),
        (PASSED, Outcome.CRASHED, Comparison.REGRESSION),
        (None, PASSED, Comparison.UNKNOWN),
        (FAILED, None, Comparison.UNKNOWN),
        (SKIPPED, PASSED, Comparison.UNKNOWN),
        (FAILED, Outcome.XFAILED, Comparison.UNKNOWN),
    ],
)
def test_the_table(make, before, now, verdict):
    old, new = ({} if outcome is None else {"t": make.result("t", outcome, id="t")} for outcome in (before, now))
    (row,) = compare(["t"], old, new)
    assert row.verdict is verdict
    assert (row.before, row.now) == (before, now)


def test_a_pass_on_both_sides_of_what_looked_like_the_environments_is_the_environments(make):
    both = {"t": make.result("t", PASSED, id="t")}
    (row,) = compare(["t"], both, both, of_environment=frozenset({"t"}))
    assert row.verdict is Comparison.ENVIRONMENT


def test_a_sick_environment_is_one_where_half_of_it_passes_on_both_sides(make):
    old = {test: make.result(test, FAILED, id=test) for test in "abc"}
    ill = frozenset("d")
    for well, verdict in ((1, Comparison.ENVIRONMENT), (2, Comparison.FLAKE)):
        both = {"d": make.result("d", PASSED, id="d")}
        rows = compare(["d", *"abc"[:well]], {**old, **both}, {**old, **both}, of_environment=ill)
        assert rows[0].verdict is verdict


def test_the_summary_names_what_got_worse_and_why_something_was_not_judged(make):
    red, green = ({"t": make.result("t", outcome, id="t")} for outcome in (FAILED, PASSED))
    rows = compare(["t"], green, red) + compare(["u"], {}, {}, doubts={"u": "answered by b-9"})
    assert summary(rows) == "1 regressed, 1 not judged; regressions: t; not judged: u: answered by b-9"


def test_a_pass_that_talked_to_nobody_says_nothing(make):
    red = {"t": make.result("t", FAILED, id="t")}
    fake = {"t": make.result("t", PASSED, id="t", authenticity=Authenticity.FAKE)}
    (row,) = compare(["t"], red, fake)
    assert row.verdict is Comparison.UNKNOWN


def test_each_test_has_its_row_in_order_and_reads_back_from_json(make):
    old = {test: make.result(test, FAILED, id=test, message=f"old {test}") for test in "ab"}
    new = {test: make.result(test, FAILED, id=test, message=f"new {test}") for test in "b"}
    rows = compare(["b", "a"], old, new)
    assert [(row.test, row.told) for row in rows] == [
        ("b", "new b"),
        ("a", "did not run against the revision under test"),
    ]
    assert [from_row(json.loads(json.dumps(row.row()))) for row in rows] == rows
