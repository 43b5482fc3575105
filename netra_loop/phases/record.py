"""`uses: record`: what this iteration showed, held against the goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TypeVar

from netra_loop.core.events import GoalJudged
from netra_loop.core.findings import DeployFailure, Facts, make_findings, open_signatures
from netra_loop.core.goal import Iteration, Judgement, judge, was_held
from netra_loop.core.joining import join
from netra_loop.core.records import Batch, CollectionError, Finding, LogEntry, Result
from netra_loop.core.symptoms import symptom_of
from netra_loop.core.vouching import reassess
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.known import earlier_findings, sources
from netra_loop.phases.testbed import first_revision

_FATAL = "collection"
Row = TypeVar("Row", Result, LogEntry)


class Record:
    """Joins results and log entries, makes the findings and judges. Everything it does is one commit, so after a crash
    it is simply done again.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`."""
        results = await context.journal.results(context.session, context.iteration)
        entries = await context.journal.entries(context.session, context.iteration)
        judged = _assessed(context, results, entries)
        joined = join(entries, judged)
        findings = make_findings(
            Facts(
                iteration=context.iteration,
                results=judged,
                selected=await context.journal.selection(context.session, context.iteration),
                joined=joined,
                sources=sources(context),
                tiers=context.spec.tiers,
                deploy_failure=_deploy_failure(context),
                collection_errors=_collection_errors(context),
                previous=await earlier_findings(context),
                authenticity=context.spec.goal.authenticity,
            ),
        )
        judgement = await self._judge(context, judged, findings)
        fact = context.stamp(_judged(judgement, findings))
        batch = Batch(
            events=(fact,),
            results=_changed(results, judged),
            entries=_changed(entries, joined.entries),
            findings=tuple(findings),
        )
        reasons = "; ".join(judgement.reasons)
        facts = {"verdict": judgement.verdict.value, "findings": len(findings)}
        return PhaseResult(judgement.verdict.value, reasons, facts, batch, again=was_held(judgement))

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _judge(self, context: PhaseContext, results: Sequence[Result], findings: Sequence[Finding]) -> Judgement:
        state, spec = context.state(), context.spec
        selection = state.selection
        errors = selection.collection_errors if selection else ()
        failure = _deploy_failure(context)
        # Where there is no cloud there are no logs that could vouch for anything, and none are missing.
        collects = context.environment.cloud != "none" and any(phase.uses == "collect-logs" for phase in spec.phases)
        now = Iteration(
            selected=await context.journal.selection(context.session, context.iteration),
            results=results,
            tiers=spec.tiers,
            collection_errors=[error["id"] for error in errors if error["id"] != _FATAL],
            collection_fatal=next((error["text"] for error in errors if error["id"] == _FATAL), None),
            full=selection.full if selection else context.only is None,
            left_out=selection.deselected if selection else 0,
            logs_complete=bool(state.logs_complete) if collects else None,
            revision=first_revision(context),
            deploy_failed=None if failure is None else f"{failure.reason}: {failure.message}",
            signatures=open_signatures(findings),
        )
        history = [past for past in state.judged if past.iteration < context.iteration]
        return judge(now, spec.goal, spec.limits, history)


def _assessed(context: PhaseContext, results: Sequence[Result], entries: Sequence[LogEntry]) -> list[Result]:
    """The results in the light of the request log: who answered them, where they were seen to talk to nobody."""
    state = context.state()
    expected = frozenset(revision.name for revision in state.revisions.values())
    return list(map(_named, reassess(results, entries, expected, complete=bool(state.logs_complete))))


def _named(result: Result) -> Result:
    """`result` with the symptom it shows now; itself, not a copy, where that is the one it has."""
    symptom = symptom_of(result)
    return result if symptom is result.symptom else replace(result, symptom=symptom)


def _changed(before: Sequence[Row], after: Sequence[Row]) -> tuple[Row, ...]:
    """The rows of `after` that are not among `before` as they are."""
    known = {_identity(row): row for row in before}
    return tuple(row for row in after if known.get(_identity(row)) != row)


def _identity(row: Result | LogEntry) -> tuple[object, ...]:
    if isinstance(row, Result):
        return row.id, row.attempt
    return row.log, row.timestamp, row.insert_id


def _deploy_failure(context: PhaseContext) -> DeployFailure | None:
    failed = context.state().failed_deploy
    if failed is None:
        return None
    lines = failed.get("log_lines")
    return DeployFailure(
        service=str(failed.get("service", "")),
        revision=str(failed.get("revision", "")),
        reason=str(failed.get("reason", "")),
        message=str(failed.get("message", "")),
        log_lines=tuple(map(str, lines)) if isinstance(lines, list | tuple) else (),
    )


def _collection_errors(context: PhaseContext) -> list[CollectionError]:
    selection = context.state().selection
    return [CollectionError(error["id"], error["text"]) for error in (selection.collection_errors if selection else ())]


def _judged(judgement: Judgement, findings: Sequence[Finding]) -> GoalJudged:
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.state.value] = counts.get(finding.state.value, 0) + 1
    return GoalJudged(
        outcome=judgement.verdict.value,
        tiers=tuple(asdict(tier) for tier in judgement.tiers),
        counts=judgement.counts,
        findings=counts,
        signatures=tuple(sorted(open_signatures(findings))),
        reasons=judgement.reasons,
    )
