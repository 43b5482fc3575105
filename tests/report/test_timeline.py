from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from netra_loop.core.records import Child, Contact, Evidence, Exchange, Frame, LogEntry, Result
from netra_loop.core.stages import DEFAULT
from netra_loop.report.timeline import clock_behind_s, joined_by, timeline, timeline_rows

WS = "ws://127.0.0.1:4000/ws"


@pytest.fixture
def attempt(result: Callable[..., Result]) -> Callable[..., Result]:
    """An attempt of 10 s that left this behind and said nothing; `at` gives its instants."""

    def make(outcome: str = "passed", **evidence: Any) -> Result:
        return result(outcome=outcome, duration_s=10.0, evidence=Evidence(**evidence))

    return make


@pytest.fixture
def at(result: Callable[..., Result]) -> Callable[[float], Any]:
    start = result().started_at
    return lambda seconds: start + timedelta(seconds=seconds)


@pytest.fixture
def entry(at: Callable[[float], Any], result: Callable[..., Result]) -> Callable[..., LogEntry]:
    def make(second: float, message: str = "said", **more: Any) -> LogEntry:
        known = {"trace_id": result().trace_id, **more}
        return LogEntry(at(second), known.pop("severity", "INFO"), "stdout", "backend", "b-1", message, "i", **known)

    return make


def told(result: Result, entries: Any = ()) -> list[tuple[str, str]]:
    return [(one.source, one.text) for one in timeline(result, entries, DEFAULT)]


def test_test_wire_and_server_are_on_one_axis(attempt, at, entry):
    one = attempt(
        "failed",
        exchanges=(Exchange("GET", "http://127.0.0.1:4000/me?x=1", 200, at(1), 0.25),),
        frames=(
            Frame(WS, "open", "received", at(2)),
            Frame(WS, "text", "sent", at(3), 70, "start_agent"),
            Frame(WS, "text", "received", at(5), 1200, "agent_started"),
            Frame(WS, "close", "received", at(6), code=1011, reason="boom"),
        ),
        children=(Child("ffmpeg", at(0.5)),),
    )
    request = {"method": "GET", "url": "http://127.0.0.1:4000/me?x=1", "status": 200, "latency_s": 0.2}
    entries = [entry(4, "runs\nTraceback", severity="ERROR"), entry(1.1, "GET", request=request)]
    assert told(one, entries) == [
        ("test", "begins on gw0"),
        ("test", "starts ffmpeg"),
        ("wire", "GET /me?x=1 -> 200 in 0.250 s"),
        ("server", "request log: GET /me?x=1 200 in 0.200 s"),
        ("wire", "WebSocket /ws is open"),
        ("wire", "-> start_agent, 70 B"),
        ("server", "ERROR runs"),
        ("wire", "<- agent_started, 1,200 B"),
        ("wire", "WebSocket /ws is closed by the server: 1011 (boom)"),
        ("test", "ends: failed"),
    ]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"direction": "sent", "code": 1000}, "WebSocket /ws is closed by the test: 1000"),
        ({"direction": "received", "code": 4001}, "WebSocket /ws is closed by the server: 4001"),
        ({"direction": "received", "code": 1006}, "WebSocket /ws is lost without a close frame, 1006"),
        ({"direction": "sent"}, "WebSocket /ws is let go by the test without a close frame"),
    ],
)
def test_who_closed_a_socket_is_said(attempt, at, frame, said):
    assert ("wire", said) in told(attempt(frames=(Frame(WS, "close", at=at(1), **frame),)))


def test_with_several_hosts_each_is_named(attempt, at):
    asked = [Exchange("GET", f"http://{host}/x", None, at(1), 3.0, "refused") for host in ("a:1", "u:p@b:2")]
    lines = told(attempt(exchanges=tuple(asked)))
    assert ("wire", "GET a:1/x -> refused in 3.000 s") in lines
    assert ("wire", "GET b:2/x -> refused in 3.000 s") in lines


def test_bytes_of_no_exchange_are_told_and_those_of_one_are_not(attempt, at):
    contacts = (Contact("localhost", 4000, 1, 2, at(1), at(2)), Contact("db", 5432, 1234, 7, at(3), at(4)))
    one = attempt(exchanges=(Exchange("GET", "http://127.0.0.1:4000/", 200, at(1), 0.1),), contacts=contacts)
    traffic = [text for _, text in told(one) if "traffic" in text]
    assert traffic == ["other traffic with db:5432: 1,234 B sent, 7 B received over 1.00 s"]


def test_what_reached_a_stage_says_so(attempt, at):
    frames = [Frame(WS, "open", "received", at(1)), Frame(WS, "text", "received", at(2), 9, "agent_started")]
    moments = timeline(attempt(frames=(*frames, replace(frames[1], at=at(3)))), (), DEFAULT)
    assert [one.stages for one in moments if one.stages] == [("connected", "authenticated"), ("agent_started",)]


def test_a_log_entry_belongs_by_its_trace_or_else_by_the_time(attempt, entry):
    one = attempt()
    assert joined_by(entry(99), one) == "trace"
    assert joined_by(entry(5, trace_id="another", tests=(one.id,)), one) is None
    assert joined_by(entry(5, trace_id=None, tests=(one.id,)), one) == "time"
    assert joined_by(entry(5, trace_id=None, tests=("t::other",)), one) is None
    assert joined_by(entry(60, trace_id=None, tests=(one.id,)), one) is None


def test_a_clock_that_is_behind_is_noticed(attempt, entry):
    one = attempt()
    assert clock_behind_s(one, timeline(one, [entry(-0.4), entry(3)])) == pytest.approx(0.4)
    assert clock_behind_s(one, timeline(one, [entry(0.1)])) == 0


def test_the_rows_are_json_with_offsets_and_stages_of_their_own(attempt, at, entry):
    one = attempt(frames=(Frame(WS, "open", "received", at(1.5)),))
    rows = timeline_rows(one, timeline(one, [entry(2, "a\nb")], DEFAULT))
    assert json.loads(json.dumps(rows)) == rows
    assert [(row["offset_s"], row["source"], row["kind"], row["text"]) for row in rows] == [
        (0.0, "test", "begin", "begins on gw0"),
        (1.5, "wire", "open", "WebSocket /ws is open"),
        (1.5, "wire", "stage", "connected"),
        (1.5, "wire", "stage", "authenticated"),
        (2.0, "server", "log", "INFO a\nb"),
        (10.0, "test", "end", "ends: passed"),
    ]
    assert rows[4]["detail"]["joined"] == "trace"
    assert set(rows[0]) == {"at", "offset_s", "source", "kind", "text", "detail"}


def test_whatever_a_service_or_a_test_says_is_harmless(result, at, entry):
    evil = "::error::x\x1b[2J\u202e"
    left = Evidence(
        exchanges=(Exchange("GET", f"http://h/{evil}", 500, at(1), 0.1, body=evil),),
        frames=(
            Frame(WS, "text", "received", at(2), 9, evil, text=evil),
            Frame(WS, "close", "received", at(3), reason=evil),
        ),
        children=(Child(evil, at(1)),),
        contacts=(Contact(evil, 1, 1, 1, at(1), at(1)),),
    )
    one = result(outcome="failed", evidence=left, worker=evil, message=evil)
    texts = [
        line for item in timeline(one, [entry(1, f"{evil}\n{evil}", severity=evil)]) for line in (item.text, *item.more)
    ]
    assert not any("\x1b" in text or "\u202e" in text or text.lstrip().startswith("::") for text in texts)


def test_by_what_an_entry_was_joined_is_said(attempt: Callable[..., Result], entry: Callable[..., LogEntry]) -> None:
    item = attempt()
    named = entry(1, "starting run-0001", trace_id=None, tests=(item.id,), joined="user")
    assert joined_by(named, item) == "user"
    (moment,) = [one for one in timeline(item, [named]) if one.source == "server"]
    assert moment.text.endswith("[by its user]")
    assert (moment.sure, moment.detail["joined"]) == (False, "user")
