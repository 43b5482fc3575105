"""pytest's reports of one test, told as one outcome, with the words that pytest's terminal counts by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .collection import skip_reason, text_of
from .cuts import cut
from .wire import Message, clean

SIDE = 64 * 1024  # characters kept of the head, and as many of the tail
_SLACK = 1000  # what was cut before, with a heading and the note of the cut, is not cut again
_LINE = 2000  # characters of a message
_NAMES = 10  # failed subtests that a message names, and the characters of each name
_NAME = 100
_AGAIN = ("rerun", "retried")


def capped(text: str, side: int = SIDE) -> str:
    """`text`, its middle left out and counted where it is longer than two sides."""
    if len(text) <= 2 * side + _SLACK:
        return text
    left = len(text) - 2 * side
    return f"{text[:side]}\n[... {left} of {len(text)} characters left out ...]\n{text[-side:]}"


def judge(reports: Iterable[Any], config: Any) -> Message:
    """The outcome, one line of message, the long text, what was printed, the seconds it took, and how often a plugin of
    the suite ran the test again. What pytest did not report to have passed is no pass.
    """
    known = [(report, _category(report, config)) for report in reports]
    outcome, telling = _outcome(known)
    reran = [report for report, category in known if _was_rerun(report, category)]
    return {
        "outcome": outcome,
        "message": _message(outcome, telling, known, reran),
        "traceback": capped(_traceback(known)),
        "output": capped(_output([report for report, _ in known])),
        "duration": sum(report.duration for report, _ in known if not _is_subtest(report)),
        "reran": len(reran),
    }


def _category(report: Any, config: Any) -> str:
    try:
        return str(config.hook.pytest_report_teststatus(report=report, config=config)[0])
    except Exception:
        return str(report.outcome)


def _is_subtest(report: Any) -> bool:
    return hasattr(report, "context")


def _was_rerun(report: Any, category: str) -> bool:
    # the words of pytest-rerunfailures and pytest-retry for an attempt that does not count
    return not report.failed and (category in _AGAIN or report.outcome in _AGAIN)


def _is_failure(report: Any, category: str, wanted: str) -> bool:
    """Whether the terminal counts it as `wanted`, or, under a name of a plugin's own, pytest's exit code does."""
    if category in ("failed", "error"):
        return category == wanted
    return report.failed and not hasattr(report, "wasxfail") and (report.when == "call") == (wanted == "failed")


def _outcome(known: list[tuple[Any, str]]) -> tuple[str, Any]:
    for wanted in ("failed", "error"):
        for report, category in known:
            if _is_failure(report, category, wanted):
                return wanted, report
    for report, category in reversed(known):  # the last call counts where a plugin ran the test again
        if _is_subtest(report) or report.when == "teardown" or _was_rerun(report, category):
            continue
        if category in ("xfailed", "xpassed", "skipped"):
            return category, report
        if report.skipped:
            return "xfailed" if hasattr(report, "wasxfail") else "skipped", report
        if report.when == "call" and report.passed:
            return "passed", report
    return "error", None


def _message(outcome: str, report: Any, known: list[tuple[Any, str]], reran: list[Any]) -> str | None:
    if report is None:
        return "pytest reported no call of this test, so it was not seen to pass"
    if outcome == "passed":
        return _line(f"passed when its suite ran it again; before: {_crash(reran[0])}") if reran else None
    if outcome == "skipped":
        return _line(skip_reason(report))
    if outcome in ("xfailed", "xpassed"):
        return _line(str(getattr(report, "wasxfail", "")))
    text = _line(_crash(report)) or ""
    if outcome == "error":
        return f"{report.when}: {text}"
    parts = [part for part, category in known if _is_subtest(part) and _is_failure(part, category, "failed")]
    return (f"{text} [failed subtests: {_named(parts)}]" if parts else text) or None


def _line(text: str) -> str | None:
    lines = clean(text).strip().splitlines()
    return cut(lines[0], _LINE) if lines else None


def _crash(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)
    places = getattr(report.longrepr, "reprlocation_lines", None)
    return _last_line(text_of(report)) if not places else f"{places[0][0].message}: {_example(places[0][1])}"


def _example(lines: list[str]) -> str:
    """What was wrong with a doctest's example, out of its report."""
    for number, line in enumerate(lines):
        if line.startswith("Expected"):
            return " ".join(" ".join(lines[number:]).split())
        if line.startswith("UNEXPECTED EXCEPTION"):
            return line
    return _last_line("\n".join(lines))


def _named(subtests: list[Any]) -> str:
    names = [" ".join(clean(_subtest_name(report.context)).split())[:_NAME] for report in subtests[:_NAMES]]
    left = len(subtests) - len(names)
    return ", ".join(names) + (f" and {left} more" if left else "")


def _subtest_name(context: Any) -> str:
    parts = [] if context.msg is None else [f"[{context.msg}]"]
    values = ", ".join(f"{name}={value}" for name, value in context.kwargs.items())
    return " ".join([*parts, f"({values})"] if values or not parts else parts)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else text


def _traceback(known: list[tuple[Any, str]]) -> str:
    told = [(report, _was_rerun(report, category)) for report, category in known]
    told = [(report, again) for report, again in told if report.failed or (again and report.longrepr)]
    if len(told) < 2 and not any(again for _, again in told):
        return "".join(text_of(report) for report, _ in told)
    return "\n".join(f"---- {_heading(report, again)} ----\n{text_of(report)}" for report, again in told)


def _heading(report: Any, again: bool) -> str:
    if again:
        return f"{report.when}, before it was run again"
    return f"{report.when}, subtest {_subtest_name(report.context)}" if _is_subtest(report) else str(report.when)


def _output(reports: list[Any]) -> str:
    # a report repeats the sections of those before it
    seen: dict[tuple[str, str], None] = {}
    for report in reports:
        for name, text in getattr(report, "sections", ()):
            seen[(name, text)] = None
    return "".join(f"---- {name} ----\n{_ended(clean(text))}" for name, text in seen)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
