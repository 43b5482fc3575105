"""A session as the summary of a GitHub Actions job: Markdown in which nothing that a test or a log says is markup.

Whatever was not written by netra-loop itself stands in a code span: no HTML, link, image, mention or reference to an
issue is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from netra_loop.core.records import Authenticity, Finding, Result, TierVerdict
from netra_loop.report import phrases
from netra_loop.report.safe import safe_line
from netra_loop.report.view import SessionView
from netra_loop.values import dataclass

LIMIT = 250_000  # bytes
_FINDINGS = 50
_TESTS = 100
_WORDS = {"met": "goal met"}
_MET = {True: "met", False: "**unmet**"}
_BACKTICKS = re.compile("`+")


@dataclass(frozen=True)
class Told:
    """What the summary and the annotations tell of. `findings` are those of the iteration that `view` shows; `failing`
    its tests that failed or passed without being real, by the attempt that counts, not more than can be told; `failed`
    is how many there are.
    """

    view: SessionView
    findings: Sequence[Finding]
    failing: Sequence[Result]
    failed: int


def summary(told: Told, limit: int = LIMIT) -> str:
    """The Markdown, at most `limit` bytes of UTF-8 long: what does not fit is left out from the end, by whole lines."""
    lines = [*_head(told.view), *_tiers(told.view.tiers), *_regressed(told.view), *_findings(told), *_tests(told)]
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > limit - 200:
            folded = any(line.startswith("<details>") for line in kept) and "</details>" not in kept
            kept += ["", *(["</details>", ""] if folded else [])]
            kept += ["The rest is left out, for its length: " + code(_command(told.view, "results"))]
            break
        kept.append(line)
    return "\n".join(kept) + "\n\n"


def code(text: str, limit: int = phrases.MESSAGE_MAX) -> str:
    """`text` as it is, on one line: a code span, good in a table too."""
    line = safe_line(text, limit)
    if not line:
        return ""
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}".replace("|", "\\|")


def _head(view: SessionView) -> list[str]:
    verdict = _WORDS.get(view.state, view.state)
    ended = f", exit {view.exit_code}" if view.exit_code is not None else ""
    where = f"iteration {view.iteration}" + (f", phase {code(view.phase)}" if view.phase else "")
    lines = [
        f"### netra-loop: {code(view.loop)} {verdict}{ended}",
        "",
        *([f"Why: {code(view.reason, 2 * phrases.MESSAGE_MAX)}", ""] if view.reason else []),
        f"Session {code(view.session)}, environment {code(view.environment)}, {where}.",
        "",
        f"Tests: {phrases.tests(view.tests)}.",
        "",
    ]
    logs = f"Logs: {phrases.counted(view.log_entries, 'entry', 'entries')}"
    if view.log_entries or view.logs_complete:
        lines += [f"{logs}, {'complete' if view.logs_complete else 'not complete'}.", ""]
    if view.revisions:
        lines += ["Revisions: " + ", ".join(code(f"{name}: {r}") for name, r in view.revisions.items()) + ".", ""]
    if view.scores:
        lines += ["Fixers: " + ", ".join(code(said) for said in phrases.scores(view.scores)) + ".", ""]
    if view.waits:
        lines += [f"It {code(view.waits[0], 2 * phrases.MESSAGE_MAX)}.", ""]
    if view.state in {"paused", "failed", "running"}:
        before = f"Go on with it ({view.first}):" if view.first else "Go on with it:"
        lines += [before, "", "```sh", safe_line(view.resume), "```", ""]
    return lines


def _tiers(tiers: Sequence[TierVerdict]) -> list[str]:
    if not tiers:
        return []
    rows = ((code(t.name), str(t.selected), str(t.failures), *_rates(t), _MET[t.met]) for t in tiers)
    return [*_table(("tier", "selected", "failed", "rate", "allowed", ""), rows), ""]


def _rates(tier: TierVerdict) -> tuple[str, str]:
    return phrases.percent(tier.failure_rate), phrases.percent(tier.max_failures)


def _regressed(view: SessionView) -> list[str]:
    rows = [(code(test), code(stood)) for test, stood in view.regressed.items()]
    return ["#### Regressions", "", *_table(("test", "how it stood before"), rows), ""] if rows else []


def _findings(told: Told) -> list[str]:
    found = phrases.in_order(told.findings)
    if not found:
        return [f"{safe_line(told.view.earlier)}.", ""] if told.view.earlier else []
    rows = (
        (code(f.id), f.state.value, f"{f.symptom.value} ({f.cause.value})", str(len(f.tests)), code(f.title), _place(f))
        for f in found[:_FINDINGS]
    )
    more = _more(len(found) - _FINDINGS, "findings", told.view)
    return ["#### Findings", "", *_table(("", "state", "symptom", "tests", "what", "where"), rows), *more, ""]


def _tests(told: Told) -> list[str]:
    if not told.failed:
        return []
    rows = (
        (code(t.id), code(t.tier or ""), _outcome(t), code(t.message or ", ".join(t.reasons)))
        for t in told.failing[:_TESTS]
    )
    more = _more(told.failed - min(len(told.failing), _TESTS), "tests", told.view)
    title = f"<details><summary>{phrases.counted(told.failed, 'test')} that failed or are fake</summary>"
    return [title, "", *_table(("test", "tier", "outcome", "message"), rows), *more, "", "</details>", ""]


def _outcome(result: Result) -> str:
    said = f"{result.outcome.value}, but fake" if result.authenticity is Authenticity.FAKE else result.outcome.value
    return ", ".join(filter(None, (said, phrases.not_counted(result))))


def _place(finding: Finding) -> str:
    return code(phrases.place(finding.root_cause)) if finding.root_cause else ""


def _more(left: int, what: str, view: SessionView) -> list[str]:
    return ["", f"And {left} more {what}: {code(_command(view, 'findings' if what == 'findings' else 'results'))}"] * (
        left > 0
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _command(view: SessionView, name: str) -> str:
    return f"{view.command} {name} {view.session}"
