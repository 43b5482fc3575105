from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from netra_loop.core.events import Event, PhaseFinished, PhaseStarted, Recorded, RevisionReady, SessionStarted
from netra_loop.core.goal import GONE
from netra_loop.core.records import AttemptStarted, Finding, LogEntry, Result
from netra_loop.report.console import LiveConsole
from netra_loop.report.view import SessionView

AT = datetime(2026, 11, 21, tzinfo=UTC)


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None, legacy_windows=False
    )


def screen(live: LiveConsole, width: int = 80, height: int = 24) -> list[str]:
    """What the live console would draw now on a terminal of that size."""
    console = terminal(width, height)
    with console.capture() as captured:
        console.print(live)
    return captured.get().splitlines()


@pytest.fixture
def live(clock: Any, result: Callable[..., Result]) -> Any:
    live = LiveConsole(terminal(), clock)

    def say(event: Event) -> None:
        live.event(Recorded(1, AT, event))

    say(SessionStarted(loop="golden-path", loop_file="x", loop_text="", environment="local", first_phase="deploy"))
    say(PhaseStarted(iteration=1, phase="deploy", uses="deploy"))
    say(RevisionReady(service="backend", revision="backend-00001-abc", url="http://127.0.0.1:4000", ws_url="ws://x"))
    say(PhaseFinished(iteration=1, phase="deploy", outcome="ok", target="x", duration_s=2.1, summary="serves"))
    say(PhaseStarted(iteration=1, phase="execute", uses="execute"))
    live.plan(40)
    for n in range(30):
        live.started(AttemptStarted(f"tests/test_a.py::test_{n}", 1, 1, "gw0", AT, "0" * 32))
        clock.passed_s += 0.5
    for n in range(20):
        bad = n % 3 == 0
        live.finished(result(f"tests/test_a.py::test_{n}", "failed" if bad else "passed", message="it\x1b[2J broke"))
    yield live
    live.close()


def test_shows_what_happens(live: LiveConsole) -> None:
    text = "\n".join(screen(live))
    assert "netra-loop · golden-path in local · iteration 1 · 15.0 s" in text
    assert "backend  backend-00001-abc  http://127.0.0.1:4000" in text
    assert "✓ deploy     ok in 2.10 s  serves" in text
    assert "● execute    15.0 s" in text
    assert "20/40, 7 failed, 10 running, about 15.0 s left" in text
    assert "5.00 s  tests/test_a.py::test_20" in text
    assert "FAILED tests/test_a.py::test_18 (P1, 2.35 s): it\\x1b[2J broke" in text


def test_a_failure_after_the_environment_had_ended_is_told_as_one_that_does_not_count(
    live: LiveConsole, result: Callable[..., Result]
) -> None:
    live.finished(result("a", "failed", message="refused", reasons=(f"{GONE}: process 17 (signal 9) had ended",)))
    assert "  FAILED a (P1, 2.35 s, not counted: the environment had ended): refused" in screen(live)


@pytest.mark.parametrize("width", [10, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 24, 60])
def test_fits_every_terminal(live: LiveConsole, width: int, height: int) -> None:
    lines = screen(live, width, height)
    assert 1 <= len(lines) <= max(1, height - 1)
    assert max(map(cell_len, lines)) <= width


def test_a_low_terminal_keeps_title_phase_and_bar(live: LiveConsole) -> None:
    text = "\n".join(screen(live, height=6))
    assert "golden-path" in text
    assert "● execute" in text
    assert "20/40" in text


def test_the_next_iteration_starts_afresh(live: LiveConsole) -> None:
    live.event(Recorded(9, AT, PhaseStarted(iteration=2, phase="deploy", uses="deploy")))
    live.plan(5)
    text = "\n".join(screen(live))
    assert "iteration 2" in text
    assert "serves" not in text
    assert "0/5, 0 failed, 10 running" not in text


def test_the_summary_stays(view: SessionView, finding: Finding, clock: Any) -> None:
    console = terminal(width=160)
    live = LiveConsole(console, clock)
    live.progress("waiting")
    live.summary(view, [finding])
    live.close()
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().rstrip().splitlines()[-1]
    assert last.startswith("unmet: tier P1 is over its threshold (exit 1)")
    assert "the socket was closed with 1011" in console.file.getvalue()


@pytest.mark.parametrize("then", [(2, "audit", "ok"), (3, "deploy", "ok"), (2, "record", "unmet")])
def test_the_last_words_of_a_command_stay_until_they_are_out_of_date(view: SessionView, clock: Any, then: Any) -> None:
    """That is, until its phase ends well after all, or another iteration begins."""
    console = terminal(height=60)
    live = LiveConsole(console, clock)
    no = {"output": "no: it hides the failure", "exit_code": 1}
    for iteration, phase, outcome in [(2, "audit", "failed"), then]:
        began = PhaseStarted(iteration=iteration, phase=phase, uses="run")
        ended = PhaseFinished(iteration=iteration, phase=phase, outcome=outcome, target="x", duration_s=1.0, facts=no)
        live.event(Recorded(1, AT, began))
        live.event(Recorded(2, AT, ended))
    live.summary(view, [])
    assert ("| no: it hides" in console.file.getvalue()) is (then[1] == "record")  # type: ignore[attr-defined]


def test_a_terminal_that_hung_up_ends_nothing(view: SessionView, clock: Any) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    live = LiveConsole(Console(file=Gone(), force_terminal=True), clock)
    live.progress("one")
    live.summary(view, [])
    live.close()


def test_what_is_logged_is_told_in_one_line(live: LiveConsole) -> None:
    said = LogEntry(AT, "ERROR", "stdout", "backend", "backend-00001-abc", "no such\x1b[2J table", "i")
    live.logged([replace(said, severity="INFO"), said], 12)
    assert "  logs: 14 entries, 1 error; last ERROR: no such\\x1b[2J table" in screen(live)
    assert any(line.startswith("  logs: 14 entries") for line in screen(live, width=30))
    live.plan(10)
    assert "logs:" not in "\n".join(screen(live))
