from __future__ import annotations

import pytest

from netra_loop.core.joining import BY_TIME, BY_TRACE, join
from netra_loop.core.records import Outcome


def test_an_entry_with_a_tests_trace_is_that_tests_alone(make):
    one, other = make.result("test_a"), make.result("test_b")
    joined = join([make.entry("x", 3, trace_id=one.trace_id)], [one, other])
    assert joined.entries[0].tests == (one.id,)
    assert joined.how(joined.entries[0]) == BY_TRACE
    assert joined.entries_for(one) == joined.entries
    assert joined.entries_for(other) == ()


def test_an_entry_with_a_foreign_trace_belongs_to_somebody_else(make):
    joined = join([make.entry("x", 3, trace_id="health-check")], [make.result()])
    assert joined.entries[0].tests == ()
    assert joined.how(joined.entries[0]) is None


def test_an_entry_without_a_trace_belongs_to_every_test_of_its_time(make):
    early = make.result("test_early", started_at=make.at(0), duration_s=5)
    late = make.result("test_late", started_at=make.at(4), duration_s=5)
    gone = make.result("test_gone", started_at=make.at(100), duration_s=5)
    joined = join([make.entry("x", 4.5)], [late, gone, early])
    assert joined.entries[0].tests == tuple(sorted([early.id, late.id]))
    assert joined.how(joined.entries[0]) == BY_TIME
    assert joined.by_time(late) == joined.entries
    assert joined.by_trace(late) == ()


@pytest.mark.parametrize(("second", "belongs"), [(-0.6, False), (-0.4, True), (7.4, True), (7.6, False)])
def test_a_little_slack_is_given_at_both_ends(make, second, belongs):
    result = make.result(duration_s=7)
    assert bool(join([make.entry("x", second)], [result]).entries_for(result)) is belongs


def test_attempts_of_one_test_have_entries_of_their_own(make):
    first, second = make.result(attempt=1), make.result(attempt=2, outcome=Outcome.PASSED, started_at=make.at(60))
    entries = [make.entry("a", 3, trace_id=first.trace_id), make.entry("b", 62, trace_id=second.trace_id)]
    joined = join(entries, [first, second])
    assert [entry.message for entry in joined.entries_for(first)] == ["a"]
    assert [entry.message for entry in joined.entries_for(second)] == ["b"]


def test_the_same_entry_read_twice_is_one_and_order_is_that_of_time(make):
    entries = [make.entry("b", 2), make.entry("a", 1), make.entry("b", 2)]
    assert [entry.message for entry in join(entries, []).entries] == ["a", "b"]


def test_joining_again_changes_nothing(make):
    results = [make.result("test_a"), make.result("test_b")]
    once = join([make.entry("x", 3), make.entry("y", 4, trace_id=results[0].trace_id)], results)
    assert join(once.entries, results).entries == once.entries


def test_thousands_of_entries_and_tests_are_joined_in_moments(make):
    results = [make.result(f"test_{n}", started_at=make.at(n), duration_s=10) for n in range(1000)]
    joined = join([make.entry("x", n / 5) for n in range(5000)], results)
    assert max(len(entry.tests) for entry in joined.entries) <= 12
