from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from netra_loop.core.events import AuthTried, Event, GoalJudged, PhaseFinished, PhaseStarted, Recorded
from netra_loop.core.goal import GONE
from netra_loop.core.records import AttemptStarted, Authenticity, Finding, LogEntry, Result
from netra_loop.report.console import PlainConsole
from netra_loop.report.tally import Stood
from netra_loop.report.view import SessionView

AT = datetime(2026, 11, 21, tzinfo=UTC)


def recorded(event: Event) -> Recorded:
    return Recorded(1, AT, event)


def begun(id_: str) -> AttemptStarted:
    return AttemptStarted(id_, 1, 1, "gw0", AT, "0" * 32)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(stream: io.StringIO, clock: Any) -> PlainConsole:
    return PlainConsole(stream, clock)


def test_phases_have_times_and_durations(console: PlainConsole, stream: io.StringIO, clock: Any) -> None:
    console.event(recorded(PhaseStarted(iteration=1, phase="deploy", attempt=1, uses="deploy")))
    clock.passed_s = 2.1
    done = PhaseFinished(
        iteration=1, phase="deploy", outcome="ok", target="select", summary="backend-00001-abc serves", duration_s=2.1
    )
    console.event(recorded(done))
    assert stream.getvalue().splitlines() == [
        "04:00:00 [1] deploy: started",
        "04:00:02 [1] deploy: ok in 2.10 s: backend-00001-abc serves",
    ]


def test_failures_and_fakes_are_told_passes_are_not(
    console: PlainConsole, stream: io.StringIO, result: Callable[..., Result]
) -> None:
    console.plan(3)
    console.finished(result("a"))
    console.finished(result("b", "timeout", message="no answer\nat all"))
    console.finished(result("c", authenticity=Authenticity.FAKE, reasons=("no-contact",)))
    assert stream.getvalue().splitlines() == [
        "04:00:00 [1] TIMEOUT b (P1, 2.35 s): no answer ⏎ at all",
        "04:00:00 [1] PASSED, but FAKE c (P1, 2.35 s): no-contact",
    ]


def test_a_failure_after_the_environment_had_ended_is_told_as_one_that_does_not_count(
    console: PlainConsole, stream: io.StringIO, result: Callable[..., Result]
) -> None:
    console.finished(result("a", "failed", message="refused", reasons=(f"{GONE}: process 17 (signal 9) had ended",)))
    assert stream.getvalue() == (
        "04:00:00 [1] FAILED a (P1, 2.35 s, not counted: the environment had ended): refused\n"
    )


def test_a_pass_on_retry_is_told_with_its_first_failure(
    console: PlainConsole, stream: io.StringIO, result: Callable[..., Result]
) -> None:
    console.finished(result("a", "failed", message="no answer"))
    console.finished(result("a", attempt=2, flaky=True))
    assert stream.getvalue().splitlines() == [
        "04:00:00 [1] FAILED a (P1, 2.35 s): no answer",
        "04:00:00 [1] PASSED a (P1, 2.35 s, attempt 2, flaky); attempt 1 was failed: no answer",
    ]


def test_progress_is_told_every_ten_seconds_with_a_guess(
    console: PlainConsole, stream: io.StringIO, clock: Any, result: Callable[..., Result]
) -> None:
    console.plan(100)
    for n in range(25):
        console.started(begun(f"t{n}"))
        clock.passed_s += 1
        console.finished(result(f"t{n}"))
    assert stream.getvalue().splitlines() == [
        "04:00:10 10 of 100 done, 0 failed, 0 running, about 1 min 30 s left",
        "04:00:20 20 of 100 done, 0 failed, 0 running, about 1 min 20 s left",
    ]


def test_a_sentence_is_told_at_once_and_repeated_sparingly(
    console: PlainConsole, stream: io.StringIO, clock: Any
) -> None:
    for n in range(30):
        clock.passed_s = n
        console.progress(f"waiting for backend, {n} s so far")
    console.progress("stopping (SIGINT): no new work")
    assert [line[9:] for line in stream.getvalue().splitlines()] == [
        "waiting for backend, 0 s so far",
        "waiting for backend, 10 s so far",
        "waiting for backend, 20 s so far",
        "stopping (SIGINT): no new work",
    ]


def test_details_only_where_they_matter(console: PlainConsole, stream: io.StringIO) -> None:
    console.event(recorded(AuthTried(method="jwt", ok=True)))
    console.event(recorded(AuthTried(method="bypass", ok=False, status=401, answer="Invalid key")))
    assert stream.getvalue() == "04:00:00 auth by bypass failed 401: Invalid key\n"


def test_the_verdict_tells_each_tier(console: PlainConsole, stream: io.StringIO) -> None:
    tier = {"name": "P1", "selected": 7, "failures": 2, "failure_rate": 2 / 7, "max_failures": 0.0, "met": False}
    console.event(recorded(GoalJudged(iteration=1, phase="record", outcome="unmet", tiers=(tier,))))
    assert stream.getvalue().splitlines() == [
        "04:00:00 [1] record: judged unmet",
        "04:00:00     P1: 2 of 7 failed (28.6%, allowed 0%): unmet",
    ]


def test_the_verdict_tells_the_passes_on_retry(console: PlainConsole, stream: io.StringIO) -> None:
    tier = {"name": "P1", "selected": 40, "failures": 0, "failure_rate": 0.0, "max_failures": 0.0, "met": False}
    bounded = {**tier, "flaky": 3, "max_flaky": 0.05}
    free = {**tier, "flaky": 3, "met": True}
    console.event(recorded(GoalJudged(iteration=1, phase="record", outcome="unmet", tiers=(bounded, free))))
    assert stream.getvalue().splitlines()[1:] == [
        "04:00:00     P1: 0 of 40 failed (0%, allowed 0%), 3 passed only on retry (7.5%, allowed 5%): unmet",
        "04:00:00     P1: 0 of 40 failed (0%, allowed 0%), 3 passed only on retry (7.5%): met",
    ]


def test_the_summary_ends_with_the_verdict(
    console: PlainConsole, stream: io.StringIO, view: SessionView, finding: Finding
) -> None:
    console.summary(view, [finding])
    assert stream.getvalue().splitlines() == [
        "",
        "TIER  SELECTED  FAILURES   RATE  ALLOWED  VERDICT",
        "P1           7         2  28.6%       0%  unmet",
        "",
        "tests: 31 selected: 25 passed, 6 failed (1 flaky: passed only on retry)",
        "",
        "findings:",
        "  f-12ab new websocket-close (product): the socket was closed with 1011",
        "",
        f"unmet: tier P1 is over its threshold (exit 1); look at it with: netra-loop findings {view.session}",
    ]


def test_regressions_are_listed_apart(console: PlainConsole, stream: io.StringIO, view: SessionView) -> None:
    console.summary(replace(view, regressed={"test_a": "passed in iteration 1, fails now"}), [])
    assert "regressions:\n  test_a: passed in iteration 1, fails now\n\nunmet:" in stream.getvalue()


def test_nothing_a_test_says_reaches_terminal_or_runner(
    console: PlainConsole, stream: io.StringIO, result: Callable[..., Result]
) -> None:
    evil = "::set-output name=x::\x1b[2J\n::stop-commands::x\u202e ##[group]"
    console.finished(result(evil, "failed", message=evil, tier=evil))
    console.progress(evil)
    written = stream.getvalue()
    assert "\x1b" not in written
    assert "\u202e" not in written
    assert "##[" not in written
    assert not any(line.lstrip().startswith("::") for line in written.splitlines())


def test_a_reader_that_went_away_ends_nothing(clock: Any) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = PlainConsole(Closed(), clock)
    console.progress("one")
    console.progress("two")
    console.close()


def test_a_stream_that_cannot_say_everything(clock: Any) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    PlainConsole(stream, clock).progress("größer")
    assert raw.getvalue() == b"04:00:00 gr??er\n"


def test_what_is_logged_is_told_with_the_progress(console: PlainConsole, stream: io.StringIO, clock: Any) -> None:
    console.plan(2)
    said = LogEntry(AT, "ERROR", "stdout", "backend", "backend-00001-abc", "no such table", "i")
    console.logged([said])
    assert stream.getvalue() == ""
    clock.passed_s = 11
    console.logged([said], 5)
    told = "0 of 2 done, 0 failed, 0 running; logs: 7 entries, 2 errors; last ERROR: no such table"
    assert stream.getvalue() == f"04:00:11 {told}\n"


def test_how_tests_stood_is_said_at_once_with_the_last_failures(
    console: PlainConsole, stream: io.StringIO, clock: Any, result: Callable[..., Result]
) -> None:
    console.plan(30)
    clock.passed_s = 60.0
    console.stood(Stood(20, 3, 0, began=0.0, newest=(result("a", "failed", message="no"),)))
    assert stream.getvalue().splitlines() == [
        "04:00:02 [1] FAILED a (P1, 2.35 s): no",
        "04:01:00 20 of 30 done, 3 failed, 0 running, about 30.0 s left; 2 failed before those above, see `results`",
    ]
