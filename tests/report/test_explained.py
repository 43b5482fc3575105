"""Tests of what is told behind findings."""

from dataclasses import replace
from datetime import UTC, datetime

from netra_loop.core.past import Past
from netra_loop.core.records import Claim, Finding, FindingState
from netra_loop.report.explained import explained
from netra_loop.report.phrases import in_order


def test_each_why_stands_on_lines_of_its_own(finding: Finding) -> None:
    whys = ("it failed", "raised at x.py:2:\n  1 | def f():\n> 2 |     boom()", "why here? not known yet")
    told = explained([replace(finding, whys=whys)], {}).plain.splitlines()
    assert "  it failed" in told
    assert "    |   1 | def f():" in told
    assert "    | > 2 |     boom()" in told
    assert told[-1] == "  why here? not known yet" or told[-1].startswith("  a fixer")


def test_claims_and_history_are_told(finding: Finding) -> None:
    claims = (Claim(1, "refuted", "backend-2"), Claim(2, "claimed", None))
    past = Past(29, "night-1", datetime(2026, 11, 3, tzinfo=UTC), "night-29")
    told = explained([replace(finding, claims=claims)], {finding.id: past}).plain
    assert "a fixer of iteration 1 claims that it is mended: refuted by backend-2" in told
    assert "a fixer of iteration 2 claims that it is mended: not judged yet" in told
    assert "seen in 29 earlier sessions, first in night-1 (2026-11-03); never seen fixed" in told


def test_what_is_fixed_needs_no_words(finding: Finding) -> None:
    assert explained([replace(finding, state=FindingState.FIXED)], {}).plain == ""


def test_of_very_many_the_most_are_counted(finding: Finding) -> None:
    many = [replace(finding, id=f"F-{number:06d}") for number in range(25)]
    told = explained(many, {}, "night-1").plain
    assert told.splitlines()[-1] == "and 15 more: netra-loop findings night-1 --json"


def test_they_stand_in_order_of_impact_open_ones_and_the_newest_first(finding: Finding) -> None:
    costly = replace(finding, id="F-1", tests=("one",), last_iteration=3)
    cheap = replace(finding, id="F-2", tests=("two", "three"), last_iteration=3)
    old = replace(finding, id="F-3", last_iteration=1)
    done = replace(finding, id="F-4", state=FindingState.FIXED, last_iteration=3)
    assert [one.id for one in in_order([old, done, costly, cheap])] == ["F-1", "F-2", "F-3", "F-4"]
