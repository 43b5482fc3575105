"""What an iteration left behind, from which its findings are made, and the plain form of a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from netra_loop.core.joining import Joined
from netra_loop.core.records import (
    Cause,
    CollectionError,
    Finding,
    FindingState,
    LogEntry,
    Result,
    RootCause,
    Selected,
    Symptom,
)
from netra_loop.core.signature import finding_id, signature
from netra_loop.core.spec import TierSpec
from netra_loop.core.stacktrace import Source
from netra_loop.core.trace_lines import Thrown
from netra_loop.values import dataclass

EntryKey = tuple[str, datetime, str]


@dataclass(frozen=True)
class DeployFailure:
    """A revision that did not get ready, as `cloud.base.Failed` tells it; `revision` is "" where none was made, because
    its build failed.
    """

    service: str
    revision: str
    reason: str
    message: str
    log_lines: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an iteration left behind. `results` are all attempts, their authenticity assessed; `sources` says by service
    where its source lies; `previous` are findings of earlier iterations, the newest row of an id counting most.
    `auth_failure` is the answer of each way to a token, where none worked.
    `exceptions` are those that the logs show; None: they are to be read out of the entries. `new_errors` are the
    signatures of what the revision before did not log, with that revision's name; `warned` has by trace the last
    warning that was logged of an attempt.
    """

    iteration: int
    results: Sequence[Result] = ()
    selected: Sequence[Selected] = ()
    joined: Joined = field(default_factory=Joined)
    sources: Mapping[str, Source] = field(default_factory=dict)
    tiers: Sequence[TierSpec] = ()
    deploy_failure: DeployFailure | None = None
    auth_failure: Sequence[str] = ()
    collection_errors: Sequence[CollectionError] = ()
    previous: Sequence[Finding] = ()
    authenticity: str = "required"
    exceptions: Sequence[Thrown] | None = None
    new_errors: Mapping[str, str] = field(default_factory=dict)
    warned: Mapping[str, LogEntry] = field(default_factory=dict)


def key_of(entry: LogEntry) -> EntryKey:
    """What tells one entry from another."""
    return entry.log, entry.timestamp, entry.insert_id


def raised(root: RootCause) -> str:
    """A root cause as the beginning of a title."""
    message = f": {root.message}" if root.message else ""
    return f"{root.exception} at {root.file}:{root.line} in {root.function}{message[:160]}"


def plain(
    facts: Facts,
    symptom: Symptom,
    cause: Cause,
    words: str,
    title: str,
    *,
    signed: str | None = None,
    impact: str | None = None,
    tests: tuple[str, ...] = (),
    root_cause: RootCause | None = None,
    stage: str | None = None,
    whys: tuple[str, ...] = (),
) -> Finding:
    """A new finding of this iteration, named by `signed` or else by its symptom and `words`."""
    named = signed if signed is not None else signature(symptom, words)
    return Finding(
        id=finding_id(named),
        state=FindingState.NEW,
        cause=cause,
        symptom=symptom,
        signature=named,
        title=title,
        impact=impact,
        tests=tests,
        first_iteration=facts.iteration,
        last_iteration=facts.iteration,
        root_cause=root_cause,
        stage=stage,
        whys=whys,
    )
