"""One test, told to whoever has to find out what happened: each attempt with its facts, its timeline, its texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from netra_loop.clock import rfc3339
from netra_loop.core.joining import OR_NEARLY
from netra_loop.core.records import Authenticity, Child, Contact, LogEntry, Result, Selected
from netra_loop.core.stages import Stage
from netra_loop.report import phrases
from netra_loop.report.folding import Item, LeftOut, Quiet, Repeated, fold
from netra_loop.report.grid import STYLES, Ledger
from netra_loop.report.rows import result_row
from netra_loop.report.safe import safe_line, safe_text
from netra_loop.report.timeline import TEXT_MAX, Moment, clock_behind_s, timeline, timeline_rows
from netra_loop.values import dataclass

_HEAD_LINES, _TAIL_LINES = 2, 10  # of a log entry: what it says, and the end of its stack trace
_BEHIND_S = 0.005  # from here on a clock is worth a word
_WIDE_S = 0.01
_STYLES = {"bad": "red", "odd": "yellow", "test": "cyan", "server": "magenta", "wire": ""}


@dataclass(frozen=True)
class OneTest:
    """All that is stored of one test: `attempts` in order, and by iteration its place in the selection, how many were
    selected, and the log entries. `stages` are the loop's; empty where its file can no longer be read.
    """

    attempts: Sequence[Result]
    selected: Mapping[int, Selected] = field(default_factory=dict)
    of: Mapping[int, int] = field(default_factory=dict)
    entries: Mapping[int, Sequence[LogEntry]] = field(default_factory=dict)
    stages: Sequence[Stage] = ()

    def timeline(self, attempt: Result) -> list[Moment]:
        """The moments of one of the attempts."""
        return timeline(attempt, self.entries.get(attempt.iteration, ()), self.stages)

    def why(self, attempt: Result) -> str | None:
        """Why the test was selected in that iteration, and where in the order; None where that was not stored."""
        chosen = self.selected.get(attempt.iteration)
        return None if chosen is None else chosen.reason


def one_test_rows(test: OneTest) -> Iterator[dict[str, Any]]:
    """The attempts as JSON: the contract's row, and behind it `why`, `placed`, whom the test talked to (`contacts`),
    what stood in for a client (`mocked`), its programs (`children`), `timeline`, `traceback` and `output`.
    """
    for item in test.attempts:
        yield {
            **result_row(item),
            "why": test.why(item),
            "placed": item.placed or None,
            "contacts": [_contact_row(one) for one in item.evidence.contacts],
            "mocked": list(item.evidence.mocked),
            "children": [_child_row(one) for one in item.evidence.children],
            "timeline": timeline_rows(item, test.timeline(item)),
            "traceback": item.traceback,
            "output": item.output,
        }


def _contact_row(contact: Contact) -> dict[str, Any]:
    return {
        "host": contact.host,
        "port": contact.port,
        "sent": contact.sent,
        "received": contact.received,
        "first_at": rfc3339(contact.first_at),
        "last_at": rfc3339(contact.last_at),
        **({} if contact.thread is None else {"thread": contact.thread}),
    }


def _child_row(child: Child) -> dict[str, Any]:
    return {"program": child.program, "at": rfc3339(child.at), "shared": child.shared, "apart": child.apart}


def one_test(test: OneTest) -> Group:
    """The test for people, an attempt after the other."""
    parts: list[RenderableType] = [Text(safe_line(test.attempts[0].id), "bold")] if test.attempts else []
    for item in test.attempts:
        moments = test.timeline(item)
        rows = [_row(one, item) for one in fold(moments)]
        parts += [
            Text(),
            Text(_head(item, test.attempts), STYLES.get(item.outcome.value, "bold")),
            Ledger([((name, safe_line(value)), "") for name, value in _facts(item, test, moments) if value]),
            Text(),
            Ledger(rows, right=frozenset({0})),
        ]
        if any(not one.sure for one in moments):
            parts.append(Text(f"  server? : no trace says so, it was logged while the test ran{OR_NEARLY}", "dim"))
        for name, text in (("message", item.message), ("traceback", item.traceback), ("output", item.output)):
            if text:
                said = safe_text(text.strip("\n")).replace("\t", "    ")
                parts += [Text(), Text(f"  {name}", "bold"), Ledger([((said,), "")], indent=4)]
    return Group(*parts)


# ------------------------------------------------------------------------------------------------------------ the head


def _head(item: Result, attempts: Sequence[Result]) -> str:
    """`iteration 2, attempt 1 of 2: failed in 7.02 s`; of a pass on retry that it was one, and what came before;
    of what does not count, that and why.
    """
    tries = [one for one in attempts if one.iteration == item.iteration]
    of = f" of {len(tries)}" if len(tries) > 1 else ""
    took = f"iteration {item.iteration}, attempt {item.attempt}{of}: {_outcome(item)} in "
    flaky = ""
    if item.flaky:
        failed = [one for one in tries if one.attempt < item.attempt and one.outcome.is_failure]
        flaky = f", flaky: passed only on retry{phrases.failed_first(failed[0]) if failed else ''}"
    uncounted = phrases.not_counted(item)
    behind = f"{flaky}{', ' if uncounted else ''}{uncounted}"
    return safe_line(f"{took}{phrases.duration(item.duration_s)}{behind}", TEXT_MAX)


def _outcome(item: Result) -> str:
    doubted = item.authenticity in {Authenticity.FAKE, Authenticity.SUSPECT}
    said = item.outcome.value.upper()
    return f"{said}, but {item.authenticity.value.upper()}" if doubted else said


def _facts(item: Result, test: OneTest, moments: Sequence[Moment]) -> list[tuple[str, str]]:
    chosen = test.selected.get(item.iteration)
    of = test.of.get(item.iteration)
    place = f"; number {chosen.position + 1} of {of} in the order" if chosen and of else ""
    behind = clock_behind_s(item, moments)
    reasons = f": {', '.join(item.reasons)}" if item.reasons else ""
    evidence = item.evidence
    hosts = [_talked_to(one, item) for one in evidence.contacts]
    programs = [_program(one, item) for one in evidence.children]
    return [
        ("tier", item.tier or ""),
        ("selected", f"{chosen.reason}{place}" if chosen else ""),
        ("run", item.placed),
        ("fixtures", f"{item.wider_s:.3g} s went to fixtures it shares" if item.wider_s >= _WIDE_S else ""),
        ("worker", f"{item.worker}, started {item.started_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"),
        ("revision", item.revision or "none"),
        ("trace", item.trace_id),
        ("authenticity", f"{item.authenticity.value}{reasons}"),
        ("stage", _stage(item, test.stages)),
        ("symptom", item.symptom.value if item.symptom else ""),
        ("talked to", "; ".join(hosts) or "nobody"),
        ("patched", ", ".join(evidence.mocked)),
        ("programs", "; ".join(programs)),
        ("clocks", f"the server's is at least {behind:.3f} s behind the test's" if behind >= _BEHIND_S else ""),
    ]


def _talked_to(contact: Contact, item: Result) -> str:
    first, last = _offset(item, contact.first_at), _offset(item, contact.last_at)
    when = f"at {first}" if first == last else f"{first} to {last}"
    whose = "" if contact.thread is None else f", by thread {safe_line(contact.thread)}, which ran before"
    return f"{contact.host}:{contact.port} ({contact.sent:,} B sent, {contact.received:,} B received, {when}{whose})"


def _program(child: Child, item: Result) -> str:
    if child.shared:
        return f"{child.program} (of a shared fixture, which started it before)"
    whose = " by the end of a shared fixture" if child.apart else ""
    return f"{child.program} (started at {_offset(item, child.at)}{whose})"


def _stage(item: Result, stages: Sequence[Stage]) -> str:
    """The furthest stage, and the one that was not reached any more."""
    names = [stage.name for stage in stages]
    if item.stage is None:
        return "none" + (f"; the first would be {names[0]}" if names else "")
    if item.stage not in names:
        return item.stage
    number = names.index(item.stage) + 1
    missed = f"; never reached {names[number]}" if number < len(names) else ", the last"
    return f"{item.stage}, {number} of {len(names)}{missed}"


# -------------------------------------------------------------------------------------------------------- the timeline


def _row(item: Item, attempt: Result) -> tuple[tuple[str, str, str], str]:
    match item:
        case Quiet():
            return ("", "", f"… {item.seconds:.1f} s of silence"), "yellow"
        case Repeated():
            lines = "this" if item.moments == 1 else f"these {item.moments} lines"
            when = _offset(attempt, item.until)
            return ("", "", f"… {lines} {phrases.counted(item.times, 'more time')}, until {when}"), "dim"
        case LeftOut():
            return ("", "", f"… {item.moments} moments left out; all of them: --json"), "dim"
        case Moment():
            reached = f"  [stage {safe_line(', '.join(item.stages))}]" if item.stages else ""
            text = "\n".join((item.text[:TEXT_MAX].replace("\t", "    ") + reached, *_shortened(item)))
            who = item.source if item.sure else f"{item.source}?"
            return (_offset(attempt, item.at), who, text), _STYLES[item.mark or item.source]


def _shortened(item: Moment) -> list[str]:
    """The further lines: of many the first and the last, which name what was raised and where."""
    lines = [line for line in item.more if line.strip(" ^~")]  # Python's marks under a line of source
    if len(lines) > _HEAD_LINES + _TAIL_LINES:
        left = len(lines) - _HEAD_LINES - _TAIL_LINES
        lines[_HEAD_LINES:-_TAIL_LINES] = [f"  … {phrases.counted(left, 'line')} left out"]
    return [f"  {line[:TEXT_MAX]}".replace("\t", "    ") for line in lines]


def _offset(attempt: Result, at: datetime) -> str:
    return f"{(at - attempt.started_at).total_seconds():+.3f} s"
