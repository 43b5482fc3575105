"""What the commands that only look show to people: values that a rich console can print, on a terminal or elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from netra_loop.clock import from_rfc3339
from netra_loop.core.events import Recorded
from netra_loop.core.records import Exchange, Finding, Frame, LogEntry, Result, TierVerdict
from netra_loop.report import phrases
from netra_loop.report.grid import STYLES, Column, Grid
from netra_loop.report.safe import safe_line, safe_text
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
                row["state"],
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
        ("started", _when(view.started_at)),
        ("updated", _when(view.updated_at)),
        ("revisions", revisions or "none"),
        ("tests", phrases.tests(view.tests)),
        ("findings", _counts(view.findings) or "none"),
        ("logs", f"{phrases.counted(view.log_entries, 'entry', 'entries')}{_complete(view)}"),
    ]
    parts: list[RenderableType] = [_line(f"{name:<10} {safe_line(value)}") for name, value in facts]
    if view.tiers:
        parts += [Text(), tiers(view.tiers)]
    if findings:
        parts += [Text(), *(_line(f"  {phrases.finding(item)}") for item in phrases.in_order(findings))]
    return Group(*parts, Text(), _line(phrases.verdict(view), STYLES.get(view.state, "bold")))


def tiers(verdicts: Sequence[TierVerdict]) -> Grid:
    """Tiers held against their thresholds."""
    columns = [Column("TIER"), Column("SELECTED", right=True), Column("FAILURES", right=True)]
    return Grid(
        [*columns, Column("RATE", right=True), Column("ALLOWED", right=True), Column("VERDICT")],
        [
            [
                safe_line(tier.name),
                str(tier.selected),
                str(tier.failures),
                phrases.percent(tier.failure_rate),
                phrases.percent(tier.max_failures),
                "met" if tier.met else "unmet",
            ]
            for tier in verdicts
        ],
    )


def results(found: Sequence[Result]) -> Grid:
    """Every attempt, in the order of their starts."""
    columns = [Column("OUTCOME"), Column("TIER"), Column("ITERATION", right=True), Column("TRY", right=True)]
    return Grid(
        [
            *columns,
            Column("DURATION", right=True),
            Column("AUTHENTICITY"),
            Column("TEST", fold=True),
            Column("MESSAGE"),
        ],
        [
            [
                item.outcome.value + (" flaky" if item.flaky else ""),
                safe_line(item.tier or ""),
                str(item.iteration),
                str(item.attempt),
                phrases.duration(item.duration_s),
                item.authenticity.value,
                safe_line(item.id),
                safe_line(item.message or ", ".join(item.reasons), phrases.MESSAGE_MAX),
            ]
            for item in sorted(found, key=lambda item: item.started_at)
        ],
        empty="no test has ended yet",
    )


def one_test(found: Sequence[Result]) -> Group:
    """All that one test left behind, attempt after attempt: its exchanges and frames on one time axis, its texts."""
    parts: list[RenderableType] = []
    for item in found:
        parts.append(_line(phrases.result(item), STYLES.get(item.outcome.value, "bold")))
        parts.append(_line(f"  iteration {item.iteration}, worker {item.worker}, started {_when(item.started_at)}"))
        parts.append(
            _line(f"  revision {item.revision or 'none'}, trace {item.trace_id}, stage {item.stage or 'none'}")
        )
        parts += [_line(f"  {line}") for line in _timeline(item)]
        for name, text in (("traceback", item.traceback), ("output", item.output)):
            if text:
                parts += [_line(f"  {name}:", "bold"), *(_line(f"    {line}") for line in _lines(text))]
        parts.append(Text())
    return Group(*parts)


def findings(found: Sequence[Finding]) -> Grid:
    """The findings, open ones first."""
    columns = [Column("ID"), Column("STATE"), Column("CAUSE"), Column("SYMPTOM"), Column("SINCE", right=True)]
    return Grid(
        [*columns, Column("TESTS", right=True), Column("TITLE", fold=True), Column("ROOT CAUSE", fold=True)],
        [
            [
                item.id,
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
    )


def logs(entries: Sequence[LogEntry]) -> Grid:
    """Log entries as they came."""
    return Grid(
        [Column("TIME"), Column("SEVERITY"), Column("LOG"), Column("REVISION"), Column("MESSAGE", fold=True)],
        [
            [
                _when(entry.timestamp, clock_only=True),
                entry.severity,
                entry.log,
                safe_line(entry.revision),
                safe_line(entry.message, 1000),
            ]
            for entry in entries
        ],
        empty="no log entry was read",
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


def _lines(text: str) -> Iterable[str]:
    return safe_text(text.rstrip("\n")).split("\n")


def _when(at: datetime, *, clock_only: bool = False) -> str:
    """A UTC instant for people; log entries need their milliseconds more than their day."""
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" if clock_only else f"{at:%Y-%m-%d %H:%M:%SZ}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)


def _complete(view: SessionView) -> str:
    return ", complete" if view.logs_complete else ", not complete"


def _timeline(item: Result) -> list[str]:
    """What the test did on the wire, each with its seconds from the test's start."""
    moments: list[tuple[datetime, str]] = [
        *((exchange.started_at, _exchange(exchange)) for exchange in item.evidence.exchanges),
        *((frame.at, _frame(frame)) for frame in item.evidence.frames),
    ]
    moments.sort(key=lambda moment: moment[0])
    wire = [f"{(at - item.started_at).total_seconds():+9.3f} s  {text}" for at, text in moments]
    return wire + [
        f"talked to {safe_line(contact.host)}:{contact.port}, {contact.sent} bytes sent, {contact.received} received"
        for contact in item.evidence.contacts
    ]


def _exchange(exchange: Exchange) -> str:
    answer = str(exchange.status) if exchange.status is not None else exchange.error or "no answer"
    body = f": {exchange.body}" if exchange.body else ""
    return safe_line(
        f"{exchange.method} {exchange.url} -> {answer} in {phrases.duration(exchange.duration_s)}{body}", 300
    )


def _frame(frame: Frame) -> str:
    arrow = "=>" if frame.direction == "sent" else "<="
    if frame.kind == "close":
        return safe_line(f"{arrow} close {frame.code or ''} {frame.reason or ''}")
    if frame.kind == "open":
        return safe_line(f"{arrow} open {frame.url}")
    return safe_line(f"{arrow} {frame.event or frame.kind} ({frame.size} bytes)")
