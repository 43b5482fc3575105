"""The brief of a `run` phase: what is known of the findings, put together and written where the fixer finds it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from netra_loop.core import template
from netra_loop.core.attempts import attempts_at
from netra_loop.core.brief import MOST_FINDINGS, Known, Surroundings, brief_json, work
from netra_loop.core.brief_text import brief_markdown
from netra_loop.core.events import PhaseFinished
from netra_loop.core.history import stage_before
from netra_loop.core.records import Evidence, Finding, LogEntry, Result
from netra_loop.core.secret_names import names_secret
from netra_loop.core.spec import LoopSpec
from netra_loop.core.timeline import timeline
from netra_loop.core.writable import json_text, writable
from netra_loop.errors import UsageError
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.given import interpreter
from netra_loop.phases.memory import remembered
from netra_loop.phases.places import place_of
from netra_loop.phases.scope import Scope
from netra_loop.phases.testbed import session_environment

JSON, MARKDOWN = "brief.json", "brief.md"
_TESTS = 10  # of a finding, whose words are read
_ATTEMPTS = 8  # the latest fixers, whose iterations are looked back on
_ENTRIES = 400  # of one attempt
_LATE = timedelta(seconds=5)  # what is logged after an attempt ended may still be of it
_RECENT = 60  # events


async def write_brief(context: PhaseContext, folder: Path) -> None:
    """Writes both forms into `folder`, for nobody but us. Safe to repeat: what is known is the same."""
    findings = await context.journal.findings(context.session)
    iteration = max((finding.last_iteration for finding in findings), default=context.iteration)
    listed = work(findings)[:MOST_FINDINGS]
    results = await _told_of(context, listed, iteration)
    rows = await _rows(context, iteration)
    known = await _known(context, listed, results, rows, iteration)
    lean = [replace(result, evidence=Evidence()) for result in results]
    around = await _surroundings(context)
    made = brief_json(context.session, context.iteration, findings, lean, known, around)
    brief = context.redactor.deep(made)  # what was stored when less was known to be secret, too
    _write(folder / JSON, json_text(brief, indent=2))
    _write(folder / MARKDOWN, writable(brief_markdown(brief)))


async def _known(
    context: PhaseContext,
    listed: Sequence[Finding],
    results: Sequence[Result],
    rows: Mapping[int, Sequence[Finding]],
    iteration: int,
) -> dict[str, Known]:
    shown = {finding.id: one for finding in listed if (one := _representative(finding, results)) is not None}
    logged = await _logged(context, list(shown.values()), iteration)
    state = context.state()
    past = await remembered(context.journal, context.spec.name, context.session, listed)
    known = {}
    for finding in listed:
        one = shown.get(finding.id)
        entries = logged[one.id, one.attempt] if one is not None else []
        known[finding.id] = Known(
            place=await place_of(context, finding.root_cause, {entry.service for entry in entries if entry.trace_id}),
            shown=one,
            moments=timeline(one, entries) if one is not None else (),
            attempts=attempts_at(finding, state.fixers, state.commits, rows),
            past=past.get(finding.id),
            stage_before=stage_before(finding, rows.get(finding.last_iteration - 1, ())),
        )
    return known


def _representative(finding: Finding, results: Sequence[Result]) -> Result | None:
    """The attempt that shows the finding the soonest: of those that failed with its symptom the shortest."""
    tests = set(finding.tests)
    failed = [one for one in results if one.id in tests and one.outcome.is_failure]
    failed = failed or [one for one in results if one.id in tests]
    return min(
        failed,
        key=lambda one: (
            one.symptom is not finding.symptom,
            not (one.evidence.frames or one.evidence.exchanges),
            one.duration_s,
        ),
        default=None,
    )


async def _told_of(context: PhaseContext, findings: Sequence[Finding], iteration: int) -> list[Result]:
    """All attempts at some tests of each finding; without what they printed, which may be large."""
    told: list[Result] = []
    done: set[str] = set()
    for finding in findings:
        some = [test for test in finding.tests[:_TESTS] if test not in done]
        done.update(some)
        if some:
            read = await context.journal.results(context.session, iteration, test=some)
            told += [replace(result, output="") for result in read]
    return told


async def _logged(
    context: PhaseContext, shown: Sequence[Result], iteration: int
) -> dict[tuple[str, int], list[LogEntry]]:
    """The entries of each of these attempts: those of its trace, and those that can be of no other test."""
    logged: dict[tuple[str, int], list[LogEntry]] = {(one.id, one.attempt): [] for one in shown}
    if not shown:
        return logged
    by_trace = {one.trace_id: logged[one.id, one.attempt] for one in shown if one.trace_id}
    until = max(one.started_at + timedelta(seconds=one.duration_s) for one in shown) + _LATE
    since = min(one.started_at for one in shown)
    async for page in context.journal.entry_pages(context.session, iteration, 1000, since=since, lean=True):
        for entry in page:
            own = by_trace.get(entry.trace_id) if entry.trace_id else None
            lists = [own] if own is not None else _alone(entry, shown, logged)
            for one in lists:
                if len(one) < _ENTRIES:
                    one.append(entry)
        if page[-1].timestamp > until:
            break
    return logged


def _alone(
    entry: LogEntry, shown: Sequence[Result], logged: Mapping[tuple[str, int], list[LogEntry]]
) -> list[list[LogEntry]]:
    if entry.trace_id or len(entry.tests) != 1:
        return []
    return [
        logged[one.id, one.attempt]
        for one in shown
        if one.id == entry.tests[0]
        and one.started_at <= entry.timestamp <= one.started_at + timedelta(seconds=one.duration_s) + _LATE
    ]


async def _rows(context: PhaseContext, iteration: int) -> dict[int, Sequence[Finding]]:
    """The findings of the iterations in which fixers were at work, and of those after them."""
    state = context.state()
    at = [ran.iteration for ran in state.fixers if ran.changed or ran.claims][-_ATTEMPTS:]
    wanted = {iteration, iteration - 1, *at, *(number + 1 for number in at)}
    read = {
        number: await context.journal.findings(context.session, number)
        for number in sorted(wanted)
        if 1 <= number <= iteration
    }
    judged = {one.iteration for one in state.judged}
    return {number: found for number, found in read.items() if found or number in judged}


# ------------------------------------------------------------------------------------------------------ where it works


async def _surroundings(context: PhaseContext) -> Surroundings:
    state, scope, spec = context.state(), context.scope(), context.spec
    tests = spec.tests
    args = () if tests is None else tuple(scope.text(word) for word in tests.args)
    python = "python" if tests is None else _interpreter(spec, scope)
    hide = context.redactor.text
    return Surroundings(
        loop=spec.name,
        cwd=str(spec.root_dir),
        pytest=(python, "-m", "pytest", *map(hide, args)),
        env={name: hide(value) for name, value in _variables(context, scope).items()},
        revisions={service: revision.name for service, revision in state.revisions.items()},
        commit=state.head,
        said_no=await _said_no(context),
    )


def _interpreter(spec: LoopSpec, scope: Scope) -> str:
    try:
        return str(interpreter(spec, scope))
    except UsageError:  # it has its own error, where tests are to run; a brief can be told without it
        return "python"


def _variables(context: PhaseContext, scope: Scope) -> dict[str, str]:
    """What the tests need to find the service, without what is secret; a fixer has all of it in its environment."""
    given = session_environment(context, scope)
    session = {name: value for name, value in given.items() if name.startswith("NETRA_LOOP_") and "URL" in name}
    return {
        name: value for name, value in {**session, **known_variables(context, scope)}.items() if not names_secret(name)
    }


def known_variables(context: PhaseContext, scope: Scope) -> dict[str, str]:
    """The tests' own variables, as far as they are known without a token and before a deploy."""
    tests = context.spec.tests
    return {name: scope.text(text) for name, text in (tests.env if tests else {}).items() if _is_known(text, scope)}


def _is_known(text: str, scope: Scope) -> bool:
    for name in template.parse(text).names:
        root, _, rest = name.partition(".")
        if name == "auth.token":
            return False
        if root == "services":
            service, _, part = rest.rpartition(".")
            if service not in scope.revisions and (part == "revision" or scope.service_url(service) is None):
                return False
    return True


async def _said_no(context: PhaseContext) -> dict[str, str] | None:
    """What a gate of this iteration said that sent the session back to this phase; None where none did."""
    state = context.state()
    if context.attempt < 2:
        return None
    recent = await context.journal.events(context.session, max(0, state.seq - _RECENT))
    for recorded in reversed(recent):
        event = recorded.event
        if isinstance(event, PhaseFinished) and event.iteration == context.iteration and event.outcome == "failed":
            output = str(event.facts.get("output") or "")
            return {"phase": event.phase or "", "summary": event.summary, "output": output[-4_000:]}
    return None


def _write(path: Path, text: str) -> None:
    """A file for nobody but us, whatever the umask."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
