"""What a fixer is handed: the findings in order of impact, with what their tests said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netra_loop.core.records import Cause, Finding, FindingState, Result

_FOR_FIXERS = {Cause.PRODUCT, Cause.TEST, Cause.UNKNOWN}
_TAIL = 2_000  # characters of a traceback: its end names the failure


def brief_json(session: str, iteration: int, findings: Sequence[Finding], results: Sequence[Result]) -> dict[str, Any]:
    """The brief as plain JSON values. Findings only the environment or a deploy can mend are counted, not listed.

    `results` are all attempts in order; of each test the last failed one speaks."""
    telling: dict[str, Result] = {}
    for result in results:
        if result.outcome.is_failure or result.id not in telling:
            telling[result.id] = result
    open_ones = [finding for finding in findings if finding.state is not FindingState.FIXED]
    listed = [finding for finding in open_ones if finding.cause in _FOR_FIXERS]
    return {
        "session": session,
        "iteration": iteration,
        "findings": [_finding(finding, telling) for finding in listed],
        "left_to_others": len(open_ones) - len(listed),
    }


def _finding(finding: Finding, telling: dict[str, Result]) -> dict[str, Any]:
    cause = finding.root_cause
    tests = [telling[test] for test in finding.tests if test in telling]
    return {
        "id": finding.id,
        "state": finding.state.value,
        "cause": finding.cause.value,
        "symptom": finding.symptom.value,
        "title": finding.title,
        "impact": finding.impact,
        "stage": finding.stage,
        "root_cause": None
        if cause is None
        else {"file": cause.file, "line": cause.line, "function": cause.function, "exception": cause.exception,
              "message": cause.message, "entries": cause.entries},
        "whys": list(finding.whys),
        "tests": [
            {"id": test.id, "outcome": test.outcome.value, "message": test.message, "stage": test.stage,
             "traceback": test.traceback[-_TAIL:]}
            for test in tests
        ],
        "rerun": ["pytest", *[test.id for test in tests if "::" in test.id and not test.id.startswith("journey::")]],
    }  # fmt: skip


def brief_markdown(brief: dict[str, Any]) -> str:
    """The same for people. What tests and services said is fenced, so that it cannot pose as the brief's own words."""
    lines = [f"# Brief: {brief['session']}, iteration {brief['iteration']}", ""]
    for finding in brief["findings"]:
        lines += [f"## {finding['id']} ({finding['state']}, {finding['symptom']}, {finding['cause']})", ""]
        lines += _fenced(finding["title"])
        place = finding["root_cause"]
        if place is not None:
            lines += [f"Root cause, in {place['entries']} log entries:", ""]
            lines += _fenced(
                f"{place['file']}:{place['line']} {place['function']} {place['exception']}: {place['message']}"
            )
        for number, why in enumerate(finding["whys"], 1):
            lines += [f"Why {number}:", "", *_fenced(why)]
        lines += [f"{len(finding['tests'])} failing tests:", ""]
        for test in finding["tests"]:
            lines += _fenced(f"{test['id']}: {test['outcome']}: {test['message'] or ''}")
    if not brief["findings"]:
        lines += ["There is no finding that a change of source could mend.", ""]
    return "\n".join(lines)


def _fenced(text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence + "text", text, fence, ""]
