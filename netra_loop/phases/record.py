"""`uses: record`: what this iteration showed, held against the goal.

Of ten thousand results and log entries only what the findings are made from is held at once (`retrospect`); of what is
stored already, only what was learned about it is written.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import asdict

from netra_loop.core.claims import judged as judge_claims
from netra_loop.core.comparing import from_row
from netra_loop.core.events import GoalJudged
from netra_loop.core.findings import DeployFailure, Facts, make_findings, open_signatures, open_tests
from netra_loop.core.goal import Iteration, Judgement, final_results, judge, was_held, was_moved
from netra_loop.core.records import Batch, CollectionError, Finding, Result, Selected, Verdict
from netra_loop.core.stability import Stability
from netra_loop.core.verdicts import Verdicts
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.known import earlier_findings, sources
from netra_loop.phases.places import with_whys
from netra_loop.phases.retrospect import assessed, errors_grouped, judged_anew, new_errors, reviewed
from netra_loop.phases.steadiness import steadiness
from netra_loop.phases.tampering import tampered
from netra_loop.phases.testbed import first_revision
from netra_loop.processes import give_back_memory

_FATAL = "collection"
_MANY = 2_000  # results or log entries; what fewer leave behind is not worth the time of looking for it


class Record:
    """Joins results and log entries, makes the findings and judges. Everything it does is one commit, so after a crash
    it is simply done again.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`."""
        journal, session, iteration = context.journal, context.session, context.iteration
        selected = await journal.selection(session, iteration)
        if max(len(selected), context.state().log_entries) > _MANY:
            gc.collect()  # what earlier phases left behind in circles goes before all that is read now
            give_back_memory()
        stored = await journal.results(session, iteration, bodies=False)
        review = await reviewed(context, stored)
        judged = await assessed(context, stored, review.requests)
        joined = review.finish()
        earlier = await earlier_findings(context)
        errors = await errors_grouped(context, review)
        verdicts = _compared(context)
        judged = verdicts.of_results(judged)
        moved = {test for test, result in final_results(judged).items() if was_moved(result)}
        findings = make_findings(
            Facts(
                iteration=iteration,
                results=[result for result in judged if result.id not in moved and not was_moved(result)],
                selected=[one for one in selected if one.id not in moved],
                joined=joined,
                exceptions=review.exceptions,
                new_errors=new_errors(errors),
                warned=review.warned,
                sources=sources(context),
                tiers=context.spec.tiers,
                deploy_failure=_deploy_failure(context),
                collection_errors=_collection_errors(context),
                previous=earlier,
                authenticity=context.spec.goal.authenticity,
            ),
        )
        findings = verdicts.of_findings(findings)
        final = final_results(judged)
        stability = verdicts.of_stability(await steadiness(context, selected, final), final)
        unsteady = stability.reasons(allow_regressions=context.spec.goal.allow_regressions)
        strange = await tampered(context, final.values())
        unsteady += strange
        judgement = _judge(context, selected, judged, (*earlier, *findings), unsteady, verdicts)
        if judgement.verdict is not Verdict.INCONCLUSIVE and _is_full(context) and not strange:
            open_still = {one.id for one in findings if verdicts.proves_nothing_of(one)}
            now = first_revision(context)
            findings = judge_claims(findings, iteration, now, _claimed_at(context), unproven=open_still)
        events = [event for event in (errors, _judged(judgement, findings, stability)) if event is not None]
        batch = Batch(
            events=tuple(map(context.stamp, events)),
            judged=judged_anew(stored, judged),
            findings=tuple(await with_whys(context, findings)),
        )
        reasons = "; ".join(judgement.reasons)
        facts = {"verdict": judgement.verdict.value, "findings": len(findings)}
        return PhaseResult(judgement.verdict.value, reasons, facts, batch, again=was_held(judgement))

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)


def _judge(
    context: PhaseContext,
    selected: Sequence[Selected],
    results: Sequence[Result],
    findings: Sequence[Finding],
    unsteady: Sequence[str],
    verdicts: Verdicts,
) -> Judgement:
    """`findings` are this iteration's, and the rows of those before."""
    state, spec = context.state(), context.spec
    found = [one for one in findings if one.last_iteration == context.iteration]
    selection = state.selection
    errors = selection.collection_errors if selection else ()
    failure = _deploy_failure(context)
    # Where there is no cloud there are no logs that could vouch for anything, and none are missing.
    collects = context.environment.cloud != "none" and any(phase.uses == "collect-logs" for phase in spec.phases)
    now = Iteration(
        selected=selected,
        results=results,
        tiers=spec.tiers,
        collection_errors=[error["id"] for error in errors if error["id"] != _FATAL],
        collection_fatal=next((error["text"] for error in errors if error["id"] == _FATAL), None),
        full=_is_full(context),
        left_out=selection.deselected if selection else 0,
        logs_complete=bool(state.logs_complete) if collects else None,
        revision=first_revision(context),
        deploy_failed=None if failure is None else f"{failure.reason}: {failure.message}",
        signatures=open_signatures(found),
        unsteady=unsteady,
        sick=verdicts.sick(),
        number=context.iteration,
        titles={one.signature: f"{one.id} {one.title}" for one in found},
        tests=open_tests(findings),
    )
    history = [past for past in state.judged if past.iteration < context.iteration]
    return judge(now, spec.goal, spec.limits, history)


def _is_full(context: PhaseContext) -> bool:
    """Whether all tests that there are were selected."""
    selection = context.state().selection
    return selection.full if selection else context.only is None


def _compared(context: PhaseContext) -> Verdicts:
    """What the comparison of this iteration says; of nothing, where there was none."""
    told = context.state().compared
    rows = [] if told is None else [from_row(row) for row in told.rows]
    before, now = ("", "") if told is None else (told.before or "", told.now or "")
    return Verdicts.of(rows, before, now)


def _claimed_at(context: PhaseContext) -> dict[int, str]:
    """The first service's revision that was under test in each iteration."""
    first = next(iter(context.spec.services), None)
    return {one.iteration: one.revision.name for one in context.state().deployed if one.revision.service == first}


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
        hint=str(failed.get("hint", "")),
    )


def _collection_errors(context: PhaseContext) -> list[CollectionError]:
    selection = context.state().selection
    return [CollectionError(error["id"], error["text"]) for error in (selection.collection_errors if selection else ())]


def _judged(judgement: Judgement, findings: Sequence[Finding], stability: Stability) -> GoalJudged:
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
        regressed=stability.told(),
    )
