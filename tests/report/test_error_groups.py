"""Tests of error groups as people and programs are shown them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

from netra_loop.core.error_groups import ErrorGroup
from netra_loop.core.events import ErrorsGrouped, Recorded
from netra_loop.report import phrases, render
from netra_loop.report.error_groups import error_groups, errors_told, group_rows, why_none

AT = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
KNOWN = ErrorGroup(
    service="backend",
    signature="server-error: boom",
    title="boom",
    count=3,
    first_at=AT,
    last_at=AT,
    severity="ERROR",
    example="boom",
    tests=("t",),
    new=False,
)
FRESH = replace(KNOWN, signature="server-error: bang", title="bang", count=1, new=True)


def grouped(*groups: ErrorGroup, iteration: int = 1, **more: object) -> ErrorsGrouped:
    return ErrorsGrouped(iteration=iteration, groups=tuple(one.row() for one in groups), **more)  # type: ignore[arg-type]


def test_the_last_word_on_an_iteration_counts() -> None:
    said = [grouped(KNOWN), grouped(FRESH), grouped(KNOWN, iteration=2)]
    recorded = [Recorded(seq, AT, event) for seq, event in enumerate(said, 1)]
    assert [(row["iteration"], row["title"]) for row in group_rows(recorded, None)] == [(1, "bang"), (2, "boom")]
    assert [row["title"] for row in group_rows(recorded, 2)] == ["boom"]


def test_new_ones_stand_first() -> None:
    out = StringIO()
    render.show(error_groups([{**one.row(), "iteration": 1} for one in (KNOWN, FRESH)]), out)
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines[1:]] == [FRESH.id, KNOWN.id]
    assert " new " in lines[1]
    assert " new " not in lines[2]


def test_a_line_says_how_many_and_how_many_are_new() -> None:
    event = grouped(KNOWN, FRESH, others={"backend": ["server-error: more"]})
    assert errors_told(event) == phrases.event(event) == "3 error groups, 1 new in this revision"
    assert (errors_told(None), errors_told(grouped())) == ("", "")


def test_where_none_is_shown_it_is_said_why() -> None:
    looked = [Recorded(1, AT, grouped(complete=True)), Recorded(2, AT, grouped(iteration=2, complete=False))]
    assert why_none(looked, 1, 0) == "no error is in the log entries that were read"
    assert why_none(looked, 2, 0) == "no error was read, but the logs are not complete"
    assert why_none(looked, 3, 0).startswith("nobody has looked")
    assert why_none(looked, 1, 5) == "none of these among the 5 error groups"
