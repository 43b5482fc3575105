"""What a session leaves behind, row by row: selections, attempts, results, log entries, findings.

Frozen values that every layer speaks. Field names are the contract's (JSON names are the same); instants are aware UTC
datetimes named `*_at`, durations float seconds named `*_s`; `None` means not known or not applicable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from netra_loop.values import dataclass, drafted

BETWEEN_S = 0.005  # as much may pass between the phases of an attempt without being counted in its `duration_s`
JOURNEY_PREFIX = "journey::"
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")  # ascending


class Word(StrEnum):
    """A word of a fixed set. Its hash is its text's own: an `Enum`'s is computed in Python, a microsecond each time."""

    __hash__ = str.__hash__


class Outcome(Word):
    """How one attempt at a test ended. The first six are pytest's own meanings."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    TIMEOUT = "timeout"
    CRASHED = "crashed"

    @property
    def is_failure(self) -> bool:
        """Whether it counts against its tier. A strict xpass arrives from pytest as `failed`."""
        return self in _FAILURES


_FAILURES = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.TIMEOUT, Outcome.CRASHED})


class Authenticity(Word):
    """Whether a pass was seen to happen against the environment (contract, "Outcome of a test")."""

    REAL = "real"
    SUSPECT = "suspect"
    FAKE = "fake"
    NOT_APPLICABLE = "n/a"


class Symptom(Word):
    """What a failure looks like."""

    TIMEOUT = "timeout"
    WEBSOCKET_CLOSE = "websocket-close"
    HTTP_STATUS = "http-status"
    AUTH = "auth"
    CONNECTION = "connection"
    ERROR_EVENT = "error-event"
    MISSING_EVENT = "missing-event"
    ASSERTION = "assertion"
    EXCEPTION = "exception"
    CRASH = "crash"
    FAKE_PASS = "fake-pass"
    DEPLOY = "deploy"
    SERVER_ERROR = "server-error"


class Cause(Word):
    """Who has to act on a finding."""

    PRODUCT = "product"
    TEST = "test"
    ENVIRONMENT = "environment"
    DEPLOY = "deploy"
    UNKNOWN = "unknown"


class FindingState(StrEnum):
    """How a finding stands against the iterations before."""

    NEW = "new"
    PERSISTING = "persisting"
    MOVED = "moved"
    FIXED = "fixed"
    REGRESSED = "regressed"
    FLAKY = "flaky"


class Verdict(StrEnum):
    """What `record` says of an iteration."""

    MET = "met"
    UNMET = "unmet"
    INCONCLUSIVE = "inconclusive"
    STUCK = "stuck"


# ---------------------------------------------------------------------------------------------------- evidence


@dataclass(frozen=True, slots=True)
class Contact:
    """Bytes exchanged with one peer while a test ran. `host` is as the test named it, else the address.

    `thread` is the name of the thread that did it, where that ran since before the test, and the test was not seen to
    hand it anything; None: the test's own doing.
    """

    host: str
    port: int
    sent: int
    received: int
    first_at: datetime
    last_at: datetime
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request seen from the client. `status` None: no answer came. `body` only of a short error answer.

    `apart`: it is of a fixture that tests share, at its end, and went out without the test's trace.
    """

    method: str
    url: str
    status: int | None
    started_at: datetime
    duration_s: float
    error: str | None = None
    body: str | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One event in the life of a WebSocket: `kind` open, text, binary, close. `direction` sent or received.

    `event` is the `type` named in a JSON text frame, None where there is none; `code` and `reason` belong to a close.
    """

    url: str
    kind: str
    direction: str
    at: datetime
    size: int = 0
    event: str | None = None
    code: int | None = None
    reason: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A program that a test started, by its name without folders. What it did is not known; forks are no programs.

    `shared`: it was started before the test, by a fixture that tests share, and still ran. `apart`: such a fixture
    started it at its end, so that nothing it did is the test's.
    """

    program: str
    at: datetime
    shared: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a test left behind beside its outcome. Empty where nothing was seen."""

    contacts: tuple[Contact, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    frames: tuple[Frame, ...] = ()
    mocked: tuple[str, ...] = ()
    children: tuple[Child, ...] = ()


# ---------------------------------------------------------------------------------------------------- tests


@dataclass(frozen=True, slots=True)
class CollectedTest:
    """One test as pytest collected it. `keywords` are the names `-k` matches, `markers` those of `-m`.

    `source` is the file its function is written in, where that is not `path`; `shares` names the fixtures wider than a
    test that it uses (see `affinity`).
    """

    id: str
    path: str
    line: int | None
    markers: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    source: str | None = None
    shares: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What tests come from. `files`: the SHA-256 (hex) of each file, and of each journey's text under its test id;
    `conftests`: for each test's file the conftest.py files above it; under "" what all tests come from, the project's
    plugins and the file of pytest's settings; under "*" the installed plugins' names, which are among `files`.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    conftests: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CollectionError:
    """A file (or node) that could not be collected; `text` is pytest's own report."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Selected:
    """One selected test, its place in the order (from 0) and why it is in and where."""

    id: str
    tier: str | None
    position: int
    reason: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A test was handed to a worker. Stored before its result is known, so that a kill leaves a trace of it."""

    id: str
    iteration: int
    attempt: int
    worker: str
    started_at: datetime
    trace_id: str


@drafted
@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt at one test did. `output` is what it printed, `traceback` pytest's long report.

    `wider_s` of `duration_s` went to fixtures that other tests share; `placed` is why it ran elsewhere than its place
    in the selection says, "" where it did not.
    """

    id: str
    tier: str | None
    iteration: int
    attempt: int
    outcome: Outcome
    duration_s: float
    started_at: datetime
    worker: str
    revision: str | None
    trace_id: str
    flaky: bool = False
    authenticity: Authenticity = Authenticity.NOT_APPLICABLE
    reasons: tuple[str, ...] = ()
    stage: str | None = None
    symptom: Symptom | None = None
    message: str | None = None
    output: str = ""
    traceback: str = ""
    evidence: Evidence = Evidence()
    wider_s: float = 0.0
    placed: str = ""


# ---------------------------------------------------------------------------------------------------- logs


@drafted
@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of Cloud Logging, as the contract's `logs` shows it. `log`: stdout, stderr, requests or system.

    `payload` is the JSON payload where there was one; `request` the httpRequest of a request-log entry (`method`,
    `url`, `status`, `latency_s`). `tests` are the ids this entry was joined to; `joined` is `path` or `user` where no
    trace, but more than the time says so. `instance` names the container that wrote it, None where the cloud does not
    say.
    """

    timestamp: datetime
    severity: str
    log: str
    service: str
    revision: str
    message: str
    insert_id: str
    trace_id: str | None = None
    payload: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    tests: tuple[str, ...] = ()
    iteration: int = 0
    instance: str | None = None
    joined: str | None = None


LogEntryDraft: Any = LogEntry.Draft  # type: ignore[attr-defined]  # what it is until its fields are set


# ---------------------------------------------------------------------------------------------------- findings


@dataclass(frozen=True, slots=True)
class RootCause:
    """A place read out of the revision's logs. `file` is relative to the service's source where it lies there.

    `entries` counts how often it was logged; a stack trace that came as an entry for each line counts once.
    """

    file: str
    line: int
    function: str
    exception: str
    message: str
    entries: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A fixer's claim to have mended a finding; `verdict` is claimed, verified or refuted."""

    iteration: int
    verdict: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, followed across iterations. `id` is short and derived from the signature."""

    id: str
    state: FindingState
    cause: Cause
    symptom: Symptom
    signature: str
    title: str
    impact: str | None
    tests: tuple[str, ...]
    first_iteration: int
    last_iteration: int
    root_cause: RootCause | None = None
    stage: str | None = None
    whys: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """A finding in one session of a loop, which began at `at`: the iterations in which it was open first and last, and
    the last one that saw it fixed; None where there is none of the kind.
    """

    signature: str
    session: str
    at: datetime
    first: int | None
    last: int | None
    fixed: int | None


@dataclass(frozen=True, slots=True)
class TierVerdict:
    """A tier held against its thresholds. Rates are fractions of `selected`; a tier of nothing has rate 0, unmet.

    `flaky` counts the tests that passed only on retry; `max_flaky` is the share of them allowed, None: any number.
    """

    name: str
    selected: int
    failures: int
    failure_rate: float
    max_failures: float
    met: bool
    flaky: int = 0
    max_flaky: float | None = None

    @property
    def flaky_rate(self) -> float:
        """The share of its tests that passed only on retry."""
        return self.flaky / self.selected if self.selected else 0.0


@dataclass(frozen=True, slots=True)
class Revision:
    """What a deploy made and where it is reached. `name` is the short name; URLs carry no trailing slash. `tag`: it is
    reached by this tag's URL; None: by the service's own.
    """

    service: str
    name: str
    url: str
    ws_url: str
    ready_at: datetime | None = None
    tag: str | None = None


@dataclass(frozen=True)
class Batch:
    """What one append commits, all of it or nothing.

    A selection and findings, where they are not None, are the iteration's whole: what was there before is replaced,
    also by nothing. They name no iteration themselves: it is `selected_iteration` or `findings_iteration`, or, where
    that is 0, the iteration of the batch's first event. `fixtures` are seconds that shared fixtures took, by name.

    `judged` and `joined` are rows that are stored already. Of a judged result authenticity, reasons and symptom alone
    are written, to a joined entry its `tests` are added; other fields count for nothing, and a row that is not there
    is passed over.
    """

    events: tuple[Any, ...] = ()  # core.events.Event; Any keeps records free of a cycle
    selected: tuple[Selected, ...] | None = None
    selected_iteration: int = 0
    started: tuple[AttemptStarted, ...] = ()
    results: tuple[Result, ...] = ()
    entries: tuple[LogEntry, ...] = ()
    findings: tuple[Finding, ...] | None = None
    findings_iteration: int = 0
    fixtures: Mapping[str, float] = field(default_factory=dict)
    judged: tuple[Result, ...] = ()
    joined: tuple[LogEntry, ...] = ()
