"""Values that the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netra_loop.core.records import (
    Authenticity,
    Cause,
    Evidence,
    Exchange,
    Finding,
    FindingState,
    Frame,
    Outcome,
    Result,
    RootCause,
    Symptom,
    TierVerdict,
)
from netra_loop.report.view import SessionView

START = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


class HandClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def result() -> Callable[..., Result]:
    def make(id_: str = "tests/test_a.py::test_b", outcome: str = "passed", **fields: Any) -> Result:
        known: dict[str, Any] = {
            "tier": "P1",
            "iteration": 1,
            "attempt": 1,
            "duration_s": 2.3456,
            "started_at": START,
            "worker": "gw0",
            "revision": "backend-00001-abc",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "authenticity": Authenticity.REAL if outcome == "passed" else Authenticity.NOT_APPLICABLE,
            "evidence": Evidence(
                exchanges=(Exchange("GET", "http://x/health", 503, START + timedelta(seconds=1), 0.25, body="sick"),),
                frames=(Frame("ws://x/ws", "close", "received", START + timedelta(seconds=2), code=1011),),
            ),
        }
        return Result(id=id_, outcome=Outcome(outcome), **{**known, **fields})

    return make


@pytest.fixture
def finding() -> Finding:
    return Finding(
        id="f-12ab",
        state=FindingState.NEW,
        cause=Cause.PRODUCT,
        symptom=Symptom.WEBSOCKET_CLOSE,
        signature="websocket-close:1011",
        title="the socket was closed with 1011",
        impact="$120K+ MRR",
        tests=("tests/test_a.py::test_b", "journey::agent-progression"),
        first_iteration=1,
        last_iteration=1,
        root_cause=RootCause("agent_service_core.py", 41, "start_agent", "AttributeError", "'NoneType' …", 3),
    )


@pytest.fixture
def view() -> SessionView:
    return SessionView(
        session="golden-path-20261121-040000-ab12",
        loop="golden-path",
        environment="local",
        state="unmet",
        iteration=1,
        phase="record",
        started_at=START,
        updated_at=START + timedelta(seconds=90),
        revisions={"backend": "backend-00001-abc"},
        tests={"selected": 31, "passed": 25, "failed": 6, "flaky": 1},
        tiers=(TierVerdict("P1", 7, 2, 2 / 7, 0.0, met=False),),
        findings={"new": 1},
        log_entries=120,
        logs_complete=True,
        exit_code=1,
        reason="tier P1 is over its threshold",
        urls={"backend": "http://127.0.0.1:4000"},
    )
