from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from netra_loop.core.records import Authenticity, Child, Contact, Evidence, Frame, LogEntry, Result, Selected
from netra_loop.core.stages import DEFAULT
from netra_loop.report import one_test as page
from netra_loop.report import render, rows
from netra_loop.report.one_test import OneTest

TRACEBACK = "\n".join(
    ["Traceback (most recent call last):", *(f'  File "f{n}.py"' for n in range(30)), "KeyError: 'x'"]
)


def plain(test: OneTest) -> list[str]:
    stream = io.StringIO()
    render.show(page.one_test(test), stream)
    return stream.getvalue().splitlines()


def on_terminal(test: OneTest, width: int) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    console.print(page.one_test(test))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.fixture
def failed(result: Callable[..., Result]) -> Result:
    return result(outcome="failed", message="no answer\nat all", stage="agent_started", traceback="E   boom\x1b[2J")


def selected(item: Result, reason: str = "tier P1 which takes all; failed last time") -> dict[int, Selected]:
    return {item.iteration: Selected(item.id, "P1", 2, reason)}


def test_an_attempt_has_its_facts(failed: Result) -> None:
    lines = plain(OneTest([failed], selected(failed), {1: 40}, stages=DEFAULT))
    assert lines[0] == failed.id
    assert lines[2:10] == [
        "iteration 1, attempt 1: FAILED in 2.35 s",
        "  tier          P1",
        "  selected      tier P1 which takes all; failed last time; number 3 of 40 in the order",
        "  worker        gw0, started 2026-11-21 04:00:00.000Z",
        "  revision      backend-00001-abc",
        f"  trace         {failed.trace_id}",
        "  authenticity  n/a",
        "  stage         agent_started, 4 of 8; never reached agent_thinking",
    ]


def test_its_timeline_and_texts_follow(failed: Result) -> None:
    lines = plain(OneTest([failed], stages=DEFAULT))
    begin = lines.index("  +0.000 s  test  begins on gw0")
    assert lines[begin + 1 : begin + 6] == [
        "                  … 1.0 s of silence",
        "  +1.000 s  wire  http://x/health".replace("http://x", "GET ") + " -> 503 in 0.250 s",
        "                    sick",
        "  +2.000 s  wire  WebSocket /ws is closed by the server: 1011",
        "  +2.346 s  test  ends: failed: no answer",
    ]
    assert lines[-6:] == ["  message", "    no answer", "    at all", "", "  traceback", "    E   boom\\x1b[2J"]


def test_of_a_long_entry_the_beginning_and_the_end_are_shown(failed: Result) -> None:
    entry = LogEntry(failed.started_at, "ERROR", "stderr", "b", "b-1", TRACEBACK, "i", trace_id=failed.trace_id)
    said = [line.strip() for line in plain(OneTest([failed], entries={1: [entry]}))]
    assert any(line.endswith("ERROR Traceback (most recent call last):") for line in said)
    assert "… 19 lines left out" in said
    assert "KeyError: 'x'" in said
    assert 'File "f15.py"' not in said


def test_an_entry_that_only_the_time_joins_is_marked(failed: Result) -> None:
    entry = LogEntry(failed.started_at, "INFO", "stderr", "b", "b-1", "hello", "i", tests=(failed.id,))
    lines = plain(OneTest([failed], entries={1: [entry]}))
    assert any(line.split()[2:] == ["server?", "INFO", "hello"] for line in lines)
    assert "  server? : no trace says so, it was logged while the test ran, or within 0.5 s of that" in lines


def test_a_pass_on_retry_shows_both_attempts_and_the_first_failure(failed: Result) -> None:
    passed = replace(failed, outcome=failed.outcome.PASSED, attempt=2, flaky=True, message=None, traceback="")
    lines = plain(OneTest([failed, passed]))
    assert "iteration 1, attempt 1 of 2: FAILED in 2.35 s" in lines
    assert (
        "iteration 1, attempt 2 of 2: PASSED in 2.35 s, flaky: passed only on retry; attempt 1 was failed: "
        "no answer ⏎ at all" in lines
    )


def test_a_doubtful_pass_is_no_plain_pass(result: Callable[..., Result]) -> None:
    fake = result(authenticity=Authenticity.FAKE, reasons=("no-contact",), evidence=Evidence(mocked=("respx",)))
    lines = plain(OneTest([fake]))
    assert "iteration 1, attempt 1: PASSED, but FAKE in 2.35 s" in lines
    assert "  authenticity  fake: no-contact" in lines
    assert "  talked to     nobody" in lines
    assert "  patched       respx" in lines


def test_an_attempt_that_does_not_count_is_headed_so(result: Callable[..., Result]) -> None:
    gone = result(outcome="failed", reasons=("environment-gone: it had ended",))
    assert "iteration 1, attempt 1: FAILED in 2.35 s, not counted: the environment had ended" in plain(OneTest([gone]))


@pytest.fixture
def talkative(result: Callable[..., Result]) -> Result:
    at = result().started_at
    contacts = (
        Contact("db.example.com", 5432, 10, 2000, at + timedelta(seconds=0.5), at + timedelta(seconds=2)),
        Contact("10.0.0.1", 80, 7, 0, at, at),
    )
    children = (Child("curl", at + timedelta(seconds=1)), Child("node", at - timedelta(seconds=9), shared=True))
    return result(evidence=Evidence(contacts=contacts, mocked=("respx",), children=children))


def test_whom_it_talked_to_and_when_is_told(talkative: Result) -> None:
    lines = plain(OneTest([talkative]))
    assert (
        "  talked to     db.example.com:5432 (10 B sent, 2,000 B received, +0.500 s to +2.000 s); "
        "10.0.0.1:80 (7 B sent, 0 B received, at +0.000 s)"
    ) in lines
    assert "  programs      curl (started at +1.000 s); node (of a shared fixture, which started it before)" in lines


def test_whom_it_talked_to_is_in_its_rows(talkative: Result) -> None:
    (row,) = page.one_test_rows(OneTest([talkative]))
    assert row["contacts"][0] == {
        "host": "db.example.com",
        "port": 5432,
        "sent": 10,
        "received": 2000,
        "first_at": "2026-11-21T04:00:00.500000Z",
        "last_at": "2026-11-21T04:00:02.000000Z",
    }
    assert row["mocked"] == ["respx"]
    assert [(one["program"], one["shared"], one["apart"]) for one in row["children"]] == [
        ("curl", False, False),
        ("node", True, False),
    ]


@pytest.mark.parametrize(
    ("stage", "stages", "said"),
    [
        (None, DEFAULT, "none; the first would be connected"),
        ("agent_completed", DEFAULT, "agent_completed, 8 of 8, the last"),
        ("agent_started", (), "agent_started"),
    ],
)
def test_the_stage_says_what_was_not_reached(result: Callable[..., Result], stage: Any, stages: Any, said: str) -> None:
    assert f"  stage         {said}" in plain(OneTest([result(stage=stage)], stages=stages))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_terminals_of_any_width(failed: Result, width: int) -> None:
    frames = tuple(
        Frame("ws://x/ws", "text", "received", failed.started_at + timedelta(seconds=n), 7, "event_" + "x" * n)
        for n in range(60)
    )
    lines = on_terminal(
        OneTest([replace(failed, evidence=Evidence(frames=frames))], selected(failed, "why " * 50)), width
    )
    assert max(len(line.rstrip()) for line in lines) <= width
    assert sum("event_" in line for line in lines) >= 60


def test_the_rows_are_the_contracts_with_the_rest_behind(failed: Result) -> None:
    (row,) = page.one_test_rows(OneTest([failed], selected(failed)))
    contract = rows.result_row(failed)
    seen = ["contacts", "mocked", "children"]
    assert list(row) == [*contract, "why", "placed", *seen, "timeline", "traceback", "output"]
    assert {key: row[key] for key in contract} == contract
    assert row["why"] == "tier P1 which takes all; failed last time"
    assert [item["kind"] for item in row["timeline"]] == ["begin", "exchange", "close", "end"]
