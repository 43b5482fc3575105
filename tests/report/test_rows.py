from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from netra_loop.core.events import PhaseFinished, Recorded
from netra_loop.core.records import Finding, LogEntry, Result, Symptom, TierVerdict
from netra_loop.report import rows
from netra_loop.report.view import SessionView, count_findings, count_tests


def test_result(result: Callable[..., Result]) -> None:
    row = rows.result_row(result(outcome="failed", symptom=Symptom.TIMEOUT, reasons=("a",)))
    assert " ".join(row) == (
        "id tier iteration attempt outcome flaky duration_s started_at worker revision authenticity reasons stage "
        "symptom message trace_id"
    )
    assert (row["duration_s"], row["started_at"]) == (2.346, "2026-11-21T04:00:00.000000Z")
    assert (row["outcome"], row["symptom"], row["authenticity"], row["reasons"]) == ("failed", "timeout", "n/a", ["a"])


def test_why_a_test_was_selected_is_a_key_where_it_is_asked_for(result: Callable[..., Result]) -> None:
    one = result("t::a")
    assert "why" not in rows.result_row(one)
    assert rows.result_row(one, {(1, "t::a"): "failed last time"})["why"] == "failed last time"
    assert rows.result_row(one, {})["why"] is None


@pytest.mark.parametrize(("bound", "shown"), [(None, None), (1 / 3, 0.333333)])
def test_a_tier_has_its_passes_on_retry(bound: float | None, shown: float | None) -> None:
    row = rows.tier_row(TierVerdict("P1", 40, 2, 0.05, 0.1, met=True, flaky=3, max_flaky=bound))
    assert list(row) == ["name", "selected", "failures", "failure_rate", "max_failures", "met", "flaky", "max_flaky"]
    assert (row["flaky"], row["max_flaky"]) == (3, shown)


def test_finding(finding: Finding) -> None:
    row = rows.finding_row(finding)
    assert " ".join(row) == (
        "id state cause symptom signature title impact tests first_iteration last_iteration root_cause stage whys "
        "claims"
    )
    assert row["root_cause"]["file"] == "agent_service_core.py"
    assert list(row["root_cause"]) == ["file", "line", "function", "exception", "message", "entries"]
    assert rows.finding_row(replace(finding, root_cause=None))["root_cause"] is None


def test_status(view: SessionView) -> None:
    row = rows.status_row(view)
    assert " ".join(row) == (
        "session loop environment state iteration phase started_at updated_at revisions tests tiers findings logs "
        "exit_code"
    )
    assert " ".join(row["tests"]) == (
        "selected passed failed error skipped xfailed xpassed timeout crashed flaky fake suspect"
    )
    assert list(row["findings"]) == ["new", "persisting", "moved", "fixed", "regressed", "flaky"]
    assert row["tests"]["passed"] == 25
    assert row["tests"]["timeout"] == 0
    assert row["tiers"][0]["failure_rate"] == 0.285714
    assert row["logs"] == {"entries": 120, "complete": True}


def test_log() -> None:
    at = datetime(2026, 11, 21, 6, 0, tzinfo=timezone(timedelta(hours=2)))
    row = rows.log_row(LogEntry(at, "ERROR", "stderr", "backend", "backend-1", "boom", "i1", tests=("t",)))
    assert " ".join(row) == "timestamp severity log service revision message trace_id insert_id tests joined"
    assert row["timestamp"] == "2026-11-21T04:00:00.000000Z"


def test_journal() -> None:
    event = PhaseFinished(
        iteration=1,
        phase="deploy",
        attempt=1,
        outcome="ok",
        target="select",
        duration_s=1.23456,
        facts={"rate": 0.0005},
    )
    row = rows.journal_row(Recorded(3, datetime(2026, 1, 2, tzinfo=UTC), event))
    assert " ".join(row) == "seq at iteration phase attempt event outcome detail"
    assert row["detail"]["duration_s"] == 1.235
    assert row["detail"]["facts"] == {"rate": 0.0005}


def test_every_row_is_json(view: SessionView, finding: Finding, result: Callable[..., Result]) -> None:
    for row in (rows.status_row(view), rows.finding_row(finding), rows.result_row(result())):
        assert json.loads(json.dumps(row)) == row


def test_tests_are_counted_by_their_latest_attempt(result: Callable[..., Result]) -> None:
    counts = count_tests(
        3, [result("a", "passed", attempt=2, flaky=True), result("a", "failed"), result("b", "timeout")]
    )
    assert {name: number for name, number in counts.items() if number} == {
        "selected": 3,
        "passed": 1,
        "timeout": 1,
        "flaky": 1,
    }


def test_a_retry_that_was_skipped_hides_no_failure(result: Callable[..., Result]) -> None:
    counts = count_tests(1, [result("a", "failed"), result("a", "skipped", attempt=2)])
    assert (counts["failed"], counts["skipped"]) == (1, 0)


def test_findings_are_counted_by_state(finding: Finding) -> None:
    assert count_findings([finding, finding])["new"] == 2
