"""pytest's reports of one test, told as one outcome, with the words that pytest's terminal counts by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .collection import skip_reason, text_of
from .wire import Message, clean

SIDE = 64 * 1024  # characters kept of the head, and as many of the tail
_SLACK = 1000  # what was cut before, with a heading and the note of the cut, is not cut again


def capped(text: str, side: int = SIDE) -> str:
    """`text`, its middle left out and counted where it is longer than two sides."""
    if len(text) <= 2 * side + _SLACK:
        return text
    left = len(text) - 2 * side
    return f"{text[:side]}\n[... {left} of {len(text)} characters left out ...]\n{text[-side:]}"


def judge(reports: Iterable[Any], config: Any) -> Message:
    """The outcome, one line of message, the long text, what was printed, and the seconds it took."""
    known = [(report, _category(report, config)) for report in reports]
    outcome, telling = _outcome(known)
    return {
        "outcome": outcome,
        "message": _message(outcome, telling),
        "traceback": capped(_traceback(known)),
        "output": capped(_output([report for report, _ in known])),
        "duration": sum(report.duration for report, _ in known if not hasattr(report, "context")),
    }


def _category(report: Any, config: Any) -> str:
    try:
        return str(config.hook.pytest_report_teststatus(report=report, config=config)[0])
    except Exception:
        return str(report.outcome)


def _outcome(known: list[tuple[Any, str]]) -> tuple[str, Any]:
    for wanted in ("failed", "error"):
        for report, category in known:
            if category == wanted or (wanted == "failed" and report.failed and "fail" in category):
                return wanted, report
    for report, category in reversed(known):  # the last call counts where a plugin ran the test again
        if hasattr(report, "context") or report.when == "teardown":
            continue
        if category in ("xfailed", "xpassed", "skipped"):
            return category, report
        if report.when == "call":
            return "passed", report
    return "passed", None


def _message(outcome: str, report: Any) -> str | None:
    if report is None or outcome == "passed":
        return None
    if outcome == "skipped":
        text = skip_reason(report)
    elif outcome in ("xfailed", "xpassed"):
        text = str(getattr(report, "wasxfail", ""))
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash is not None else _last_line(text_of(report))
        if outcome == "error":
            text = f"{report.when}: {text}"
    lines = clean(str(text)).strip().splitlines()
    return lines[0][:2000] if lines else None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else text


def _traceback(known: list[tuple[Any, str]]) -> str:
    failed = [report for report, category in known if report.failed and category != "rerun"]
    texts = [text_of(report) for report in failed]
    if len(texts) < 2:
        return "".join(texts)
    return "\n".join(f"---- {report.when} ----\n{text_of(report)}" for report in failed)


def _output(reports: list[Any]) -> str:
    # a report repeats the sections of those before it
    seen: dict[tuple[str, str], None] = {}
    for report in reports:
        for name, text in getattr(report, "sections", ()):
            seen[(name, text)] = None
    return "".join(f"---- {name} ----\n{_ended(clean(text))}" for name, text in seen)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
