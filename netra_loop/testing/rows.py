"""Rows to put into a journal, with everything filled in that a test does not speak of; `changes` are fields by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from netra_loop.core.records import (
    AttemptStarted,
    Cause,
    Finding,
    FindingState,
    LogEntry,
    Outcome,
    Result,
    Selected,
    Symptom,
)
from netra_loop.journal.base import SessionHead

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)  # when everything here happens


def after(seconds: float) -> datetime:
    """The instant `seconds` after T0."""
    return T0 + timedelta(seconds=seconds)


def head(session: str = "golden-1", **changes: Any) -> SessionHead:
    """A running session of the loop `golden-path`."""
    return replace(SessionHead(session, "golden-path", "local", "running", 0, None, T0, T0), **changes)


def selected(test: str = "test_a", position: int = 0, **changes: Any) -> Selected:
    """A test that tier P1 selected."""
    return replace(Selected(test, "P1", position, "tier P1", "tests/test_a.py", 7), **changes)


def attempt(test: str = "test_a", **changes: Any) -> AttemptStarted:
    """A first attempt in iteration 1."""
    return replace(AttemptStarted(test, 1, 1, "gw0", T0, "0" * 32), **changes)


def result(test: str = "test_a", **changes: Any) -> Result:
    """A pass at the first attempt in iteration 1."""
    passed = Result(test, "P1", 1, 1, Outcome.PASSED, 0.25, T0, "gw0", "backend-00001", "0" * 32)
    return replace(passed, **changes)


def entry(insert_id: str = "e1", **changes: Any) -> LogEntry:
    """A line on stderr, read in iteration 1."""
    line = LogEntry(T0, "ERROR", "stderr", "backend", "backend-00001", "boom", insert_id, iteration=1)
    return replace(line, **changes)


def finding(name: str = "f1", **changes: Any) -> Finding:
    """A new timeout of the product."""
    found = Finding(
        name, FindingState.NEW, Cause.PRODUCT, Symptom.TIMEOUT, "signature", "a title", None, ("test_a",), 1, 1
    )
    return replace(found, **changes)
