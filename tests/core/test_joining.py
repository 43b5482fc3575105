from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.joining import BY_PATH, BY_TIME, BY_TRACE, BY_USER, Footprint, Joiner, footprint, join
from netra_loop.core.records import Exchange, LogEntry, Outcome

INSTANTS = st.integers(0, 40).map(lambda tenths: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=tenths / 10))
ATTEMPTS = st.lists(st.tuples(INSTANTS, st.sampled_from([0.0, 0.3, 1.0, 2.5])), max_size=6)


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


def running(make, name, url="", sent=""):
    frames = (make.frame("text", "sent", 1, text=sent),) if sent else ()
    exchanges = (Exchange("POST", f"http://127.0.0.1:4000{url}", 200, make.at(1), 0.1),) if url else ()
    return make.result(name, evidence=make.evidence(*frames, exchanges=exchanges))


def test_without_a_trace_a_request_belongs_to_those_who_made_one_like_it(make):
    one, other = running(make, "test_a", "/items/7?page=1"), running(make, "test_b", "/users")
    request = {"method": "POST", "url": "https://backend-abc.run.app/items/7", "status": 200}
    joined = join([make.entry("", 3, log="requests", request=request)], [one, other])
    assert (joined.entries[0].tests, joined.how(joined.entries[0])) == ((one.id,), BY_PATH)
    assert joined.by_time(other) == ()


def test_without_a_trace_an_entry_belongs_to_those_whose_user_or_run_it_names(make):
    one = running(make, "test_a", "/runs/run-0001")
    other = running(make, "test_b", sent='{"type": "start_agent", "user_id": "user-two"}')
    entries = [
        make.entry("starting run-0001", 2),
        make.entry("denied", 3, payload={"message": "denied", "who": {"user": "user-two"}}),
        make.entry("tick", 4),
    ]
    joined = join(entries, [one, other])
    assert [entry.tests for entry in joined.entries] == [(one.id,), (other.id,), (one.id, other.id)]
    assert [joined.how(entry) for entry in joined.entries] == [BY_USER, BY_USER, BY_TIME]


def test_what_others_name_at_another_time_is_theirs(make):
    one = running(make, "test_a", "/runs/run-0001")
    assert join([make.entry("run-0001 again", 100)], [one]).entries[0].tests == ()


def test_entries_may_come_in_any_order(make):
    early = make.result("test_early", started_at=make.at(0), duration_s=5)
    late = make.result("test_late", started_at=make.at(50), duration_s=5)
    joiner = Joiner([footprint(early), footprint(late)])
    owners = [joiner.joined(make.entry("x", second))[0].tests for second in (52, 2, 53, 30)]
    assert owners == [(late.id,), (early.id,), (late.id,), ()]


@given(ATTEMPTS, st.lists(st.one_of(INSTANTS, st.integers(0, 5)), max_size=12))
def test_what_is_joined_depends_on_nothing_that_was_joined_before(times, steps):
    """Steps are entries, at any instant; and, told by number, attempts of which more is known from then on."""
    attempts = [Footprint(f"t{n}", 1, f"{n}", at, seconds) for n, (at, seconds) in enumerate(times)]
    joiner = Joiner(attempts)
    for step in steps:
        if isinstance(step, datetime):
            entry = LogEntry(step, "INFO", "stdout", "web", "r", "of run-12345", "id")
            alone = Joiner(attempts)
            ahead = {one.id for one in joiner.running(step)}
            assert joiner.tests_of(entry) == alone.tests_of(entry)
            assert ahead == {one.id for one in alone.running(step)}
        elif step < len(attempts):
            old = attempts[step]
            attempts[step] = Footprint(old.id, 1, old.trace_id, old.started_at, old.duration_s, names=("run-12345",))
            joiner.learn([attempts[step]])
