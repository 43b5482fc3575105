"""`decide` and its table: what comes next, from every state a session can be in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netra_loop.core import events as ev
from netra_loop.core.machine import End, GiveUp, Pause, Recover, Start, decide, target_of
from netra_loop.core.outcomes import DEFAULTS, OUTCOMES
from netra_loop.core.spec import LimitsSpec, LoopSpec, PhaseSpec
from netra_loop.core.state import Mode, State, Status, fold

AT = datetime(2026, 1, 1, tzinfo=UTC)


def loop(*phases: PhaseSpec, **limits: float) -> LoopSpec:
    return LoopSpec(name="x", path=Path("/x/loops/x.yaml"), phases=phases, limits=LimitsSpec(**limits))


NIGHT = loop(
    PhaseSpec(name="deploy", uses="deploy", next={"failed": "collect"}),
    PhaseSpec(name="execute", uses="execute"),
    PhaseSpec(name="collect", uses="collect-logs"),
    PhaseSpec(name="record", uses="record", next={"unmet": "fix"}),
    PhaseSpec(name="fix", uses="run", next={"ok": "deploy"}),
    iterations=3,
)


def after(*events: ev.Event, spec: LoopSpec = NIGHT) -> State:
    first = ev.SessionStarted(
        loop="x", loop_file="x", loop_text="", environment="local", first_phase=spec.phases[0].name
    )
    return fold(ev.Recorded(seq, AT, event) for seq, event in enumerate((first, *events), 1))


def started(phase: str, iteration: int = 1, attempt: int = 1, spec: LoopSpec = NIGHT) -> ev.PhaseStarted:
    return ev.PhaseStarted(phase=phase, iteration=iteration, attempt=attempt, uses=spec.phase(phase).uses)


def finished(phase: str, outcome: str = "ok", iteration: int = 1, spec: LoopSpec = NIGHT, **more: Any) -> ev.Event:
    target = target_of(spec, spec.phase(phase), outcome)
    return ev.PhaseFinished(phase=phase, iteration=iteration, attempt=1, outcome=outcome, target=target, **more)


def judged(verdict: str, iteration: int = 1, *reasons: str) -> ev.GoalJudged:
    return ev.GoalJudged(phase="record", iteration=iteration, attempt=1, outcome=verdict, reasons=reasons)


def test_a_new_session_starts_its_first_phase():
    assert decide(NIGHT, after()) == Start("deploy", 1, 1)


def test_phases_follow_each_other_in_the_file_s_order():
    assert decide(NIGHT, after(started("deploy"), finished("deploy"))) == Start("execute", 1, 1)


def test_next_overrules_the_order():
    assert decide(NIGHT, after(started("deploy"), finished("deploy", "failed"))) == Start("collect", 1, 1)


def test_an_intent_without_outcome_is_recovered():
    assert decide(NIGHT, after(started("deploy"))) == Recover("deploy", 1, 1)


def test_coming_back_to_the_first_phase_starts_the_next_iteration():
    state = after(started("record"), judged("unmet"), finished("record", "unmet"), started("fix"), finished("fix"))
    assert decide(NIGHT, state) == Start("deploy", 2, 1)


def test_a_phase_visited_again_in_an_iteration_counts_its_attempts():
    spec = loop(
        PhaseSpec(name="fix", uses="run"),
        PhaseSpec(name="audit", uses="run", next={"failed": "again", "ok": "done"}, attempts=2),
        PhaseSpec(name="again", uses="run", next={"ok": "audit"}),
    )
    once = (started("audit", spec=spec), finished("audit", "failed", spec=spec))
    again = (started("again", spec=spec), finished("again", spec=spec))
    assert decide(spec, after(*once, *again, spec=spec)) == Start("audit", 1, 2)
    twice = (started("audit", attempt=2, spec=spec), finished("audit", "failed", spec=spec))
    over = (started("again", attempt=2, spec=spec), finished("again", spec=spec))
    end = decide(spec, after(*once, *again, *twice, *over, spec=spec))
    assert isinstance(end, End)
    assert "'audit' was tried 2 times" in end.reason


def test_the_goal_met_ends_with_zero():
    state = after(started("record"), judged("met"), finished("record", "met"))
    assert decide(NIGHT, state) == End(Status.MET, 0, "the loop came to its end")


def test_a_gate_that_fails_after_the_goal_was_met_is_no_success():
    spec = loop(
        PhaseSpec(name="record", uses="record", next={"met": "gate"}),
        PhaseSpec(name="gate", uses="run", next={"ok": "done"}),
    )
    met = (started("record", spec=spec), judged("met"), finished("record", "met", spec=spec))
    gate = started("gate", spec=spec)
    passed = decide(spec, after(*met, gate, finished("gate", spec=spec), spec=spec))
    no = finished("gate", "failed", spec=spec, summary="exit code 1")
    failed = decide(spec, after(*met, gate, no, spec=spec))
    assert isinstance(passed, End)
    assert isinstance(failed, End)
    assert (passed.status, passed.exit_code) == (Status.MET, 0)
    assert (failed.status, failed.exit_code) == (Status.UNMET, 1)
    assert "'gate' ended 'failed' (exit code 1)" in failed.reason


def test_a_verdict_does_not_outlive_what_it_was_about():
    """Executing again in the same iteration leaves nothing judged."""
    spec = loop(
        PhaseSpec(name="execute", uses="execute"),
        PhaseSpec(name="record", uses="record", next={"met": "again"}),
        PhaseSpec(name="again", uses="execute", next={"ok": "done"}),
    )
    met = (started("record", spec=spec), judged("met"), finished("record", "met", spec=spec))
    state = after(*met, started("again", spec=spec), finished("again", spec=spec), spec=spec)
    end = decide(spec, state)
    assert isinstance(end, End)
    assert (end.status, end.exit_code) == (Status.INCONCLUSIVE, 1)


def test_the_command_line_s_limit_of_iterations_wins_over_the_file_s():
    more = ev.SessionStarted(
        loop="x", loop_file="x", loop_text="", environment="local", first_phase="deploy", max_iterations=9
    )
    round_3 = (started("fix", 3), finished("fix", iteration=3))
    state = fold(ev.Recorded(seq, AT, event) for seq, event in enumerate((more, *round_3), 1))
    assert decide(NIGHT, state) == Start("deploy", 4, 1)


@pytest.mark.parametrize("verdict", ["unmet", "inconclusive", "stuck"])
def test_stopping_at_any_other_verdict_ends_with_one(verdict):
    spec = loop(PhaseSpec(name="record", uses="record", next={"unmet": "stop"}))
    state = after(started("record", spec=spec), judged(verdict), finished("record", verdict, spec=spec), spec=spec)
    end = decide(spec, state)
    assert isinstance(end, End)
    assert (end.status, end.exit_code) == (Status(verdict), 1)


def test_that_it_is_stuck_is_left_to_the_state_s_own_word():
    spec = loop(PhaseSpec(name="record", uses="record"))
    said = judged("stuck", 1, "the same findings in 5 iterations")
    state = after(started("record", spec=spec), said, finished("record", "stuck", spec=spec), spec=spec)
    assert decide(spec, state) == End(Status.STUCK, 1, "the same findings in 5 iterations")


def test_a_loop_that_judged_nothing_is_inconclusive_and_never_a_pass():
    spec = loop(PhaseSpec(name="execute", uses="execute"))
    end = decide(spec, after(started("execute", spec=spec), finished("execute", spec=spec), spec=spec))
    assert isinstance(end, End)
    assert (end.status, end.exit_code) == (Status.INCONCLUSIVE, 1)


def test_a_deploy_that_failed_unhandled_ends_unmet():
    spec = loop(PhaseSpec(name="deploy", uses="deploy"), PhaseSpec(name="record", uses="record"))
    end = decide(spec, after(started("deploy", spec=spec), finished("deploy", "failed", spec=spec), spec=spec))
    assert isinstance(end, End)
    assert (end.status, end.exit_code) == (Status.UNMET, 1)


def test_the_limit_of_iterations_ends_with_the_last_verdict():
    again = (
        started("record", 3),
        judged("unmet", 3),
        finished("record", "unmet", 3),
        started("fix", 3),
        finished("fix", iteration=3),
    )
    end = decide(NIGHT, after(*again))
    assert isinstance(end, End)
    assert (end.status, end.exit_code) == (Status.UNMET, 1)
    assert "limit of 3 iterations" in end.reason


def test_time_spent_in_phases_counts_against_the_limit():
    spec = loop(*NIGHT.phases, duration_s=10.0)
    end = decide(spec, after(started("deploy"), finished("deploy", duration_s=10.5)))
    assert isinstance(end, End)
    assert "limit of 10 s" in end.reason


def test_pause_pauses_once_and_goes_on_with_the_phase_that_follows():
    spec = loop(PhaseSpec(name="record", uses="record", next={"unmet": "pause"}), PhaseSpec(name="fix", uses="run"))
    facts = (started("record", spec=spec), judged("unmet"), finished("record", "unmet", spec=spec))
    assert isinstance(decide(spec, after(*facts, spec=spec)), Pause)
    resumed = (ev.SessionPaused(why="asked"), ev.SessionResumed(pid=1, host="h"))
    assert decide(spec, after(*facts, *resumed, spec=spec)) == Start("fix", 1, 1)


def crash(progress: int) -> tuple[ev.Event, ...]:
    return (
        ev.SessionResumed(pid=1, host="h"),
        ev.PhaseRecovered(phase="execute", iteration=1, attempt=1, progress=progress),
    )


def test_the_third_recovery_that_got_nowhere_gives_up():
    state = after(started("execute"), *crash(5), *crash(5))
    assert decide(NIGHT, state) == Recover("execute", 1, 1)
    assert decide(NIGHT, after(started("execute"), *crash(5), *crash(5), *crash(5))) == GiveUp("execute", 3)


def test_recoveries_that_get_somewhere_never_give_up():
    state = after(started("execute"), *(event for progress in range(20) for event in crash(progress)))
    assert decide(NIGHT, state) == Recover("execute", 1, 1)


def test_a_person_who_resumes_after_giving_up_is_given_another_try():
    failed = ev.SessionFailed(exit_code=3, error="gave up")
    state = after(started("execute"), *crash(5), *crash(5), *crash(5), failed, ev.SessionResumed(pid=2, host="h"))
    assert decide(NIGHT, state) == Recover("execute", 1, 1)


def test_every_outcome_of_every_kind_of_phase_leads_somewhere():
    for uses, outcomes in OUTCOMES.items():
        for outcome in outcomes:
            spec = loop(PhaseSpec(name="only", uses=uses))
            assert target_of(spec, spec.phases[0], outcome) in {"done", "stop"}
            assert outcome in DEFAULTS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ok", "bad", "crash", "pause"]), max_size=30))
def test_any_night_ends_within_its_limits_and_only_a_met_verdict_ends_with_zero(happenings):
    """Whatever phases answer and however often the process dies, `decide` never sticks and never lies."""
    spec = loop(*NIGHT.phases, iterations=2)
    events: list[ev.Event] = []
    fates = iter(happenings)
    for _ in range(200):
        command = decide(spec, after(*events, spec=spec))
        assert command == decide(spec, after(*events, spec=spec))
        if isinstance(command, End | GiveUp):
            break
        assert isinstance(command, Start | Recover)
        fate = next(fates, "ok")
        where = {"phase": command.phase, "iteration": command.iteration, "attempt": command.attempt}
        if isinstance(command, Start):
            events.append(ev.PhaseStarted(uses=spec.phase(command.phase).uses, **where))
        else:
            events.append(ev.PhaseRecovered(progress=0, **where))
            if isinstance(decide(spec, after(*events, spec=spec)), GiveUp):
                break
        if fate == "pause":
            events += [ev.SessionPaused(why="asked"), ev.SessionResumed(pid=1, host="h")]
        elif fate == "crash":
            events.append(ev.SessionResumed(pid=1, host="h"))
        else:
            record = command.phase == "record"
            good, bad = ("met", "unmet") if record else ("ok", "failed")
            outcome = good if fate == "ok" else bad
            if record:
                events.append(ev.GoalJudged(outcome=outcome, **where))
            target = target_of(spec, spec.phase(command.phase), outcome)
            events.append(ev.PhaseFinished(outcome=outcome, target=target, **where))
    else:
        pytest.fail("the night never ended")
    state = after(*events, spec=spec)
    if isinstance(command, End):
        assert (command.exit_code == 0) == (command.status is Status.MET)
        assert command.exit_code != 0 or state.judged[-1].verdict == "met"
    assert state.iteration <= 2
    assert state.mode in {Mode.READY, Mode.OPEN}
