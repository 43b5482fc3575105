"""`uses: execute`: every selected test gets a result, each stored as soon as it is known."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import replace

from netra_loop.core.authenticity import assess
from netra_loop.core.events import ForeignSeen, Noted
from netra_loop.core.findings import symptom_of
from netra_loop.core.goal import GONE, MOVED, final_results, standing, was_moved
from netra_loop.core.records import (
    JOURNEY_PREFIX,
    AttemptStarted,
    Authenticity,
    Batch,
    CollectedTest,
    Outcome,
    Result,
    Selected,
    Sources,
)
from netra_loop.core.sources import change, with_journeys
from netra_loop.core.stages import furthest, stages_of
from netra_loop.errors import Defect
from netra_loop.execution.base import Collection, Finished, Notice, Planned, RunEvent, Runner, Started
from netra_loop.phases.backlog import Backlog
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.following import Follower, following
from netra_loop.phases.planning import Planner, planner
from netra_loop.phases.portions import Portions, apart, weight, whole
from netra_loop.phases.scope import Scope
from netra_loop.phases.serving import foreign_now
from netra_loop.phases.testbed import (
    Host,
    Runners,
    environment,
    environment_hosts,
    first_revision,
    proxy_hosts,
    runners,
)
from netra_loop.phases.tokens import with_fresh_token
from netra_loop.phases.vanishing import while_there
from netra_loop.processes import give_back_memory
from netra_loop.values import dataclass

_PASSES = frozenset({Outcome.PASSED, Outcome.XPASSED})


@dataclass(frozen=True)
class _Bench:
    """What turns a runner's report into a result."""

    context: PhaseContext
    tiers: Mapping[str, str | None]
    hosts: tuple[Host, ...]
    proxies: tuple[Host, ...]
    revision: str | None
    tests: Mapping[str, CollectedTest]
    journeys: Sources
    follower: Follower

    def started(self, event: Started) -> AttemptStarted:
        iteration = self.context.iteration
        return AttemptStarted(event.id, iteration, event.attempt, event.worker, event.started_at, event.trace_id)

    def result(self, event: Finished, flaky: bool, gone: str | None = None) -> Result:
        """The row for `event`: judged, then redacted, so that nothing secret reaches the store. `gone` is what the
        environment's cloud was, where that had ended before this was heard of.
        """
        context, text = self.context, self.context.redactor.text
        authenticity, reasons = assess(
            event.outcome,
            event.evidence,
            event.duration_s,
            self.hosts,
            mode=context.spec.goal.authenticity,
            proxies=self.proxies,
            changed=self._change(event),
        )
        if gone is not None:
            authenticity = _doubted(event.outcome, authenticity)
            reasons = (f"{GONE}: the embedded cloud, {gone}, had ended before this test was over", *reasons)
        result = Result(
            id=event.id,
            tier=self.tiers.get(event.id),
            iteration=context.iteration,
            attempt=event.attempt,
            outcome=event.outcome,
            duration_s=event.duration_s,
            started_at=event.started_at,
            worker=event.worker,
            revision=self.revision,
            trace_id=event.trace_id,
            flaky=(flaky or event.reran > 0) and event.outcome is Outcome.PASSED,
            authenticity=authenticity,
            reasons=tuple(map(text, reasons)),
            stage=furthest(event.evidence, stages_of(context.spec.stages)),
            message=None if event.message is None else text(event.message),
            output=text(event.output),
            traceback=text(event.traceback),
            evidence=context.redactor.deep(event.evidence),
            wider_s=event.wider_s,
            placed=event.placed,
        )
        return replace(result, symptom=symptom_of(result))

    def _change(self, event: Finished) -> str | None:
        """What changed about the test since the session began: what its process collected is held against the first."""
        first = self.context.state().sources
        if event.id.startswith(JOURNEY_PREFIX):
            return change(event.id, None, first, self.journeys)
        test = self.tests.get(event.id)
        if test is None or event.sources is None:
            return None
        return change(test.path, test.source, first, event.sources)


class Execute:
    """Runs the selection. A test that finished is never run again; one that was in flight when a process died is, as a
    new attempt. So is one whose result does not count because another revision served meanwhile, or because the
    environment's cloud had ended.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`."""
        give_back_memory()  # so that what 10,000 tests on their way take does not come on top of it
        return await self._execute(context, again=False)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`: goes on with the tests that have no result since this attempt of the phase began."""
        return await self._execute(context, again=True)

    async def _execute(self, context: PhaseContext, *, again: bool) -> PhaseResult:
        selection = await context.journal.selection(context.session, context.iteration)
        stored = await _stored_so_far(context) if again else []
        stored = [result for result in stored if not was_moved(result)]
        done = final_results(stored)
        context.observer.plan(len(selection))
        for result in done.values():
            context.observer.finished(result)
        todo = [item for item in selection if item.id not in done]
        outcomes = {test: result.outcome for test, result in done.items()}  # all that is kept of a stored result
        if todo or _failures(outcomes):
            found, scope = await runners(context)
            # a resumed session's pool has not collected yet; any other answers at once
            collected = await found.pool.collect() if found.pool is not None else Collection(())
            bench = _Bench(
                context,
                {item.id: item.tier for item in selection},
                environment_hosts(context, scope),
                proxy_hosts(environment(context, scope)),
                first_revision(context),
                {test.id: test for test in collected.tests},
                with_journeys(Sources(), context.spec.journeys.values()),
                Follower(context),
            )
            failed = Counter(result.id for result in stored if result.outcome.is_failure)
            ended = Counter(result.id for result in stored)
            plans = await planner(context, selection, bench.tests)
            rounds = self._rounds(bench, found, plans, [item.id for item in todo], outcomes, failed, ended)

            async def renewed(fresh: Scope) -> None:
                if found.pool is not None:
                    await found.pool.renew(environment(context, fresh))

            async with following(bench.follower):
                ran = await while_there(context, with_fresh_token(context, scope, renewed, rounds))
            await _check_what_served(context, ran)
            if found.pool is not None:
                found.pool.rest()  # it ends while `record` looks at what it did
        return _summary(selection, outcomes)

    async def _rounds(
        self,
        bench: _Bench,
        found: Runners,
        plans: Planner,
        batch: Sequence[str],
        outcomes: dict[str, Outcome],
        failed: Counter[str],
        ended: Counter[str],
    ) -> set[tuple[str, int]]:
        """The first attempt of each in `batch`, then the retries of what failed, all on the same revision. `failed`
        counts the attempts that an earlier process has already seen fail, `ended` those that came to any end. Gives
        the attempts that were run here, by id and number.
        """
        ran: set[tuple[str, int]] = set()
        context = bench.context
        tries = await _attempts_so_far(context)
        retries = context.spec.tests.retries if context.spec.tests else 0
        while True:
            async for result in _run(bench, found, plans.plan(batch, tries, failed), failed):
                outcomes[result.id] = standing(outcomes.get(result.id), result.outcome)
                ended[result.id] += 1
                ran.add((result.id, result.attempt))
                tries[result.id] = result.attempt
                if result.outcome.is_failure:
                    failed[result.id] += 1
            batch = [test for test in _failures(outcomes) if ended[test] <= retries]
            if not batch:
                return ran


async def _check_what_served(context: PhaseContext, ran: AbstractSet[tuple[str, int]]) -> None:
    """Looks once more, after the tests: where another revision serves by now, none of what `ran` counts.

    The results say so in their reasons, in one commit with the fact. A loop that says where `inconclusive` leads goes
    on to there; else ForeignChange is raised, and a resume runs those tests again.
    """
    foreign = await foreign_now(context)
    if foreign is None:
        return
    told = f"{MOVED}: {foreign.found} served {foreign.service} when the tests had run, expected {foreign.expected}"
    stored = await context.journal.results(context.session, context.iteration, bodies=False)
    marked = tuple(
        replace(
            result,
            authenticity=_doubted(result.outcome, result.authenticity),
            reasons=(told, *result.reasons),
        )
        for result in stored
        if (result.id, result.attempt) in ran
    )
    seen = ForeignSeen(service=foreign.service, expected=foreign.expected, found=foreign.found)
    await context.record(Batch(events=(context.stamp(seen),), judged=marked))
    handled = (phase.next.get("inconclusive", "stop") for phase in context.spec.phases if phase.uses == "record")
    if all(target == "stop" for target in handled):
        raise foreign


def _doubted(outcome: Outcome, authenticity: Authenticity) -> Authenticity:
    return Authenticity.SUSPECT if outcome in _PASSES else authenticity


async def _run(
    bench: _Bench,
    found: Runners,
    plan: Sequence[Planned],
    failed: Mapping[str, int],
) -> AsyncIterator[Result]:
    """Runs `plan` on both runners at once and gives each result once it is stored.

    Cancelled, it lets the runners end their tests, stores what they still said, and passes the cancellation on.
    """
    queue = Backlog()
    parts: dict[Runner, list[Planned]] = defaultdict(list)
    for planned in plan:
        runner = found.of(planned.id)
        if runner is None:
            raise Defect(f"test {planned.id!r} was selected, but nothing here can run it")
        parts[runner].append(planned)
    pumps = [asyncio.create_task(_pump(runner, part, queue)) for runner, part in parts.items()]
    open_pumps, portions = len(pumps), Portions(queue, bench.context.clock)
    missing = {planned.id for planned in plan}
    try:
        while open_pumps:
            events = await portions.take()
            open_pumps -= sum(event is None for event in events)
            for result in await whole(_store(bench, [event for event in events if event is not None], failed)):
                missing.discard(result.id)
                yield result
        for pump in pumps:
            pump.result()
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        try:
            while late := portions.rest():
                await _store(bench, [event for event in late if event is not None], failed)
        finally:
            queue.close()
    if missing:
        raise Defect(f"{len(missing)} selected tests were never reported, among them {min(missing)!r}")


async def _pump(runner: Runner, plan: Sequence[Planned], queue: asyncio.Queue[RunEvent | None]) -> None:
    try:
        async with aclosing(runner.run(plan)) as events:  # type: ignore[type-var]
            async for event in events:
                queue.put_nowait(event)
    finally:
        queue.put_nowait(None)


async def _store(bench: _Bench, events: Sequence[RunEvent], failed: Mapping[str, int]) -> list[Result]:
    """Commits what was said, then shows it: nothing reaches a person before it is durable."""
    context = bench.context
    started = tuple(bench.started(event) for event in events if isinstance(event, Started))
    finished = [event for event in events if isinstance(event, Finished)]
    gone = context.tools.gone()  # asked after all of them were over
    results = await apart(
        lambda: [bench.result(event, failed.get(event.id, 0) > 0, gone) for event in finished],
        weight(finished),
    )
    notes = tuple(
        context.stamp(Noted(text=context.redactor.text(event.text))) for event in events if isinstance(event, Notice)
    )
    whole_ones = [event for event in finished if event.outcome is not Outcome.ERROR]  # else a set-up was cut short
    fixtures = {name: took for event in whole_ones for name, took in event.fixtures.items()}
    await context.record(Batch(events=notes, started=started, results=tuple(results), fixtures=fixtures))
    bench.follower.began(started)
    for item in started:
        context.observer.started(item)
    for result in results:
        context.observer.finished(result)
    return results


async def _stored_so_far(context: PhaseContext) -> list[Result]:
    """What this attempt of the phase has already stored, each test's attempts in order."""
    if context.attempt == 1:
        return await context.journal.results(context.session, context.iteration, bodies=False)
    found: list[Result] = []
    before = context.state().results_before
    if before is None:  # an earlier version did not say: all of them run again
        return found
    mark = replace(await context.journal.mark(context.session), results=before)
    more = True
    while more:
        news = await context.journal.news(context.session, mark)
        found += [result for result in news.results if result.iteration == context.iteration]
        mark, more = news.mark, news.more
    return found


async def _attempts_so_far(context: PhaseContext) -> defaultdict[str, int]:
    """How often each test was begun in this iteration, whether or not it ended."""
    tries: defaultdict[str, int] = defaultdict(int)
    for attempt in await context.journal.attempts(context.session, context.iteration):
        tries[attempt.id] = max(tries[attempt.id], attempt.attempt)
    return tries


def _failures(outcomes: Mapping[str, Outcome]) -> list[str]:
    return [test for test, outcome in outcomes.items() if outcome.is_failure]


def _summary(selection: Sequence[Selected], outcomes: Mapping[str, Outcome]) -> PhaseResult:
    counts: dict[str, int] = defaultdict(int)
    for outcome in outcomes.values():
        counts[outcome.value] += 1
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "no test ran"
    return PhaseResult("ok", told, {"selected": len(selection), "reported": len(outcomes), **counts})
