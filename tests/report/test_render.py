from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from netra_loop.core.events import Recorded, SessionPaused
from netra_loop.core.records import Finding, LogEntry, Result
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
        "tests      31 selected: 25 passed, 6 failed (1 flaky)",
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


def test_sessions(view: SessionView) -> None:
    lines = plain(render.sessions([rows.status_row(view)]))
    assert lines[1].split()[:3] == ["golden-path-20261121-040000-ab12", "unmet", "local"]
    assert plain(render.sessions([])) == ["no session yet; start one with: netra-loop run LOOP"]


def test_findings(finding: Finding) -> None:
    assert "agent_service_core.py:41 in start_agent: AttributeError" in plain(render.findings([finding]))[1]


def test_one_test_has_its_wire_on_one_axis(result: Callable[..., Result]) -> None:
    lines = plain(render.one_test([result(outcome="failed", traceback="E   boom\x1b[2J", output="said\n")]))
    assert "     +1.000 s  GET http://x/health -> 503 in 0.25 s: sick" in lines
    assert "     +2.000 s  <= close 1011" in lines
    assert "    E   boom\\x1b[2J" in lines
    assert "    said" in lines


def test_logs_and_journal() -> None:
    entry = LogEntry(AT, "ERROR", "stderr", "backend", "backend-1", "boom\nat line 2", "i1")
    assert plain(render.logs([entry]))[1] == "04:00:00.123  ERROR     stderr  backend-1  boom ⏎ at line 2"
    paused = Recorded(7, AT, SessionPaused(iteration=1, why="SIGINT"))
    assert plain(render.journal([paused]))[1].endswith("1         session_paused  paused: SIGINT")
