"""Whatever a test, a service or a log says, in whatever field of whatever record: no terminal or CI log takes harm."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from netra_loop.core import events as ev
from netra_loop.core.past import Fixed, Past
from netra_loop.core.records import AttemptStarted, Child, Contact, Finding, LogEntry, Result, Selected, TierVerdict
from netra_loop.core.stages import DEFAULT
from netra_loop.report import error_groups, one_test, render
from netra_loop.report.console import LiveConsole, PlainConsole
from netra_loop.report.explained import explained
from netra_loop.report.one_test import OneTest
from netra_loop.report.view import SessionView

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    "::set-output name=x::y",
                    "::",
                    ":",
                    "##[group]",
                    "##vso[task.x]",
                    "##",
                    "#",
                    "[error]",
                    "\n",
                    "\r",
                    "\r\n",
                ),
                *("\x1b[2J", "\x1b]0;t\x07", "\x9b31m", "\x00", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\u200f"),
                *("\ud800", "\U000e0041", "\ufeff", "[bold]", "[/]", " ", "\t", "a", "x" * 90, "\ufe0f", "日本"),
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=6,
).map("".join)
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
KEPT = {"outcome", "uses", "verdict"}  # names of ours, which no field of a record can hold otherwise
slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def poisoned(value: Any, text: str) -> Any:
    """The record with that text in the place of every other."""
    if isinstance(value, Enum) or value is None:
        return value
    if isinstance(value, str):
        return text
    if isinstance(value, Mapping):
        named = all(isinstance(item, str) for item in value.values()) and not {"id", "text"} & value.keys()
        return {poisoned(key, text) if named else key: poisoned(item, text) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(poisoned(item, text) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {one.name: poisoned(getattr(value, one.name), text) for one in fields(value) if one.name not in KEPT}
        return replace(value, **changed)
    return value


def assert_harmless(shown: str, *, terminal: bool = False) -> None:
    if terminal:
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)  # what the screen itself draws with
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", shown), ascii(shown)
    assert not set(shown) & set(BIDI), ascii(shown)
    assert "##[" not in shown, shown
    assert "##vso[" not in shown.lower(), shown
    if not terminal:  # where lines are folded, and nobody reads commands out of them
        assert not [line for line in shown.split("\n") if line.lstrip().startswith("::")], shown


def happenings() -> list[ev.Event]:
    where: dict[str, Any] = {"iteration": 1, "phase": "p", "attempt": 1}
    tier = {"name": "P1", "selected": 1, "failures": 1, "failure_rate": 1.0, "max_failures": 0.0, "met": False}
    return [
        ev.SessionStarted(loop="l", loop_file="f", loop_text="", environment="e", first_phase="p", vars={"a": "b"}),
        ev.SessionResumed(pid=1, host="h", vars={"a": "b"}),
        ev.PhaseStarted(uses="deploy", **where),
        ev.PhaseRecovered(progress=1, **where),
        ev.RevisionReady(service="s", revision="r", url="u", ws_url="w", tag="t", **where),
        ev.TrafficSeen(service="s", revision="r", change="c", created="n", tag="t", **where),
        ev.TrafficMoved(service="s", revision="r", why="promoted", **where),
        ev.ForeignSeen(service="s", expected="e", found="f", **where),
        ev.ImageBuilt(service="s", image="i", **where),
        ev.Adopted(what="w", name="n", **where),
        ev.Waited(why="w", seconds=3.0, **where),
        ev.AuthTried(method="m", ok=False, status=401, answer="a", **where),
        ev.TestsSelected(selected=1, collection_errors=({"id": "i", "text": "t"},), **where),
        ev.SourcesSeen(files={"f": "h"}, conftests={"f": ["c"]}, **where),
        ev.LogsRead(entries=1, cursor="c", complete=True, **where),
        ev.ErrorsBefore(service="s", revision="r", signatures=("s",), **where),
        ev.Noted(text="t", **where),
        ev.GoalJudged(outcome="unmet", tiers=(tier,), counts={"failed": 1}, reasons=("r",), **where),
        ev.PhaseFinished(outcome="failed", target="t", summary="s", facts={"output": "o", "log_lines": ["l"]}, **where),
        ev.SessionPaused(why="w"),
        ev.SessionFailed(exit_code=3, error="e", hint="h"),
        ev.SessionEnded(outcome="unmet", exit_code=1, reason="r"),
    ]


ENTRY = LogEntry(AT, "ERROR", "stdout", "s", "r", "m", trace_id="t", insert_id="i", tests=("t",), iteration=1)


@pytest.fixture
def failed(result: Callable[..., Result]) -> Result:
    item = result(
        outcome="failed", message="m", stage="agent_started", traceback="t", output="o", reasons=("r",), placed="p"
    )
    met = Contact("h", 1, 2, 3, AT, AT, thread="t")
    evidence = replace(item.evidence, contacts=(met,), mocked=("m",), children=(Child("c", AT),))
    return replace(item, evidence=evidence)


def print_of(renderable: Any) -> str:
    stream = io.StringIO()
    render.show(renderable, stream)
    return stream.getvalue()


@slow
@example("\n::error::x")
@example("##")
@given(HOSTILE)
def test_a_ci_log(clock: Any, failed: Result, finding: Finding, view: SessionView, text: str) -> None:
    stream = io.StringIO()
    console = PlainConsole(stream, clock, verbose=True)
    for happening in happenings():
        console.event(ev.Recorded(1, AT, poisoned(happening, text)))
    bad = poisoned(failed, text)
    console.plan(1)
    console.started(AttemptStarted(text, 1, 1, text, AT, text))
    console.finished(bad)
    console.finished(replace(bad, flaky=True, attempt=2))
    clock.passed_s += 20
    console.logged([poisoned(ENTRY, text)])
    console.progress(text)
    console.summary(poisoned(view, text), [poisoned(finding, text)])
    assert_harmless(stream.getvalue())


@slow
@given(HOSTILE)
def test_every_listing(failed: Result, finding: Finding, view: SessionView, text: str) -> None:
    bad, found, seen, entry = (poisoned(value, text) for value in (failed, finding, view, ENTRY))
    recorded = [ev.Recorded(1, AT, poisoned(happening, text)) for happening in happenings()]
    test = OneTest([bad], {1: Selected(text, text, 0, text)}, {1: 2}, {1: [entry]}, DEFAULT)
    session = dict.fromkeys(("session", "state", "environment", "phase"), text)
    times = {"started_at": "2026-11-21T04:00:00Z", "updated_at": "2026-11-21T04:00:00Z", "iteration": 1}
    group = dict.fromkeys(("id", "service", "title", "place"), text)
    counted = {"new": True, "count": 1, "first_at": times["started_at"], "last_at": times["started_at"], "iteration": 1}
    for renderable in (
        render.sessions([session | times]),
        render.status(seen, [found]),
        render.tiers([TierVerdict(text, 7, 2, 2 / 7, 0.0, met=False)]),
        render.results([bad], {(1, text): text}),
        render.findings([found]),
        explained([found], {found.id: Past(2, text, AT, text, Fixed(text, 1, text, text))}, text),
        render.logs([entry]),
        render.journal(recorded),
        one_test.one_test(test),
        error_groups.error_groups([group | counted | {"tests": [text]}]),
    ):
        assert_harmless(print_of(renderable))


@slow
@given(HOSTILE)
def test_a_screen(clock: Any, failed: Result, finding: Finding, view: SessionView, text: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30, legacy_windows=False)
    live = LiveConsole(console, clock)
    try:
        for happening in happenings()[:-3]:
            live.event(ev.Recorded(1, AT, poisoned(happening, text)))
        live.plan(2)
        live.started(AttemptStarted(text, 1, 1, text, AT, text))
        live.finished(poisoned(failed, text))
        live.logged([poisoned(ENTRY, text)])
        live.progress(text)
        console.print(live)
        live.summary(poisoned(view, text), [poisoned(finding, text)])
    finally:
        live.close()
    assert isinstance(console.file, io.StringIO)
    assert_harmless(console.file.getvalue(), terminal=True)
