"""`uses: select`: which tests run, in which order, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from netra_loop.core.events import Event, Noted, SourcesSeen, TestsSelected
from netra_loop.core.goal import final_results
from netra_loop.core.records import Batch, Result
from netra_loop.core.selection import select
from netra_loop.core.sources import unseen, with_journeys
from netra_loop.execution.base import Collection
from netra_loop.phases import bytecode
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.scope import Scope
from netra_loop.phases.sealing import seal_of, top
from netra_loop.phases.testbed import Runners, are_guessed, environment_hosts, runners, shown_host
from netra_loop.phases.vanishing import while_there

_TAKEN_FOR = "taken for the environment: "  # begins the note on hosts that nobody listed


class Select:
    """Collects once and chooses. It changes nothing outside the journal, so after a crash it is simply done again."""

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. What could not be collected is kept beside the selection; `record` judges it."""
        if context.tools.workspace is not None and context.state().fixers:
            await asyncio.to_thread(bytecode.forget, top(context), seal_of(context))
        found, scope = await runners(context)
        collection = await while_there(context, _collect(found))
        spec = context.spec
        failed = await _failed_before(context)
        chosen = select(
            collection.tests,
            tuple(spec.journeys.values()),
            spec.tiers,
            only=context.only,
            failed_before=failed,
            durations=await context.journal.durations(spec.name),
        )
        errors = [{"id": error.id, "text": context.redactor.text(error.text)} for error in collection.errors]
        if collection.fatal is not None:
            errors.append({"id": "collection", "text": context.redactor.text(collection.fatal)})
        left_out = len(collection.tests) + len(spec.journeys) - len(chosen)
        fact = TestsSelected(
            selected=len(chosen),
            deselected=collection.deselected + left_out,
            full=context.only is None,
            failing=sum(one.id in failed for one in chosen),
            collection_errors=tuple(errors),
        )
        told = (*collection.warnings, *await _environment(context, scope))
        notes = tuple(context.stamp(Noted(text=context.redactor.text(text))) for text in told)
        batch = Batch(
            events=(*notes, *_sources_seen(context, collection), context.stamp(fact)),
            selected=tuple(chosen),
            selected_iteration=context.iteration,
        )
        context.observer.plan(len(chosen))
        summary = f"{len(chosen)} test{'' if len(chosen) == 1 else 's'} selected"
        if left_out + collection.deselected:
            summary += f", {left_out + collection.deselected} left out"
        if errors:
            summary += f", {len(errors)} collection error{'' if len(errors) == 1 else 's'}"
        return PhaseResult("ok", summary, {"selected": len(chosen), "errors": len(errors)}, batch)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)


def _sources_seen(context: PhaseContext, collection: Collection) -> list[Event]:
    """What each file held that the session sees for the first time; later it is held against that."""
    now = with_journeys(collection.sources, context.spec.journeys.values())
    fresh = unseen(now, context.state().sources)
    if not fresh.files and not fresh.conftests:
        return []
    return [context.stamp(SourcesSeen(files=fresh.files, conftests=fresh.conftests))]


async def _environment(context: PhaseContext, scope: Scope) -> list[str]:
    """Which hosts make a pass real, told once in a session where they are a guess. Nothing where none has to be."""
    if not are_guessed(context) or context.spec.goal.authenticity == "off":
        return []
    hosts = ", ".join(shown_host(host) for host in environment_hosts(context, scope))
    if hosts:
        text = f"{_TAKEN_FOR}{hosts}, by the URLs in the loop file; if that is wrong, list its hosts under `hosts`"
    else:
        text = f"{_TAKEN_FOR}nothing: the loop file names no URL; list its hosts under `hosts`"
    events = (item.event for item in await context.journal.events(context.session))
    return [] if any(isinstance(event, Noted) and event.text == text for event in events) else [text]


async def _collect(found: Runners) -> Collection:
    """Both runners' collections as one. A journey needs no collecting beyond its loop file."""
    kinds = [runner for runner in (found.pool,) if runner is not None]
    collections = await asyncio.gather(*(runner.collect() for runner in kinds))
    return collections[0] if collections else Collection(())


async def _failed_before(context: PhaseContext) -> frozenset[str]:
    """The tests whose last attempt failed in the newest iteration before this one that ran any: of this session, else
    of an earlier session of the loop.
    """
    async for results in _runs_before(context):
        if results:
            return frozenset(test for test, result in final_results(results).items() if result.outcome.is_failure)
    return frozenset()


async def _runs_before(context: PhaseContext) -> AsyncIterator[list[Result]]:
    """The results of earlier iterations, the newest first."""
    for iteration in range(context.iteration - 1, 0, -1):
        yield await context.journal.results(context.session, iteration, bodies=False)
    for head in await context.journal.sessions():
        if head.loop == context.spec.name and head.id != context.session:
            for iteration in range(head.iteration, 0, -1):
                yield await context.journal.results(head.id, iteration, bodies=False)
