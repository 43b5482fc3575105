"""The JSON rows of the contract: plain values, times in RFC 3339, durations in seconds rounded to the millisecond.

Keys and their order are fixed; a key is always there, null where nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from netra_loop.clock import rfc3339
from netra_loop.core.events import Recorded
from netra_loop.core.records import Claim, Finding, LogEntry, Result, RootCause, TierVerdict
from netra_loop.report.view import FINDING_COUNTS, TEST_COUNTS, SessionView


class Head(Protocol):
    """What `list` shows of a session; the journal's heads and `SessionView` alike have it."""

    @property
    def loop(self) -> str:
        """The loop's name."""
        ...

    @property
    def environment(self) -> str:
        """Where it runs."""
        ...

    @property
    def state(self) -> str:
        """The contract's `state`."""
        ...

    @property
    def iteration(self) -> int:
        """The newest iteration."""
        ...

    @property
    def phase(self) -> str | None:
        """The phase it stands in."""
        ...

    @property
    def started_at(self) -> datetime:
        """When it began."""
        ...

    @property
    def updated_at(self) -> datetime:
        """When it was last heard of."""
        ...

    @property
    def exit_code(self) -> int | None:
        """The contract's, None while it may go on."""
        ...


class NamedHead(Head, Protocol):
    """A head that calls its session `id`."""

    @property
    def id(self) -> str:
        """The session."""
        ...


def session_row(head: NamedHead) -> dict[str, Any]:
    """One line of `list`: the outermost keys of `status`."""
    return {"session": head.id, **_head(head), "exit_code": head.exit_code}


def status_row(view: SessionView) -> dict[str, Any]:
    """The document of `status`."""
    return {
        "session": view.session,
        **_head(view),
        "revisions": dict(view.revisions),
        "tests": {name: view.tests.get(name, 0) for name in TEST_COUNTS},
        "tiers": [tier_row(tier) for tier in view.tiers],
        "findings": {name: view.findings.get(name, 0) for name in FINDING_COUNTS},
        "logs": {"entries": view.log_entries, "complete": view.logs_complete},
        "exit_code": view.exit_code,
    }


def tier_row(tier: TierVerdict) -> dict[str, Any]:
    """A tier held against its threshold; rates are fractions."""
    return {
        "name": tier.name,
        "selected": tier.selected,
        "failures": tier.failures,
        "failure_rate": round(tier.failure_rate, 6),
        "max_failures": round(tier.max_failures, 6),
        "met": tier.met,
        "flaky": tier.flaky,
        "max_flaky": None if tier.max_flaky is None else round(tier.max_flaky, 6),
    }


def result_row(result: Result, why: Mapping[tuple[int, str], str] | None = None) -> dict[str, Any]:
    """One line of `results`. With `why`, by iteration and id, a key of that name behind the contract's."""
    reason = {} if why is None else {"why": why.get((result.iteration, result.id))}
    return {
        "id": result.id,
        "tier": result.tier,
        "iteration": result.iteration,
        "attempt": result.attempt,
        "outcome": result.outcome.value,
        "flaky": result.flaky,
        "duration_s": round(result.duration_s, 3),
        "started_at": rfc3339(result.started_at),
        "worker": result.worker,
        "revision": result.revision,
        "authenticity": result.authenticity.value,
        "reasons": list(result.reasons),
        "stage": result.stage,
        "symptom": result.symptom.value if result.symptom else None,
        "message": result.message,
        "trace_id": result.trace_id,
        **reason,
    }


def finding_row(finding: Finding) -> dict[str, Any]:
    """One line of `findings`."""
    return {
        "id": finding.id,
        "state": finding.state.value,
        "cause": finding.cause.value,
        "symptom": finding.symptom.value,
        "signature": finding.signature,
        "title": finding.title,
        "impact": finding.impact,
        "tests": list(finding.tests),
        "first_iteration": finding.first_iteration,
        "last_iteration": finding.last_iteration,
        "root_cause": _root_cause(finding.root_cause) if finding.root_cause else None,
        "stage": finding.stage,
        "whys": list(finding.whys),
        "claims": [_claim(claim) for claim in finding.claims],
    }


def log_row(entry: LogEntry) -> dict[str, Any]:
    """One line of `logs`. `joined` says by what its tests are known: trace, path, user or time."""
    from netra_loop.core.joining import how  # of use to entries alone

    return {
        "timestamp": rfc3339(entry.timestamp),
        "severity": entry.severity,
        "log": entry.log,
        "service": entry.service,
        "revision": entry.revision,
        "message": entry.message,
        "trace_id": entry.trace_id,
        "insert_id": entry.insert_id,
        "tests": list(entry.tests),
        "joined": how(entry),
    }


def journal_row(recorded: Recorded) -> dict[str, Any]:
    """One line of `journal`. Of `detail`, durations alone are rounded."""
    row = recorded.row()
    detail = {key: _rounded(key, value) for key, value in row["detail"].items()}
    return {**row, "at": rfc3339(recorded.at), "detail": detail}


def _head(head: Head) -> dict[str, Any]:
    return {
        "loop": head.loop,
        "environment": head.environment,
        "state": head.state,
        "iteration": head.iteration,
        "phase": head.phase,
        "started_at": rfc3339(head.started_at),
        "updated_at": rfc3339(head.updated_at),
    }


def _root_cause(cause: RootCause) -> dict[str, Any]:
    return {
        "file": cause.file,
        "line": cause.line,
        "function": cause.function,
        "exception": cause.exception,
        "message": cause.message,
        "entries": cause.entries,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {"iteration": claim.iteration, "verdict": claim.verdict, "revision": claim.revision}


def _rounded(key: str, value: Any) -> Any:
    is_duration = key == "seconds" or key.endswith("_s")
    return round(value, 3) if is_duration and isinstance(value, float) else value
