"""Two revisions, and the same tests against both at the same moment, in processes of their own."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from netra_loop.cloud.base import Cloud, Failed, LogQuery
from netra_loop.core.authenticity import assess, canonical_host, host_of
from netra_loop.core.records import JOURNEY_PREFIX, LogEntry, Result, Revision
from netra_loop.core.symptoms import looked_at, symptom_of
from netra_loop.errors import EnvironmentFailed
from netra_loop.execution.base import Finished, Planned, Runner
from netra_loop.execution.options import PoolOptions
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.given import options_within
from netra_loop.phases.scope import Scope
from netra_loop.phases.testbed import Host, environment_hosts, proxy_hosts
from netra_loop.phases.tokens import good_for_tests, token, with_fresh_token
from netra_loop.values import dataclass

T = TypeVar("T")
_LOOKS_S = (0.05, 0.3, 1.0, 3.0)  # the pauses before each look into the request log
_TRACES = 100  # that one query may name
_SKEW = timedelta(seconds=60)  # between our clock and the cloud's

Unready = Callable[[], Coroutine[Any, Any, Failed | None]]
Ran = Mapping[str, Result]  # by test; what did not run to its end is not there


@dataclass(frozen=True)
class Side:
    """One revision of each service. `name` tells its files from the other side's; `revision` is the short name of the
    first service's; `hosts` are where it is reached, `names` what its revisions are called.
    """

    name: str
    revision: str
    revisions: Mapping[str, Revision]
    hosts: frozenset[Host]

    @property
    def names(self) -> frozenset[str]:
        """The short names of its revisions."""
        return frozenset(one.name for one in self.revisions.values())

    def seen_by(self, scope: Scope) -> Scope:
        """`scope`, with this side's revisions for the services'."""
        return replace(scope, revisions=self.revisions)


@dataclass(frozen=True)
class Sides:
    """The revisions before, and those under test."""

    context: PhaseContext
    before: Side
    now: Side

    @classmethod
    def of(cls, context: PhaseContext, before: Mapping[str, Revision]) -> Sides:
        """`before` are earlier revisions by service; a service without one is the same on both sides."""
        under_test = context.state().revisions
        return cls(
            context,
            _side(context, "compare-before", {**under_test, **before}, before),
            _side(context, "compare-now", under_test, before),
        )

    @classmethod
    def alone(cls, context: PhaseContext, name: str, revisions: Mapping[str, Revision]) -> Sides:
        """One side, which is the other as well: for `run_now`, and for asking who answered."""
        only = _side(context, name, revisions, {})
        return cls(context, only, only)

    async def run_now(self, tests: Sequence[str]) -> Ran:
        """What each of `tests` comes to against the revisions of `now` alone; as `run` does."""
        context = self.context
        scope = context.scope()
        scope = scope.with_token(await token(context, scope, good_for_tests(context.spec)))
        async with self._bench(self.now, scope) as now:
            plans = await now.collected(tests)
            return await with_fresh_token(context, scope, now.renew, now.run(plans))

    async def run(self, tests: Sequence[str], unready: Unready) -> tuple[Ran, Ran] | Failed:
        """What each of `tests` came to before and now. None is begun before `unready`, asked while they are collected,
        has said that nothing is; what it says else is the answer. All that was started for it has ended when this
        returns, or is cancelled.
        """
        context = self.context
        scope = context.scope()
        scope = scope.with_token(await token(context, scope, good_for_tests(context.spec)))
        async with self._bench(self.before, scope) as then, self._bench(self.now, scope) as now:

            async def renewed(fresh: Scope) -> None:
                await asyncio.gather(then.renew(fresh), now.renew(fresh))

            return await with_fresh_token(context, scope, renewed, _both(then, now, tests, unready))

    @asynccontextmanager
    async def _bench(self, side: Side, scope: Scope) -> AsyncIterator[_Bench]:
        context, scope = self.context, side.seen_by(scope)
        spec, pool, options = context.spec, None, None
        async with AsyncExitStack() as stack:
            if spec.tests is not None and spec.tests.paths:
                options = _half(options_within(scope, side.revision), side, self)
                pool = await context.tools.pool_beside(options, side.name)
                stack.callback(shutil.rmtree, context.tools.folder / side.name, ignore_errors=True)
                stack.push_async_callback(pool.close)
            journeys = context.tools.journeys(tuple(spec.journeys.values()), scope) if spec.journeys else None
            proxies = proxy_hosts({} if options is None else options.env)
            yield _Bench(context, side, pool, journeys, proxies)


@dataclass(frozen=True)
class _Bench:
    """What runs tests against one side."""

    context: PhaseContext
    side: Side
    pool: Runner | None
    journeys: Runner | None
    proxies: tuple[Host, ...]

    async def collected(self, tests: Sequence[str]) -> dict[Runner, list[Planned]]:
        """The plan of each runner: what it does not know is left out."""
        plans: dict[Runner, list[Planned]] = {}
        found = await self.pool.collect() if self.pool is not None else None
        known = {test.id for test in found.tests} if found is not None else set()
        for test in tests:
            runner = self.journeys if test.startswith(JOURNEY_PREFIX) else self.pool if test in known else None
            if runner is not None:
                plans.setdefault(runner, []).append(Planned(test, 1, secrets.token_hex(16)))
        return plans

    async def run(self, plans: Mapping[Runner, Sequence[Planned]]) -> dict[str, Result]:
        """One attempt at each."""
        ran = await _together(*(self._run(runner, plan) for runner, plan in plans.items()))
        return {result.id: result for results in ran for result in results}

    async def _run(self, runner: Runner, plan: Sequence[Planned]) -> list[Result]:
        async with aclosing(runner.run(plan)) as events:  # type: ignore[type-var]
            return [self._result(event) async for event in events if isinstance(event, Finished)]

    def _result(self, event: Finished) -> Result:
        context, text = self.context, self.context.redactor.text
        authenticity, reasons = assess(
            event.outcome,
            event.evidence,
            event.duration_s,
            self.side.hosts,
            mode=context.spec.goal.authenticity,
            proxies=self.proxies,
        )
        result = Result(
            id=event.id,
            tier=None,
            iteration=context.iteration,
            attempt=event.attempt,
            outcome=event.outcome,
            duration_s=event.duration_s,
            started_at=event.started_at,
            worker=event.worker,
            revision=self.side.revision,
            trace_id=event.trace_id,
            authenticity=authenticity,
            reasons=tuple(map(text, reasons)),
            message=None if event.message is None else text(event.message),
            traceback=looked_at(text(event.traceback)),
            evidence=event.evidence,
        )
        return replace(result, symptom=symptom_of(result))

    async def renew(self, fresh: Scope) -> None:
        """Tests that begin from here on are given the token that `fresh` knows."""
        if self.pool is not None:
            await self.pool.renew(options_within(self.side.seen_by(fresh), self.side.revision).env)


async def answered_by_others(
    context: PhaseContext, cloud: Cloud, sides: Sides, then: Ran, now: Ran
) -> tuple[dict[str, str], int]:
    """By test, why what it did says nothing of the revision that it was run against: it talked to the other one, or
    another answered at that one's own address. And how many attempts the request log does not tell of yet.
    """
    doubts: dict[str, str] = {}
    for side, other, ran in ((sides.before, sides.now, then), (sides.now, sides.before, now)):
        apart = other.hosts - side.hosts
        for test, result in ran.items():
            if _talked_to(result, apart):
                doubts[test] = f"run against {side.revision}, it talked to {other.revision}"
    entries, missing = await _requests(context, cloud, sides, then, now)
    for side, ran in ((sides.before, then), (sides.now, now)):
        for test, result in ran.items():
            strange = next((one for one in entries.get(result.trace_id, ()) if _is_strange(one, side)), None)
            if strange is not None:
                doubts[test] = f"run against {side.revision}, it was answered by {strange.revision}"
    return doubts, missing


async def _requests(
    context: PhaseContext, cloud: Cloud, sides: Sides, then: Ran, now: Ran
) -> tuple[dict[str, list[LogEntry]], int]:
    """The request log's entries by trace, and of how many attempts that talked none is to be read in time."""
    ran = [*then.values(), *now.values()]
    waiting = {result.trace_id for result in ran if _talked_to(result, sides.before.hosts | sides.now.hosts)}
    found: dict[str, list[LogEntry]] = {}
    if not waiting:
        return found, 0
    names = tuple(sorted(sides.before.names | sides.now.names))
    since = min(result.started_at for result in ran) - _SKEW
    give_up = context.clock.monotonic() + sum(_LOOKS_S)
    for pause_s in _LOOKS_S:
        await context.clock.sleep(pause_s)
        asked = sorted(waiting)
        for begin in range(0, len(asked), _TRACES):
            some = tuple(asked[begin : begin + _TRACES])
            query = LogQuery(names, since, services=tuple(sides.now.revisions), traces=some, give_up=lambda: give_up)
            try:
                pages = [page async for page in cloud.entries(query)]
            except EnvironmentFailed:
                return found, len(waiting)  # told as what the log does not tell
            for entry in (one for page in pages for one in page.entries):
                if entry.log == "requests" and entry.trace_id in waiting:
                    found.setdefault(entry.trace_id, []).append(entry)
        waiting -= found.keys()
        if not waiting:
            break
    return found, len(waiting)


async def _both(then: _Bench, now: _Bench, tests: Sequence[str], unready: Unready) -> tuple[Ran, Ran] | Failed:
    """Both sides collect first, so that the tests themselves begin at one moment."""
    asked = asyncio.ensure_future(unready())
    try:
        plans = await _together(then.collected(tests), now.collected(tests))
        failed = await asked
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    if failed is not None:
        return failed
    before, after = await _together(then.run(plans[0]), now.run(plans[1]))
    return before, after


def _half(options: PoolOptions, side: Side, sides: Sides) -> PoolOptions:
    """Half of the workers, under names of their own: what suites keep apart by worker or by run stays apart."""
    half = max(1, options.workers // 2)
    run = f"{options.testrun_uid}-{side.name}"
    return replace(options, workers=half, first=half if side is sides.now else 0, testrun_uid=run)


def _side(context: PhaseContext, name: str, revisions: Mapping[str, Revision], before: Mapping[str, Revision]) -> Side:
    first = next(service for service in (*context.spec.services, *before) if service in revisions)
    hosts = environment_hosts(context, replace(context.scope(), revisions=revisions))
    return Side(name, revisions[first].name, revisions, frozenset((canonical_host(host), port) for host, port in hosts))


def _is_strange(entry: LogEntry, side: Side) -> bool:
    """Whether another revision answered what was asked at this side's own address. What services ask each other goes to
    the services' own addresses, whichever side asked.
    """
    host = host_of(str((entry.request or {}).get("url") or ""))
    return entry.revision not in side.names and host is not None and _is_among(host, side.hosts)


def _talked_to(result: Result, hosts: Collection[Host]) -> bool:
    talked = (one for one in result.evidence.contacts if one.sent and one.received)
    return any(_is_among((canonical_host(one.host), one.port), hosts) for one in talked)


def _is_among(host: Host, hosts: Collection[Host]) -> bool:
    return host in hosts or (host[0], None) in hosts


async def _together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """What each of `work` returns; where one raises, or this is cancelled, the others are ended first."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
