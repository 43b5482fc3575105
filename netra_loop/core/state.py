"""A session's state, as a fold over its events: `apply(state, recorded)` and nothing else makes one.

    NEW ──session_started──▶ READY ──phase_started──▶ OPEN ──phase_finished──▶ READY ──session_ended──▶ ENDED
                                                       │ ▲
                                                       └─┘ phase_recovered, and every fact a phase records

READY knows where to go next (`target`); OPEN is an intent without an outcome, which is what a crash leaves behind.
`session_paused` and `session_failed` put a hold on READY or OPEN; only `session_resumed` takes it off again. The table
`TRANSITIONS` is the whole truth about what may follow what: an event that is not in it raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from netra_loop.core import events as ev
from netra_loop.core.records import Revision, Sources, TierVerdict, Verdict
from netra_loop.errors import Defect
from netra_loop.values import dataclass


class Mode(StrEnum):
    """Where the machine stands."""

    NEW = "new"
    READY = "ready"
    OPEN = "open"
    ENDED = "ended"


class Status(StrEnum):
    """The contract's `state` of a session."""

    RUNNING = "running"
    MET = "met"
    UNMET = "unmet"
    INCONCLUSIVE = "inconclusive"
    STUCK = "stuck"
    PAUSED = "paused"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether resuming can do nothing more."""
        return self in {Status.MET, Status.UNMET, Status.INCONCLUSIVE, Status.STUCK}


_CHANGES_WHAT_WAS_JUDGED = frozenset({"deploy", "attach", "select", "execute"})
_PHASE_FACTS = (
    *("image_built", "traffic_seen", "traffic_moved", "foreign_seen", "revision_ready", "adopted", "auth_tried"),
    *("tests_selected", "sources_seen", "logs_read", "errors_grouped", "errors_before", "goal_judged"),
    *("source_taken", "workspace_made", "workspace_saved", "fixer_ran", "committed", "fix_turned_back"),
    *("revision_tagged", "revisions_compared", "wait_began"),
)

TRANSITIONS: Mapping[tuple[Mode, str], Mode] = {
    (Mode.NEW, "session_started"): Mode.READY,
    (Mode.READY, "phase_started"): Mode.OPEN,
    (Mode.OPEN, "phase_recovered"): Mode.OPEN,
    (Mode.OPEN, "phase_finished"): Mode.READY,
    (Mode.READY, "workspace_made"): Mode.READY,  # the session is about to begin, or goes on elsewhere
    (Mode.READY, "traffic_moved"): Mode.READY,  # the session is about to end
    (Mode.READY, "session_ended"): Mode.ENDED,
    **{(Mode.OPEN, kind): Mode.OPEN for kind in _PHASE_FACTS},
    **{
        (mode, kind): mode
        for mode in (Mode.READY, Mode.OPEN)
        for kind in ("session_resumed", "session_paused", "session_failed", "noted", "waited")
    },
}


@dataclass(frozen=True)
class Judged:
    """What `record` said of one iteration. `signatures` are those of the findings that were open then; `counts` is
    contract's `tests` of `status`, empty where an early version judged. `full`: every test that there is was selected.
    `regressed` says of tests that passed before and fail now how they stood then.
    """

    iteration: int
    verdict: Verdict
    signatures: frozenset[str]
    tiers: tuple[TierVerdict, ...]
    findings: Mapping[str, int]
    reasons: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    full: bool = True
    regressed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployed:
    """A revision that was under test: in which iteration, and of which commit of the session's workspace, where it has
    one. `made`: by a deploy of that iteration; not one that was only attached to.
    """

    iteration: int
    revision: Revision
    commit: str | None = None
    made: bool = False


@dataclass(frozen=True)
class Waiting:
    """What the open phase waits for, since when; `paused`: the session was paused meanwhile."""

    began: ev.WaitBegan
    since: datetime
    paused: bool = False


@dataclass(frozen=True)
class State:
    """Everything `decide` and `status` need to know. `target` is a phase, done, stop or pause; None while OPEN.
    `iteration_since` is the earliest that anything of the iteration may have happened by the wall clock: before
    `iteration_started_at` where that was set back since. `results_before` are those stored when the phase began.

    `visits` counts the starts of each phase within the iteration; `spent_s` is the time phases took, from monotonic
    clocks; `recoveries` counts the crashes in the open phase since it last got anywhere. `sources` is what each test
    came from when the session first saw it. `traffic` is what each service served before the session changed it last;
    `tags` are those the session may have made, by service; `promoted` are the services whose new revision got all
    traffic at the end; `built` are this iteration's images. `foreign` is set where results of this iteration do not
    count because another revision served.

    `workspace` is where source is changed, None where in place; `saved` what it held before the open phase's command;
    `fixers` and `commits` are all of the session's, in order; `deployed` every revision that was under test;
    `compared` is this iteration's comparison. `taken` is what each service's newest revision was made from,
    `turned_back` the fix that ended the session by undoing another, `left_at` the revisions that services were left at
    by an unmet session. `loop_since` is the first iteration that was selected by the loop file as
    it is now.
    """

    mode: Mode = Mode.NEW
    status: Status = Status.RUNNING
    seq: int = 0
    loop: str = ""
    environment: str = ""
    started_at: datetime | None = None
    updated_at: datetime | None = None
    iteration: int = 1
    phase: str | None = None
    attempt: int = 0
    opened_at: datetime | None = None
    target: str | None = None
    pause_taken: bool = False
    last_outcome: str | None = None
    last_summary: str = ""
    last_uses: str | None = None
    visits: Mapping[str, int] = field(default_factory=dict)
    recoveries: int = 0
    progress: int | None = None
    spent_s: float = 0.0
    max_iterations: int | None = None
    vars: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    loop_text: str = ""
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    selection: ev.TestsSelected | None = None
    sources: Sources = field(default_factory=Sources)
    log_entries: int = 0
    logs_complete: bool | None = None
    logs_cursor: str = ""  # the time up to which the iteration's logs were read, in RFC 3339
    slowest_request_s: float = 0.0
    errors: ev.ErrorsGrouped | None = None
    judged: tuple[Judged, ...] = ()
    failed_deploy: Mapping[str, object] | None = None
    traffic: Mapping[str, ev.TrafficSeen] = field(default_factory=dict)
    tags: frozenset[tuple[str, str]] = frozenset()
    promoted: frozenset[str] = frozenset()
    built: Mapping[str, str] = field(default_factory=dict)
    foreign: ev.ForeignSeen | None = None
    iteration_started_at: datetime | None = None
    iteration_since: datetime | None = None
    results_before: int | None = None
    workspace: ev.WorkspaceMade | None = None
    saved: ev.WorkspaceSaved | None = None
    loop_since: int = 1
    fixers: tuple[ev.FixerRan, ...] = ()
    commits: tuple[ev.Committed, ...] = ()
    deployed: tuple[Deployed, ...] = ()
    compared: ev.RevisionsCompared | None = None
    taken: Mapping[str, ev.SourceTaken] = field(default_factory=dict)
    turned_back: ev.FixTurnedBack | None = None
    left_at: Mapping[str, str] = field(default_factory=dict)
    waiting: Waiting | None = None  # of the open phase
    exit_code: int | None = None
    reason: str | None = None

    def judged_now(self) -> Judged | None:
        """The verdict of the current iteration; None where `record` has not spoken yet."""
        return self.judged[-1] if self.judged and self.judged[-1].iteration == self.iteration else None

    @property
    def head(self) -> str | None:
        """The commit that the workspace stands on: the session's last one, or what it began with; None without one."""
        if self.commits:
            return self.commits[-1].commit
        return None if self.workspace is None else self.workspace.base


def fold(recorded: Iterable[ev.Recorded], state: State | None = None) -> State:
    """The state after all of `recorded`, in order. Raises Defect on an event that cannot follow."""
    state = state or State()
    for item in recorded:
        state = apply(state, item)
    return state


def apply(state: State, recorded: ev.Recorded) -> State:
    """The state after one more event. Raises Defect, and changes nothing, where the table does not allow it."""
    event = recorded.event
    following = TRANSITIONS.get((state.mode, event.kind))
    held = state.status in {Status.PAUSED, Status.FAILED}
    if following is None or recorded.seq != state.seq + 1 or (held and event.kind not in {"session_resumed", "noted"}):
        raise Defect(
            f"event {recorded.seq} {event.kind!r} cannot follow event {state.seq} in mode {state.mode.value!r}"
            f"{' while ' + state.status.value if held else ''}",
            hint="keep the store and report it",
        )
    state = replace(state, mode=following, seq=recorded.seq, updated_at=recorded.at)
    handler = _HANDLERS.get(type(event))
    state = handler(state, recorded) if handler else state
    since = recorded.at - timedelta(seconds=_took_s(event))
    return state if since >= (state.iteration_since or since) else replace(state, iteration_since=since)


def _took_s(event: ev.Event) -> float:
    """For how long, by the monotonic clock, what ends with `event` had gone on."""
    match event:
        case ev.PhaseFinished():
            return max(0.0, event.duration_s)
        case ev.SessionPaused():
            return max(0.0, event.spent_s)
        case _:
            return 0.0


def _session_started(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SessionStarted)
    return replace(
        state,
        loop=event.loop,
        environment=event.environment,
        started_at=recorded.at,
        target=event.first_phase,
        vars=event.vars,
        only=event.only,
        loop_text=event.loop_text,
        max_iterations=event.max_iterations,
    )


def _session_resumed(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SessionResumed)
    limit = event.max_iterations if event.max_iterations is not None else state.max_iterations
    # A person who resumes after the session gave up asks for another try, so old crashes no longer count.
    recoveries = 0 if state.status is not Status.RUNNING else state.recoveries
    selected = state.iteration + (state.selection is not None)
    return replace(
        state,
        status=Status.RUNNING,
        max_iterations=limit,
        vars={**state.vars, **event.vars},
        only=event.only or state.only,
        loop_text=state.loop_text if event.loop_text is None else event.loop_text,
        loop_since=state.loop_since if event.loop_text is None else selected,
        exit_code=None,
        reason=None,
        recoveries=recoveries,
    )


def _phase_started(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.PhaseStarted)
    anew = event.iteration != state.iteration or not state.visits
    if event.uses in _CHANGES_WHAT_WAS_JUDGED:
        # Whatever was said of this iteration was said of other revisions or results than those that come now.
        kept = tuple(item for item in state.judged if item.iteration != event.iteration)
        state = replace(state, judged=kept, foreign=None, compared=None)
    state = replace(
        state,
        iteration=event.iteration,
        phase=event.phase,
        attempt=event.attempt,
        opened_at=recorded.at,
        target=None,
        pause_taken=False,
        recoveries=0,
        progress=None,
        last_uses=event.uses,
        saved=None,
        waiting=None,
        results_before=event.results,
        visits={**({} if anew else state.visits), str(event.phase): event.attempt},
    )
    if anew:
        return replace(
            state,
            iteration_started_at=recorded.at,
            iteration_since=recorded.at,
            selection=None,
            log_entries=0,
            logs_complete=None,
            logs_cursor="",
            errors=None,
            failed_deploy=None,
            built={},
            foreign=None,
            compared=None,
        )
    return state


def _phase_recovered(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.PhaseRecovered)
    moved = state.progress is None or event.progress != state.progress
    first = state.progress is None
    return replace(state, progress=event.progress, recoveries=state.recoveries + 1 if first or not moved else 1)


def _phase_finished(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.PhaseFinished)
    failed = event.facts if state.last_uses == "deploy" and event.outcome == "failed" else state.failed_deploy
    return replace(
        state,
        target=event.target,
        last_outcome=event.outcome,
        last_summary=event.summary,
        spent_s=state.spent_s + max(0.0, event.duration_s),
        failed_deploy=failed,
        waiting=None,
    )


def _revision_ready(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.RevisionReady)
    revision = Revision(event.service, event.revision, event.url, event.ws_url, recorded.at, event.tag)
    taken = state.taken.get(event.service)
    made = taken is not None and taken.iteration == event.iteration
    commit = taken.commit if taken is not None and made else None
    deployed = Deployed(event.iteration, revision, commit, made)
    others = [
        one for one in state.deployed if (one.iteration, one.revision.service) != (event.iteration, event.service)
    ]
    return replace(state, revisions={**state.revisions, event.service: revision}, deployed=(*others, deployed))


def _source_taken(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SourceTaken)
    return replace(state, taken={**state.taken, event.service: event})


def _fix_turned_back(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.FixTurnedBack)
    return replace(state, turned_back=recorded.event)


def _traffic_seen(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.TrafficSeen)
    tags = state.tags if event.tag is None else state.tags | {(event.service, event.tag)}
    return replace(state, traffic={**state.traffic, event.service: event}, tags=tags)


def _revision_tagged(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.RevisionTagged)
    return replace(state, tags=state.tags | {(event.service, event.tag)})


def _traffic_moved(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.TrafficMoved)
    if event.why == "promoted":
        return replace(state, promoted=state.promoted | {event.service})
    if event.why == "best" and event.revision is not None:
        return replace(state, left_at={**state.left_at, event.service: event.revision})
    under_test = state.revisions.get(event.service)
    if event.why == "restored" and event.revision is not None and under_test is not None and under_test.tag is None:
        # The service's own URL is the revision's that serves, whichever was meant to be tested there.
        back = replace(under_test, name=event.revision, ready_at=None)
        return replace(state, revisions={**state.revisions, event.service: back})
    return state


def _foreign_seen(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.ForeignSeen)
    return replace(state, foreign=recorded.event)


def _image_built(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.ImageBuilt)
    return replace(state, built={**state.built, event.service: event.image})


def _tests_selected(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.TestsSelected)
    return replace(state, selection=recorded.event)


def _sources_seen(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SourcesSeen)
    first = state.sources
    return replace(
        state,
        sources=Sources({**event.files, **first.files}, {**event.conftests, **first.conftests}),
    )


def _logs_read(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.LogsRead)
    return replace(
        state,
        log_entries=state.log_entries + event.entries,
        # a page says nothing of the end; what is said after the pages is the last word, also for a second collection
        logs_complete=bool(state.logs_complete) or event.complete if event.entries else event.complete,
        logs_cursor=event.cursor or state.logs_cursor,
        slowest_request_s=max(state.slowest_request_s, event.slowest_s),
    )


def _errors_grouped(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.ErrorsGrouped)
    return replace(state, errors=recorded.event)


def _goal_judged(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.GoalJudged)
    judged = Judged(
        iteration=event.iteration,
        verdict=Verdict(str(event.outcome)),
        signatures=frozenset(event.signatures),
        tiers=tuple(TierVerdict(**row) for row in event.tiers),
        findings=dict(event.findings),
        reasons=event.reasons,
        counts=dict(event.counts),
        full=state.selection is not None and state.selection.full and not state.selection.collection_errors,
        regressed=dict(event.regressed),
    )
    earlier = tuple(item for item in state.judged if item.iteration != event.iteration)
    return replace(state, judged=(*earlier, judged))


def _workspace_made(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.WorkspaceMade)
    return replace(state, workspace=recorded.event)


def _workspace_saved(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.WorkspaceSaved)
    return replace(state, saved=recorded.event)


def _fixer_ran(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.FixerRan)
    return replace(state, fixers=(*state.fixers, recorded.event))


def _committed(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.Committed)
    return replace(state, commits=(*state.commits, recorded.event))


def _revisions_compared(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.RevisionsCompared)
    return replace(state, compared=recorded.event)


def _wait_began(state: State, recorded: ev.Recorded) -> State:
    assert isinstance(recorded.event, ev.WaitBegan)
    return replace(state, waiting=Waiting(recorded.event, recorded.at))


def _session_paused(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SessionPaused)
    taken = state.mode is Mode.READY and state.target == "pause"
    spent_s = state.spent_s + max(0.0, event.spent_s)
    waiting = None if state.waiting is None else replace(state.waiting, paused=True)
    return replace(
        state,
        status=Status.PAUSED,
        exit_code=75,
        reason=event.why,
        pause_taken=taken,
        spent_s=spent_s,
        waiting=waiting,
    )


def _session_failed(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SessionFailed)
    return replace(state, status=Status.FAILED, exit_code=event.exit_code, reason=event.error)


def _session_ended(state: State, recorded: ev.Recorded) -> State:
    event = recorded.event
    assert isinstance(event, ev.SessionEnded)
    return replace(state, status=Status(str(event.outcome)), exit_code=event.exit_code, reason=event.reason)


_HANDLERS: Mapping[type[ev.Event], Callable[[State, ev.Recorded], State]] = {
    ev.SessionStarted: _session_started,
    ev.SessionResumed: _session_resumed,
    ev.PhaseStarted: _phase_started,
    ev.PhaseRecovered: _phase_recovered,
    ev.PhaseFinished: _phase_finished,
    ev.RevisionReady: _revision_ready,
    ev.SourceTaken: _source_taken,
    ev.FixTurnedBack: _fix_turned_back,
    ev.TrafficSeen: _traffic_seen,
    ev.RevisionTagged: _revision_tagged,
    ev.TrafficMoved: _traffic_moved,
    ev.ForeignSeen: _foreign_seen,
    ev.ImageBuilt: _image_built,
    ev.TestsSelected: _tests_selected,
    ev.SourcesSeen: _sources_seen,
    ev.LogsRead: _logs_read,
    ev.ErrorsGrouped: _errors_grouped,
    ev.WaitBegan: _wait_began,
    ev.GoalJudged: _goal_judged,
    ev.WorkspaceMade: _workspace_made,
    ev.WorkspaceSaved: _workspace_saved,
    ev.FixerRan: _fixer_ran,
    ev.Committed: _committed,
    ev.RevisionsCompared: _revisions_compared,
    ev.SessionPaused: _session_paused,
    ev.SessionFailed: _session_failed,
    ev.SessionEnded: _session_ended,
}
