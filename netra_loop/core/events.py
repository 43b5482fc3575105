"""The facts a journal holds: frozen, past tense, and able to write themselves out.

An event is stored as `{seq, at, iteration, phase, attempt, event, outcome, detail}` (contract, "JSON"). `detail` holds
the fields beyond those; reading it back gives an equal event. `EVENTS` is the explicit table of all kinds; one that is
not in it comes from a newer netra-loop and is refused by `from_row`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from datetime import datetime
from typing import Any, ClassVar

from netra_loop.values import dataclass

ASKED = "netra-loop stop"  # why a session pauses that was asked to through its store
_ENVELOPE = {"iteration", "phase", "attempt", "outcome"}


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact about a session. `iteration` 0 and `phase` None: about the session as a whole."""

    kind: ClassVar[str]
    iteration: int = 0
    phase: str | None = None
    attempt: int = 0
    outcome: str | None = None

    def detail(self) -> dict[str, Any]:
        """The fields beyond the envelope, as plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in _ENVELOPE}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, kw_only=True)
class SessionStarted(Event):
    """A session came to be. `loop_text` is the whole loop file, so that a resume goes on with the same one."""

    kind: ClassVar[str] = "session_started"
    loop: str
    loop_file: str
    loop_text: str
    environment: str
    first_phase: str
    vars: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    max_iterations: int | None = None
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class SessionResumed(Event):
    """Somebody went on with it, in process `pid` on `host`. `loop_text` is the loop file where it had changed."""

    kind: ClassVar[str] = "session_resumed"
    pid: int
    host: str
    max_iterations: int | None = None
    vars: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    loop_text: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """The intent: from here on the phase may have touched the world. `results` is how far those of the session had been
    stored (`journal.Mark.results`) where tests of this iteration may have run before; None where none have.
    """

    kind: ClassVar[str] = "phase_started"
    uses: str
    results: int | None = None


@dataclass(frozen=True, kw_only=True)
class PhaseRecovered(Event):
    """An intent without outcome was found after a crash and is being reconciled.

    `progress` counts what the iteration has stored so far: one that follows another with the same number got nowhere.
    """

    kind: ClassVar[str] = "phase_recovered"
    progress: int


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(Event):
    """The outcome, committed together with the `target` that follows from it."""

    kind: ClassVar[str] = "phase_finished"
    target: str
    summary: str = ""
    duration_s: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RevisionReady(Event):
    """A service's revision serves and is the one under test from here on."""

    kind: ClassVar[str] = "revision_ready"
    service: str
    revision: str
    url: str
    ws_url: str
    tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class SourceTaken(Event):
    """What the next revision of `service` is made from: the files at `folder`, which nobody changes from here on; of
    the session's workspace they are those of `commit`. `left_out` are paths that were changed there and are in no
    commit, so that they are not among them. `image`: it is deployed as it is found, whatever it was made from, and the
    files are only where its source is looked up.
    """

    kind: ClassVar[str] = "source_taken"
    service: str
    folder: str
    commit: str | None = None
    left_out: tuple[str, ...] = ()
    image: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrafficSeen(Event):
    """What `service` served before this session changed it for the first time in this iteration: `revision` None means
    nothing. What restores it after a deploy that failed. `created` is the revision made last by then, ready or not.
    `tag` is the one that the new revision is to get, if any: what the session takes off again when it ends.
    """

    kind: ClassVar[str] = "traffic_seen"
    service: str
    revision: str | None
    change: str = ""
    created: str | None = None
    tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class RevisionTagged(Event):
    """`revision` of `service`, an earlier one of this session, is to be reached by `tag`, without traffic. Stored
    before it is done, so that whoever ends the session takes the tag off.
    """

    kind: ClassVar[str] = "revision_tagged"
    service: str
    revision: str
    tag: str


@dataclass(frozen=True, kw_only=True)
class TrafficMoved(Event):
    """All traffic of `service` was sent to `revision` (None: to whatever is ready last), because of `why`: promoted,
    restored, resumed, which takes a restoration back so that the same deploy can go on, or best, which is what an
    unmet session leaves behind.
    """

    kind: ClassVar[str] = "traffic_moved"
    service: str
    revision: str | None
    why: str


@dataclass(frozen=True, kw_only=True)
class ForeignSeen(Event):
    """`service` was seen to serve `found` where `expected` is under test: results since the last look do not count."""

    kind: ClassVar[str] = "foreign_seen"
    service: str
    expected: str
    found: str


@dataclass(frozen=True, kw_only=True)
class ImageBuilt(Event):
    """The build command of `service` succeeded; `image` is what its deploy takes."""

    kind: ClassVar[str] = "image_built"
    service: str
    image: str


@dataclass(frozen=True, kw_only=True)
class Adopted(Event):
    """Something an earlier attempt had made was found and taken over instead of being made again."""

    kind: ClassVar[str] = "adopted"
    what: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Waited(Event):
    """netra-loop waited before going on, because of `why`."""

    kind: ClassVar[str] = "waited"
    why: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AuthTried(Event):
    """One way to a token was tried. `status` is the HTTP status where there was one; never holds the secret."""

    kind: ClassVar[str] = "auth_tried"
    method: str
    ok: bool
    status: int | None = None
    answer: str = ""


@dataclass(frozen=True, kw_only=True)
class TestsSelected(Event):
    """The selection of an iteration was made; its rows are committed with it. The first `failing` of them failed last
    time.
    """

    __test__ = False
    kind: ClassVar[str] = "tests_selected"
    selected: int
    deselected: int = 0
    full: bool = True
    failing: int = 0
    collection_errors: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SourcesSeen(Event):
    """What these files held when the session first collected tests from them; see `records.Sources`."""

    kind: ClassVar[str] = "sources_seen"
    files: Mapping[str, str] = field(default_factory=dict)
    conftests: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LogsRead(Event):
    """A page of log entries was stored, or (`complete`) the marked request's entry was seen. Entries and cursor move
    together: both are committed with this event. `slowest_s` is how long the slowest request took so far.
    """

    kind: ClassVar[str] = "logs_read"
    entries: int
    cursor: str
    complete: bool = False
    slowest_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ErrorsGrouped(Event):
    """What errors the logs of `revisions` (names by service) show. `groups` are rows of ErrorGroup, `others` by service
    the signatures of those that are too many to be told; `complete`: no log entry was missing.
    """

    kind: ClassVar[str] = "errors_grouped"
    groups: tuple[Mapping[str, Any], ...] = ()
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True, kw_only=True)
class ErrorsBefore(Event):
    """Which errors the revision that served before had logged lately, by their signatures."""

    kind: ClassVar[str] = "errors_before"
    service: str
    revision: str
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WorkspaceMade(Event):
    """The session has a place of its own to change source in: `root`, on `branch`, whose first commit is `base`. It
    stands for the checkout at `home`; `left_out` counts what that held beyond it, not committed.
    """

    kind: ClassVar[str] = "workspace_made"
    how: str
    home: str
    root: str
    branch: str
    base: str
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkspaceSaved(Event):
    """What the workspace held before a command that may change it: `tree`, on top of `commit`. A process that finds the
    command cut off goes back to it.
    """

    kind: ClassVar[str] = "workspace_saved"
    commit: str
    tree: str


@dataclass(frozen=True, kw_only=True)
class FixerRan(Event):
    """A command that may change source came to an end. `changed` are the paths it changed, `refused` those of them
    that it may not change: where there are any, all of it was taken back. `note` is what it says it did, `claims` the
    findings that it means to have fixed. `commit` and `tree` are what is there afterwards.
    """

    kind: ClassVar[str] = "fixer_ran"
    exit_code: int | None
    note: str = ""
    claims: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    tree: str | None = None


@dataclass(frozen=True, kw_only=True)
class Committed(Event):
    """The session's branch has a new commit. `findings` are those that it is for."""

    kind: ClassVar[str] = "committed"
    commit: str
    parent: str
    tree: str
    subject: str
    paths: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FixTurnedBack(Event):
    """What was to be committed takes an earlier change of the session back, so it was not: the session is stuck.
    `commit` is what it would have been, kept where nothing leads to it but its id; `takes_back` is the earlier one.
    """

    kind: ClassVar[str] = "fix_turned_back"
    commit: str
    takes_back: str
    why: str


@dataclass(frozen=True, kw_only=True)
class RevisionsCompared(Event):
    """Tests were run once more at the same moment against the revision under test and the one before; `rows` are those
    of `comparing.Compared`, `before` and `now` the names of the revisions.
    """

    kind: ClassVar[str] = "revisions_compared"
    before: str | None
    now: str | None
    rows: tuple[Mapping[str, Any], ...] = ()
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class WaitBegan(Event):
    """The session waits for `what` (commit, revision or resume); `told` says it to a person. `known` is what there was
    by then: the newest commit by its branch's name, or the revision that serves by its service's. Whatever differs from
    that is what was waited for, also where it came while no process looked. `place` is the folder where a person may
    make it, `brief` the file that tells them what there is to mend; "" where there is none.
    """

    kind: ClassVar[str] = "wait_began"
    what: str
    told: str
    known: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    brief: str = ""


@dataclass(frozen=True, kw_only=True)
class GoalJudged(Event):
    """What `record` found. `outcome` is met, unmet, inconclusive or stuck; `tiers` are rows of TierVerdict; `regressed`
    says of tests that passed before and fail now how they stood then, of the first 50 where there are more.
    """

    kind: ClassVar[str] = "goal_judged"
    tiers: tuple[Mapping[str, Any], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)
    signatures: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    regressed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Something a person should know of later: workers are spawned, a loop file changed, a process was ended."""

    kind: ClassVar[str] = "noted"
    text: str


@dataclass(frozen=True, kw_only=True)
class SessionPaused(Event):
    """It was asked to stop and did, at a safe point. `spent_s` is how long this process had been at the open phase."""

    kind: ClassVar[str] = "session_paused"
    why: str
    spent_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SessionFailed(Event):
    """An error ended this process's work on it; resuming tries again. `exit_code` is contract's."""

    kind: ClassVar[str] = "session_failed"
    exit_code: int
    error: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionEnded(Event):
    """It is over. `outcome` is the final state: met, unmet, inconclusive or stuck."""

    kind: ClassVar[str] = "session_ended"
    exit_code: int
    reason: str


EVENTS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        SessionStarted,
        SessionResumed,
        PhaseStarted,
        PhaseRecovered,
        PhaseFinished,
        RevisionReady,
        SourceTaken,
        TrafficSeen,
        RevisionTagged,
        TrafficMoved,
        ForeignSeen,
        ImageBuilt,
        Adopted,
        Waited,
        AuthTried,
        TestsSelected,
        SourcesSeen,
        LogsRead,
        ErrorsGrouped,
        ErrorsBefore,
        WorkspaceMade,
        WorkspaceSaved,
        FixerRan,
        Committed,
        FixTurnedBack,
        RevisionsCompared,
        WaitBegan,
        GoalJudged,
        Noted,
        SessionPaused,
        SessionFailed,
        SessionEnded,
    )
}


@dataclass(frozen=True)
class Recorded:
    """An event in its place: `seq` counts from 1 without gaps within a session; `at` is when it was committed."""

    seq: int
    at: datetime
    event: Event

    def row(self) -> dict[str, Any]:
        """The contract's `journal` row, `at` left as a datetime."""
        event = self.event
        return {
            "seq": self.seq,
            "at": self.at,
            "iteration": event.iteration,
            "phase": event.phase,
            "attempt": event.attempt,
            "event": event.kind,
            "outcome": event.outcome,
            "detail": event.detail(),
        }


def from_row(row: Mapping[str, Any]) -> Event:
    """The event a stored row stands for. Raises ValueError for a kind or a field this version does not know."""
    kind = EVENTS.get(row["event"])
    if kind is None:
        raise ValueError(f"event {row['event']!r} is not known to this version, expected one of {', '.join(EVENTS)}")
    detail = {key: tuple(item) if isinstance(item, list) else item for key, item in row["detail"].items()}
    try:
        return kind(
            iteration=row["iteration"],
            phase=row["phase"],
            attempt=row["attempt"],
            outcome=row["outcome"],
            **detail,
        )
    except TypeError as error:
        raise ValueError(f"event {row['event']!r} holds fields this version does not know: {error}") from error
