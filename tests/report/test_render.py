from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from netra_loop.core.events import Recorded, SessionPaused
from netra_loop.core.goal import MOVED
from netra_loop.core.records import Finding, LogEntry, Result, TierVerdict
from netra_loop.report import phrases, render, rows
from netra_loop.report.view import SessionView

AT = datetime(2026, 11, 21, 4, 0, 0, 123_456, tzinfo=UTC)


def plain(renderable: Any) -> list[str]:
    stream = io.StringIO()
    render.show(renderable, stream)
    return stream.getvalue().splitlines()


def test_status(view: SessionView, finding: Finding) -> None:
    assert plain(render.status(view, [finding])) == [
        "session    golden-path-20261121-040000-ab12",
        "loop       golden-path in environment local",
        "stands at  iteration 1, phase record",
        "started    2026-11-21 04:00:00Z",
        "updated    2026-11-21 04:01:30Z",
        "revisions  backend: backend-00001-abc at http://127.0.0.1:4000",
        "tests      31 selected: 25 passed, 6 failed (1 flaky: passed only on retry)",
        "findings   1 new",
        "logs       120 entries, complete",
        "",
        "TIER  SELECTED  FAILURES   RATE  ALLOWED  VERDICT",
        "P1           7         2  28.6%       0%  unmet",
        "",
        f"  {phrases.finding(finding)}",
        "",
        f"unmet: tier P1 is over its threshold (exit 1); look at it with: netra-loop findings {view.session}",
    ]


def test_a_table_off_the_terminal_is_neither_wrapped_nor_cut(result: Callable[..., Result]) -> None:
    long = "tests/" + "deep/" * 30 + "test_a.py::test_日本"
    lines = plain(render.results([result(long, "failed", message="[red]not markup[/red]")]))
    assert lines[0].split() == ["OUTCOME", "TIER", "ITERATION", "TRY", "DURATION", "AUTHENTICITY", "TEST", "MESSAGE"]
    assert lines[1].endswith(f"{long}  [red]not markup[/red]")
    assert len(lines) == 2


@pytest.mark.parametrize("width", [8, 20, 80, 200])
def test_tables_on_terminals_of_any_width(width: int, result: Callable[..., Result], finding: Finding) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    console.print(render.results([result()]), render.findings([finding]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_on_a_terminal_what_a_test_said_stands_below_its_id(width: int, result: Callable[..., Result]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    console.print(render.results([result("t::a", "failed", message="no answer " * 9)], {(1, "t::a"): "because"}))
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    (place,) = {line.index("t::a") for line in lines if "t::a" in line}
    below = [line for line in lines if "no answer" in line or "because" in line]
    assert all(line.index(line.split()[0]) == place + 2 for line in below)
    assert sum(line.count("answer") for line in below) == 9
    assert max(map(len, lines)) <= width


def test_sessions(view: SessionView) -> None:
    lines = plain(render.sessions([rows.status_row(view)]))
    assert lines[1].split()[:3] == ["golden-path-20261121-040000-ab12", "unmet", "local"]
    assert plain(render.sessions([])) == ["no session yet; start one with: netra-loop run LOOP"]


def test_findings(finding: Finding) -> None:
    assert "agent_service_core.py:41 in start_agent: AttributeError" in plain(render.findings([finding]))[1]


def test_attempts_of_a_test_stand_together_and_a_retry_hides_no_failure(result: Callable[..., Result]) -> None:
    later = timedelta(seconds=30)
    failed = result("t::a", "failed", message="no answer")
    passed = result("t::a", attempt=2, flaky=True, started_at=failed.started_at + later)
    other = result("t::b", started_at=failed.started_at + later / 2)
    header, *lines = plain(render.results([passed, other, failed]))
    assert header.endswith("MESSAGE")
    assert [line.split()[0] for line in lines] == ["failed", "passed", "passed"]
    assert "passed flaky" in lines[1]
    assert lines[1].endswith("t::a  passed on retry; attempt 1 was failed: no answer")


def test_an_attempt_that_does_not_count_says_so_before_its_message(result: Callable[..., Result]) -> None:
    _, line = plain(render.results([result("t::a", "failed", message="refused", reasons=(f"{MOVED}: b served",))]))
    assert line.endswith("t::a  not counted: another revision served; refused")


def test_why_each_test_was_selected_is_a_column(result: Callable[..., Result]) -> None:
    lines = plain(render.results([result("t::a")], {(1, "t::a"): "tier P1 which takes all; failed last time"}))
    assert lines[0].endswith("WHY")
    assert lines[1].endswith("tier P1 which takes all; failed last time")


def test_a_tier_says_how_many_passed_only_on_retry() -> None:
    tier = TierVerdict("P1", 40, 0, 0.0, 0.0, met=False, flaky=3, max_flaky=0.05)
    assert plain(render.tiers([tier])) == [
        "TIER  SELECTED  FAILURES  RATE  ALLOWED  FLAKY  ALLOWED  VERDICT",
        "P1          40         0    0%       0%      3       5%  unmet",
    ]
    free = replace(tier, max_flaky=None, met=True)
    assert plain(render.tiers([free]))[1].split() == ["P1", "40", "0", "0%", "0%", "3", "any", "met"]


def test_entries_that_nobody_asked_for_were_read_all_the_same() -> None:
    assert plain(render.logs([]))[-1] == "no log entry was read"
    assert plain(render.logs([], 48))[-1] == "none of these among the 48 log entries that were read"


def test_logs_and_journal() -> None:
    entry = LogEntry(AT, "ERROR", "stderr", "backend", "backend-1", "boom\nat line 2", "i1")
    assert plain(render.logs([entry]))[1] == "04:00:00.123  ERROR     stderr  backend-1  boom ⏎ at line 2"
    paused = Recorded(7, AT, SessionPaused(iteration=1, why="SIGINT"))
    assert plain(render.journal([paused]))[1].endswith("1         session_paused  paused: SIGINT")
