"""What a fixer is handed, as plain JSON values: the findings in order of impact, each with what is known of it.

How it reads for people: `brief_text`. Both are within bounds, whatever a night left behind; what is left out is
counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netra_loop.clock import rfc3339
from netra_loop.core.attempts import Attempt
from netra_loop.core.past import Past
from netra_loop.core.records import JOURNEY_PREFIX, Cause, Finding, FindingState, Result
from netra_loop.core.source_lines import Place
from netra_loop.core.timeline import MOST, Moment, shortened
from netra_loop.core.whys import OPEN
from netra_loop.values import dataclass

FOR_FIXERS = frozenset({Cause.PRODUCT, Cause.TEST, Cause.UNKNOWN})
MOST_FINDINGS = 30
_TAIL = 2_000  # characters of a traceback: its end names the failure
_TESTS = 10  # of a finding, told with what they said
_IDS = 200  # of a finding, named
_RERUN = 20
_ATTEMPTS = 5  # the latest
_TEXT = 1_000


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a finding beside its row. `shown` is the attempt that `moments` are of; `stage_before` how far
    its tests got in the iteration before, None where that is not known; `past` is what earlier sessions saw of it.
    """

    place: Place | None = None
    shown: Result | None = None
    moments: Sequence[Moment] = ()
    attempts: Sequence[Attempt] = ()
    stage_before: str | None = None
    past: Past | None = None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a fixer works in. `pytest` is how the tests are run again, in the folder `cwd`, with `env` set."""

    loop: str = ""
    cwd: str = ""
    pytest: tuple[str, ...] = ("python", "-m", "pytest")
    env: Mapping[str, str] | None = None
    revisions: Mapping[str, str] | None = None
    commit: str | None = None
    said_no: Mapping[str, Any] | None = None


def work(findings: Sequence[Finding]) -> list[Finding]:
    """Those that a fixer is to mend, in their order."""
    return [one for one in _open(findings) if one.cause in FOR_FIXERS]


def brief_json(
    session: str,
    iteration: int,
    findings: Sequence[Finding],
    results: Sequence[Result],
    known: Mapping[str, Known] | None = None,
    around: Surroundings | None = None,
) -> dict[str, Any]:
    """The brief. Findings only the environment or a deploy can mend are counted, not listed.

    `results` are all attempts in order; of each test the last failed one speaks. `known` has by their ids what is known
    of the findings."""
    telling: dict[str, Result] = {}
    for result in results:
        if result.outcome.is_failure or result.id not in telling:
            telling[result.id] = result
    around = around or Surroundings()
    listed = work(findings)
    told = listed[:MOST_FINDINGS]
    return {
        "session": session,
        "loop": around.loop,
        "iteration": iteration,
        "revisions": dict(around.revisions or {}),
        "commit": around.commit,
        "cwd": around.cwd,
        "pytest": list(around.pytest),
        "env": dict(around.env or {}),
        "said_no": None if around.said_no is None else dict(around.said_no),
        "findings": [_finding(one, telling, (known or {}).get(one.id, Known()), around) for one in told],
        "left_out": len(listed) - len(told),
        "left_to_others": len(_open(findings)) - len(listed),
    }


def _open(findings: Sequence[Finding]) -> list[Finding]:
    return [one for one in findings if one.state is not FindingState.FIXED]


def _finding(finding: Finding, telling: Mapping[str, Result], known: Known, around: Surroundings) -> dict[str, Any]:
    cause = finding.root_cause
    ran = [telling[test] for test in finding.tests if test in telling]
    asked = next((why.removesuffix(OPEN) + "?" for why in finding.whys if why.endswith(OPEN)), None)
    return {
        "id": finding.id,
        "state": finding.state.value,
        "cause": finding.cause.value,
        "symptom": finding.symptom.value,
        "title": finding.title,
        "impact": finding.impact,
        "first_iteration": finding.first_iteration,
        "stage": finding.stage,
        "stage_before": known.stage_before,
        "root_cause": None
        if cause is None
        else {"file": cause.file, "line": cause.line, "function": cause.function, "exception": cause.exception,
              "message": cause.message[:_TEXT], "entries": cause.entries},
        "place": _place(known.place),
        "whys": list(finding.whys),
        "open_why": asked,
        "tests": [
            {"id": test.id, "outcome": test.outcome.value, "message": _cut(test.message), "stage": test.stage,
             "traceback": test.traceback[-_TAIL:]}
            for test in ran[:_TESTS]
        ],
        "test_ids": list(finding.tests[:_IDS]),
        "tests_in_all": len(finding.tests),
        "evidence": _evidence(known),
        "seen": None if known.past is None else known.past.row(),
        "attempts": [attempt.row() for attempt in known.attempts[-_ATTEMPTS:]],
        "attempts_in_all": len(known.attempts),
        "rerun": _rerun(finding, around),
    }  # fmt: skip


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    touched = place.touched
    return {
        "path": place.path,
        "line": place.line,
        "commit": place.commit,
        "source": [{"line": number, "text": text} for number, text in enumerate(place.lines, place.first)],
        "touched": None
        if touched is None
        else {"commit": touched.commit, "author": touched.author, "at": rfc3339(touched.at),
              "subject": touched.subject, "ours": touched.ours},
    }  # fmt: skip


def _evidence(known: Known) -> dict[str, Any] | None:
    shown = known.shown
    if shown is None:
        return None
    moments, left_out = shortened(known.moments, MOST)
    return {
        "test": shown.id,
        "attempt": shown.attempt,
        "started_at": rfc3339(shown.started_at),
        "moments": [moment.row() for moment in moments],
        "left_out": left_out,
    }


def _rerun(finding: Finding, around: Surroundings) -> list[str]:
    """The command that runs the finding's tests alone; empty where pytest cannot: journeys are run by a loop."""
    ids = [test for test in finding.tests if "::" in test and not test.startswith(JOURNEY_PREFIX)]
    return [*around.pytest, *ids[:_RERUN]] if ids else []


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT else f"{text[:_TEXT]}…"
