"""The fold: what follows what, and what a state remembers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core import events as ev
from netra_loop.core.state import TRANSITIONS, Mode, State, Status, apply, fold
from netra_loop.errors import Defect

AT = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = ev.SessionStarted(
    loop="x", loop_file="x", loop_text="", environment="local", first_phase="a", vars={"v": "1"}
)
SAMPLES: dict[str, ev.Event] = {
    event.kind: event
    for event in (
        STARTED,
        ev.SessionResumed(pid=1, host="h", vars={"w": "2"}),
        ev.PhaseStarted(phase="a", iteration=1, attempt=1, uses="run"),
        ev.PhaseRecovered(phase="a", iteration=1, attempt=1, progress=0),
        ev.PhaseFinished(phase="a", iteration=1, attempt=1, outcome="ok", target="b"),
        ev.RevisionReady(service="s", revision="s-1", url="http://s", ws_url="ws://s"),
        ev.TrafficSeen(service="s", revision="s-0", change="e1", tag="nl-abcd-1"),
        ev.TrafficMoved(service="s", revision="s-1", why="promoted"),
        ev.ForeignSeen(service="s", expected="s-1", found="s-9"),
        ev.ImageBuilt(service="s", image="registry/s:1"),
        ev.Adopted(what="revision", name="s-1"),
        ev.Waited(why="quota", seconds=1.0),
        ev.AuthTried(method="jwt", ok=True),
        ev.TestsSelected(selected=3),
        ev.SourcesSeen(files={"tests/test_a.py": "00ff"}, conftests={"tests/test_a.py": []}),
        ev.LogsRead(entries=2, cursor="c", complete=False),
        ev.ErrorsGrouped(revisions={"s": "s-1"}),
        ev.ErrorsBefore(service="s", revision="s-0"),
        ev.GoalJudged(phase="a", iteration=1, attempt=1, outcome="unmet"),
        ev.WorkspaceMade(how="copy", home="/p", root="/w", branch="netra-loop/x", base="c0"),
        ev.WorkspaceSaved(commit="c0", tree="t0"),
        ev.FixerRan(exit_code=0, note="mended", claims=("F-1",), changed=("a.py",), tree="t1"),
        ev.Committed(commit="c1", parent="c0", tree="t1", subject="Mend"),
        ev.SourceTaken(service="s", folder="/sources/s", commit="c1"),
        ev.FixTurnedBack(commit="c2", takes_back="c1", why="c2 takes back c1"),
        ev.RevisionTagged(service="s", revision="s-0", tag="nl-abcd-1"),
        ev.RevisionsCompared(before="s-0", now="s-1"),
        ev.WaitBegan(what="commit", told="a new commit on main", known={"main": "c0"}),
        ev.Noted(text="note"),
        ev.SessionPaused(why="asked"),
        ev.SessionFailed(exit_code=3, error="cloud"),
        ev.SessionEnded(outcome="unmet", exit_code=1, reason="end"),
    )
}


def folded(*kinds: str) -> State:
    return fold(ev.Recorded(seq, AT + timedelta(seconds=seq), SAMPLES[kind]) for seq, kind in enumerate(kinds, 1))


def test_every_kind_of_event_has_a_place_in_the_table():
    assert {kind for _, kind in TRANSITIONS} == set(ev.EVENTS) == set(SAMPLES)


@given(st.lists(st.sampled_from(sorted(SAMPLES)), max_size=30))
def test_an_event_either_follows_the_table_or_changes_nothing(kinds):
    state = State()
    for kind in kinds:
        before = state
        allowed = (state.mode, kind) in TRANSITIONS
        held = state.status in {Status.PAUSED, Status.FAILED} and kind not in {"session_resumed", "noted"}
        if allowed and not held:
            state = apply(state, ev.Recorded(state.seq + 1, AT, SAMPLES[kind]))
            assert state.mode is TRANSITIONS[before.mode, kind]
            assert state.seq == before.seq + 1
        else:
            with pytest.raises(Defect):
                apply(state, ev.Recorded(state.seq + 1, AT, SAMPLES[kind]))
            assert state == before


def test_a_gap_in_the_numbers_is_refused():
    with pytest.raises(Defect, match="event 3"):
        apply(folded("session_started"), ev.Recorded(3, AT, SAMPLES["phase_started"]))


def test_folding_in_parts_gives_the_same_state():
    kinds = ("session_started", "phase_started", "revision_ready", "phase_finished")
    parts = fold([ev.Recorded(4, AT + timedelta(seconds=4), SAMPLES[kinds[3]])], folded(*kinds[:3]))
    assert parts == folded(*kinds)


def test_pause_keeps_what_stood_open_and_resume_takes_the_hold_off():
    paused = folded("session_started", "phase_started", "session_paused")
    assert (paused.status, paused.mode, paused.exit_code) == (Status.PAUSED, Mode.OPEN, 75)
    resumed = folded("session_started", "phase_started", "session_paused", "session_resumed")
    assert (resumed.status, resumed.mode, resumed.exit_code) == (Status.RUNNING, Mode.OPEN, None)


def test_variables_given_at_resume_come_on_top_of_those_of_the_start():
    assert folded("session_started", "session_resumed").vars == {"v": "1", "w": "2"}


def test_log_entries_add_up_and_complete_stays_complete():
    state = folded("session_started", "phase_started", "logs_read", "logs_read")
    assert (state.log_entries, state.logs_complete) == (4, False)
    complete = ev.LogsRead(entries=0, cursor="", complete=True)
    state = fold([ev.Recorded(5, AT, complete), ev.Recorded(6, AT, SAMPLES["logs_read"])], state)
    assert (state.log_entries, state.logs_complete) == (6, True)


def test_traffic_that_was_sent_back_names_the_revision_that_serves_again():
    state = folded("session_started", "phase_started", "revision_ready")
    back = ev.TrafficMoved(service="s", revision="s-0", why="restored")
    state = apply(state, ev.Recorded(4, AT, back))
    assert (state.revisions["s"].name, state.revisions["s"].url) == ("s-0", "http://s")


def test_a_tag_is_known_before_it_is_made_and_a_promotion_once_it_is_done():
    state = folded("session_started", "phase_started", "traffic_seen", "phase_finished")
    assert state.tags == {("s", "nl-abcd-1")}
    promoted = apply(state, ev.Recorded(5, AT, SAMPLES["traffic_moved"]))
    assert (promoted.mode, promoted.promoted) == (Mode.READY, {"s"})


def test_what_a_foreign_change_spoilt_is_forgotten_once_the_tests_run_again():
    state = folded("session_started", "phase_started", "foreign_seen", "phase_finished")
    assert state.foreign is not None
    again = ev.PhaseStarted(phase="a", iteration=1, attempt=2, uses="execute")
    assert apply(state, ev.Recorded(5, AT, again)).foreign is None


def test_a_new_iteration_forgets_the_selection_and_logs_of_the_last():
    state = folded("session_started", "phase_started", "tests_selected", "logs_read", "phase_finished")
    again = ev.PhaseStarted(phase="a", iteration=2, attempt=1, uses="run")
    state = apply(state, ev.Recorded(6, AT, again))
    assert (state.selection, state.log_entries, state.logs_complete, state.iteration) == (None, 0, None, 2)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_events_survive_being_written_out_and_read_back(event):
    row = ev.Recorded(1, AT, event).row()
    assert ev.from_row(row) == event


def test_an_event_of_a_newer_version_is_refused_by_name():
    with pytest.raises(ValueError, match="'moon_landed'"):
        ev.from_row({"event": "moon_landed", "detail": {}})


def told(*events: tuple[float, ev.Event]) -> State:
    """The state after a session's start and these events, each at so many seconds by the wall clock."""
    return fold(
        ev.Recorded(seq, AT + timedelta(seconds=second), event)
        for seq, (second, event) in enumerate([(0.0, STARTED), *events], 1)
    )


def test_an_iteration_s_beginning_is_the_earliest_of_it_where_the_clock_was_set_back():
    opened = (10.0, ev.PhaseStarted(phase="a", iteration=1, attempt=1, uses="execute"))
    assert told(opened, (50.0, ev.Noted(text="x"))).iteration_since == AT + timedelta(seconds=10)
    finished = ev.PhaseFinished(phase="a", iteration=1, attempt=1, outcome="ok", target="b", duration_s=20.0)
    assert told(opened, (-3000.0, finished)).iteration_since == AT - timedelta(seconds=3020)
    paused = ev.SessionPaused(why="asked", spent_s=30.0)
    assert told(opened, (-3000.0, paused)).iteration_since == AT - timedelta(seconds=3030)


def test_the_time_before_a_pause_counts_against_the_session_s_limit():
    opened = (10.0, ev.PhaseStarted(phase="a", iteration=1, attempt=1, uses="execute"))
    state = told(opened, (50.0, ev.SessionPaused(why="asked", spent_s=40.0)))
    assert state.spent_s == 40.0


def test_the_events_of_earlier_versions_are_read_as_ever():
    row = {
        "iteration": 1,
        "phase": None,
        "attempt": 0,
        "outcome": None,
        "event": "session_paused",
        "detail": {"why": "x"},
    }
    assert ev.from_row(row) == ev.SessionPaused(why="x", iteration=1)
    row |= {"phase": "a", "attempt": 1, "event": "phase_started", "detail": {"uses": "run"}}
    assert ev.from_row(row) == ev.PhaseStarted(phase="a", iteration=1, attempt=1, uses="run")
