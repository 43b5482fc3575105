"""What the commands that only look show to people: values that a rich console can print, on a terminal or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from netra_loop.clock import from_rfc3339
from netra_loop.core.events import Recorded
from netra_loop.core.records import Finding, LogEntry, Result, TierVerdict
from netra_loop.report import phrases
from netra_loop.report.grid import STYLES, Column, Grid
from netra_loop.report.safe import safe_line
from netra_loop.report.view import SessionView


def show(renderable: RenderableType, stream: TextIO) -> None:
    """Prints on `stream`: drawn and folded for a terminal; elsewhere plain, no line ever cut or wrapped."""
    console = Console(file=stream)
    if console.is_terminal:
        console.print(renderable)
    else:
        Console(file=stream, no_color=True, color_system=None).print(renderable, soft_wrap=True)


def sessions(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """A table of `rows.session_row`s, or whole `status_row`s."""
    columns = [Column("SESSION"), Column("STATE"), Column("ENVIRONMENT"), Column("ITERATION", right=True)]
    return Grid(
        [*columns, Column("PHASE"), Column("STARTED"), Column("UPDATED")],
        [
            [
                safe_line(row["session"]),
                safe_line(row["state"]),
                safe_line(row["environment"]),
                str(row["iteration"]),
                safe_line(row["phase"] or ""),
                _when(from_rfc3339(row["started_at"])),
                _when(from_rfc3339(row["updated_at"])),
            ]
            for row in rows
        ],
        empty="no session yet; start one with: netra-loop run LOOP",
    )


def status(view: SessionView, findings: Sequence[Finding] = ()) -> Group:
    """One session now: facts, tiers, findings (their counts, and each that is given), verdict."""
    revisions = ", ".join(
        f"{service}: {name}" + (f" at {view.urls[service]}" if service in view.urls else "")
        for service, name in view.revisions.items()
    )
    at = f"iteration {view.iteration}" + (f", phase {view.phase}" if view.phase else "")
    facts = [
        ("session", view.session),
        ("loop", f"{view.loop} in environment {view.environment}"),
        ("stands at", at),
        *(("", line) for line in view.waits),
        ("started", _when(view.started_at)),
        ("updated", _when(view.updated_at)),
        ("revisions", revisions or "none"),
        ("tests", phrases.tests(view.tests)),
        ("findings", _counts(view.findings) or "none"),
        ("logs", f"{phrases.counted(view.log_entries, 'entry', 'entries')}{_complete(view)}"),
        *([("errors", view.errors)] if view.errors else []),
        *(("fixers" if place == 0 else "", said) for place, said in enumerate(phrases.scores(view.scores))),
        *(("commits" if place == 0 else "", said) for place, said in enumerate(view.commits)),
    ]
    parts: list[RenderableType] = [_line(f"{name:<10} {safe_line(value)}") for name, value in facts]
    if view.tiers:
        parts += [Text(), tiers(view.tiers)]
    if findings:
        parts += [Text(), *(_line(f"  {phrases.finding(item)}") for item in phrases.in_order(findings))]
    if view.regressed:
        parts += [Text(), *map(_line, phrases.regressions(view))]
    if view.earlier:
        parts += [Text(), _line(f"  {safe_line(view.earlier)}")]
    return Group(*parts, Text(), _line(phrases.verdict(view), STYLES.get(view.state, "bold")))


def tiers(verdicts: Sequence[TierVerdict]) -> Grid:
    """Tiers held against their thresholds; passes on retry where there are any, or a tier bounds them."""
    columns = [Column("TIER"), Column("SELECTED", right=True), Column("FAILURES", right=True)]
    columns += [Column("RATE", right=True), Column("ALLOWED", right=True)]
    retried = any(tier.flaky or tier.max_flaky is not None for tier in verdicts)
    if retried:
        columns += [Column("FLAKY", right=True), Column("ALLOWED", right=True)]
    rows = []
    for tier in verdicts:
        row = [safe_line(tier.name), str(tier.selected), str(tier.failures)]
        row += [phrases.percent(tier.failure_rate), phrases.percent(tier.max_failures)]
        if retried:
            row += [str(tier.flaky), "any" if tier.max_flaky is None else phrases.percent(tier.max_flaky)]
        rows.append([*row, "met" if tier.met else "unmet"])
    return Grid([*columns, Column("VERDICT")], rows)


def results(found: Sequence[Result], why: Mapping[tuple[int, str], str] | None = None, *, headed: bool = True) -> Grid:
    """Every attempt, a test's own one below another, the tests in the order of their starts. With `why`, by iteration
    and id, a column says why each was selected, and where in the order. Not `headed`: it goes on from one before.
    """
    columns = [
        Column("OUTCOME"),
        Column("TIER"),
        Column("ITERATION", right=True, short="IT"),
        Column("TRY", right=True),
    ]
    columns += [Column("DURATION", right=True), Column("AUTHENTICITY", short="SEEN AS"), Column("TEST", fold=True)]
    columns += [Column("MESSAGE", fold=True)]
    first: dict[tuple[int, str], Result] = {}
    began: dict[tuple[int, str], datetime] = {}
    for item in sorted(found, key=lambda item: item.attempt):
        key = (item.iteration, item.id)
        began[key] = min(item.started_at, began.get(key, item.started_at))
        if item.outcome.is_failure:
            first.setdefault(key, item)
    rows = []
    for item in sorted(found, key=lambda item: (item.iteration, began[item.iteration, item.id], item.id, item.attempt)):
        key = (item.iteration, item.id)
        said = item.message or ", ".join(item.reasons)
        if item.flaky and key in first:
            said = f"passed on retry{phrases.failed_first(first[key])}"
        said = "; ".join(filter(None, (phrases.not_counted(item), said)))
        row = [
            item.outcome.value + (" flaky" if item.flaky else ""),
            safe_line(item.tier or ""),
            str(item.iteration),
            str(item.attempt),
            phrases.duration(item.duration_s),
            item.authenticity.value,
            safe_line(item.id),
            safe_line(said, phrases.MESSAGE_MAX),
        ]
        rows.append(row if why is None else [*row, safe_line(why.get(key, ""))])
    columns += [] if why is None else [Column("WHY", fold=True)]
    return Grid(columns, rows, empty="no test has ended yet", below=1 if why is None else 2, headed=headed)


def findings(found: Sequence[Finding]) -> Grid:
    """The findings, open ones first."""
    columns = [Column("ID"), Column("STATE"), Column("CAUSE"), Column("SYMPTOM"), Column("SINCE", right=True)]
    return Grid(
        [*columns, Column("TESTS", right=True), Column("TITLE", fold=True), Column("ROOT CAUSE", fold=True)],
        [
            [
                safe_line(item.id),
                item.state.value,
                item.cause.value,
                item.symptom.value,
                str(item.first_iteration),
                str(len(item.tests)),
                safe_line(item.title, phrases.MESSAGE_MAX),
                phrases.place(item.root_cause) if item.root_cause else "",
            ]
            for item in phrases.in_order(found)
        ],
        empty="no findings",
        below=1,
    )


def logs(entries: Sequence[LogEntry], read: int | None = None) -> Grid:
    """Log entries as they came; they are those asked for of `read` entries. None: of as many as they are."""
    others = len(entries) if read is None else read
    return Grid(
        [Column("TIME"), Column("SEVERITY"), Column("LOG"), Column("REVISION"), Column("MESSAGE", fold=True)],
        [
            [
                _when(entry.timestamp, clock_only=True),
                safe_line(entry.severity),
                safe_line(entry.log),
                safe_line(entry.revision),
                safe_line(entry.message, 1000),
            ]
            for entry in entries
        ],
        empty=f"none of these among the {others} log entries that were read" if others else "no log entry was read",
    )


def journal(recorded: Sequence[Recorded]) -> Grid:
    """Every transition, in order."""
    return Grid(
        [
            Column("SEQ", right=True),
            Column("AT"),
            Column("ITERATION", right=True),
            Column("PHASE"),
            Column("EVENT"),
            Column("WHAT", fold=True),
        ],
        [
            [
                str(item.seq),
                _when(item.at),
                str(item.event.iteration),
                safe_line(item.event.phase or ""),
                item.event.kind,
                phrases.event(item.event),
            ]
            for item in recorded
        ],
    )


# ---------------------------------------------------------------------------------------------------- pieces


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style)


def _when(at: datetime, *, clock_only: bool = False) -> str:
    """A UTC instant for people; log entries need their milliseconds more than their day."""
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" if clock_only else f"{at:%Y-%m-%d %H:%M:%SZ}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)


def _complete(view: SessionView) -> str:
    return ", complete" if view.logs_complete else ", not complete"
