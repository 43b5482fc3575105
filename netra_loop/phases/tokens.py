"""The token of `auth`, for phases: a chain that fails leaves its finding, and tests begin with one that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from netra_loop.core.events import Noted
from netra_loop.core.findings import Facts, make_findings
from netra_loop.core.records import Batch
from netra_loop.core.spec import LoopSpec
from netra_loop.errors import AuthFailed, EnvironmentFailed
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.known import earlier_findings
from netra_loop.phases.scope import Scope

T = TypeVar("T")
_DEFAULT_TIMEOUT_S = 120.0
_RETRIES_S = 300.0  # before a token ends: an auth service that is down for a moment ends no night
_AGAIN_S = 15.0
_LOOK_S = 30.0  # the machine may sleep meanwhile, and the token end
_SHORTEST_S = 1.0


async def token(context: PhaseContext, scope: Scope, good_for_s: float = 0.0) -> str | None:
    """See `Toolbox.token`. Where no way to one works there is a finding of it before AuthFailed goes on."""
    try:
        return await context.tools.token(scope, context.event, good_for_s)
    except AuthFailed as failed:
        await _tell(context, failed)
        raise


def good_for_tests(spec: LoopSpec) -> float:
    """How long a token has to last for a test to begin with it, and for its renewal to be tried more than once."""
    return _timeout_s(spec) + _RETRIES_S


async def with_fresh_token(
    context: PhaseContext, scope: Scope, renewed: Callable[[Scope], Awaitable[None]], work: Coroutine[Any, Any, T]
) -> T:
    """What `work` returns or raises; meanwhile the token is renewed ahead of its end, and `renewed` called with the
    scope that knows the new one. `scope` holds the first.

    Where that fails, and the time is up in which it could be tried again, `work` is cancelled, awaited, and AuthFailed
    raised, with its finding: a test that outlives its token fails for no fault of anybody's. Safe to cancel: `work` is
    cancelled and awaited, too.
    """
    keeper = asyncio.create_task(_keep(context, scope, renewed))
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, keeper}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            keeper.result()
        return await task
    finally:
        keeper.cancel()
        task.cancel()
        await asyncio.gather(keeper, task, return_exceptions=True)


async def _keep(context: PhaseContext, scope: Scope, renewed: Callable[[Scope], Awaitable[None]]) -> None:
    """Returns where there is nothing to renew."""
    timeout_s, good_for_s = _timeout_s(context.spec), good_for_tests(context.spec)
    while (life := context.tools.token_life()) is not None:
        due_s = life.due_s(good_for_s)
        if due_s > 0:
            await context.clock.sleep(min(due_s, _LOOK_S))
            continue
        found = await token(context, scope, good_for_s)
        life = context.tools.token_life()
        if life is not None and life.trouble is not None:
            spare_s = life.left_s - min(timeout_s, life.whole_s / 4)
            if spare_s <= 0:
                await _tell(context, life.trouble)
                raise life.trouble
            await context.clock.sleep(max(_SHORTEST_S, min(spare_s, _AGAIN_S)))
            continue
        if found != scope.token:
            scope = scope.with_token(found)
            await _pass_on(context, scope, renewed)
        await context.clock.sleep(_SHORTEST_S)


async def _pass_on(context: PhaseContext, scope: Scope, renewed: Callable[[Scope], Awaitable[None]]) -> None:
    try:
        await renewed(scope)
    except EnvironmentFailed as failed:
        told = f"a new token was got, but tests go on with the one they had: {failed}"
        await context.event(Noted(text=context.redactor.text(told)))


async def _tell(context: PhaseContext, failed: AuthFailed) -> None:
    """Commits the finding, beside what this iteration has found already."""
    new = make_findings(
        Facts(
            iteration=context.iteration,
            tiers=context.spec.tiers,
            auth_failure=tuple(map(context.redactor.text, failed.answers)),
            previous=await earlier_findings(context),
        )
    )
    ids = {one.id for one in new}
    found = await context.journal.findings(context.session, context.iteration)
    kept = [one for one in found if one.id not in ids]
    await context.record(Batch(findings=(*new, *kept), findings_iteration=context.iteration))


def _timeout_s(spec: LoopSpec) -> float:
    return spec.tests.timeout_s if spec.tests is not None else _DEFAULT_TIMEOUT_S
