"""Tests of a phase's token: renewed while tests run, and what becomes of a session that gets none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from netra_loop.cloud.token_life import TokenLife
from netra_loop.core.events import AuthTried, Event
from netra_loop.core.records import Cause, Outcome, Symptom
from netra_loop.core.spec import AuthSpec, JwtAuth, TestsSpec
from netra_loop.errors import AuthFailed
from netra_loop.execution.base import Finished
from netra_loop.phases.scope import Scope
from netra_loop.phases.tokens import with_fresh_token
from netra_loop.testing import FakeClock

REFUSED = AuthFailed(["bypass: 401 Invalid E2E bypass key"])


@dataclass
class Source:
    """Tokens t-1, t-2 and so on, each good for `life_s`; `refused` names the asks that get none."""

    clock: FakeClock
    life_s: float = 3600.0
    refused: frozenset[int] = frozenset()
    asked: int = 0
    given: list[str] = field(default_factory=list)
    ends: float = 0.0
    trouble: AuthFailed | None = None

    async def token(self, scope: Scope, on_try: Callable[[Event], Awaitable[None]], good_for_s: float = 0.0) -> str:
        life = self.token_life()
        if life is not None and life.due_s(good_for_s) > 0:
            return self.given[-1]
        self.asked += 1
        self.trouble = REFUSED if self.asked in self.refused else None
        await on_try(AuthTried(iteration=1, phase="execute", attempt=1, method="bypass", ok=self.trouble is None))
        if self.trouble is None:
            self.given.append(f"t-{self.asked}")
            self.ends = self.clock.monotonic() + self.life_s
        elif life is None or life.left_s <= 0:
            raise self.trouble
        return self.given[-1]

    def token_life(self) -> TokenLife | None:
        if not self.given:
            return None
        return TokenLife(max(0.0, self.ends - self.clock.monotonic()), self.life_s, self.trouble)


@pytest.fixture
def source(bench) -> Source:
    made = Source(bench.clock)
    bench.tools.token, bench.tools.token_life = made.token, made.token_life
    bench.change(
        auth=(AuthSpec(jwt=JwtAuth(secret="s", subject="me")),), tests=TestsSpec(paths=("../tests",), timeout_s=100)
    )
    return made


async def watched(bench, work_s: float | None) -> list[str]:
    """The tokens that are passed on while work takes so long (None: for ever); the phase is `execute`."""
    context = await bench.open("execute")
    first = await bench.tools.token(bench.scope(), context.event, 400.0)
    seen: list[str] = [first]

    async def renewed(scope: Scope) -> None:
        seen.append(str(scope.token))

    work = asyncio.Event().wait() if work_s is None else bench.clock.sleep(work_s)
    await with_fresh_token(context, bench.scope().with_token(first), renewed, work)
    return seen


async def test_a_long_phase_goes_from_token_to_token(bench, source):
    assert await watched(bench, 4 * 3600) == ["t-1", "t-2", "t-3", "t-4", "t-5"]
    assert len(await bench.events("auth_tried")) == 5


async def test_a_short_phase_asks_once(bench, source):
    assert await watched(bench, 60) == ["t-1"]


async def test_a_renewal_that_fails_at_first_ends_nothing(bench, source):
    source.refused = frozenset({2, 3})
    assert await watched(bench, 3600) == ["t-1", "t-4"]


async def test_a_renewal_that_fails_for_good_ends_the_phase_before_its_tests_fail_for_it(bench, source):
    source.refused = frozenset(range(2, 1000))
    with pytest.raises(AuthFailed, match="401 Invalid E2E bypass key") as failed:
        await watched(bench, None)
    assert failed.value.exit_code == 3
    assert 100 - 2 <= source.ends - bench.clock.monotonic() <= 100
    (finding,) = await bench.journal.findings(bench.session, 1)
    assert (finding.symptom, finding.cause) == (Symptom.AUTH, Cause.ENVIRONMENT)


async def test_what_work_raises_is_raised(bench, source):
    async def broken() -> Any:
        raise LookupError("mine")

    context = await bench.open("execute")
    with pytest.raises(LookupError, match="mine"):
        await with_fresh_token(context, bench.scope(), lambda _: bench.clock.sleep(0), broken())


async def test_a_chain_that_fails_leaves_a_finding_with_status_and_body(bench, source):
    await bench.deployed()
    source.refused = frozenset({1})
    bench.tests(one=Outcome.PASSED)
    context = await bench.open("select")
    with pytest.raises(AuthFailed):
        await bench.run(context)
    (finding,) = await bench.journal.findings(bench.session, 1)
    assert finding.title == "no way to a token worked: bypass: 401 Invalid E2E bypass key"
    assert (finding.symptom, finding.cause, finding.tests) == (Symptom.AUTH, Cause.ENVIRONMENT, ())


async def test_the_finding_stands_beside_what_was_found_before(bench, source):
    await bench.executed(one=Outcome.FAILED)
    await bench.act("record")
    source.refused, source.given = frozenset({2}), []
    context = await bench.open("run", command="deliver ${auth.token}")
    with pytest.raises(AuthFailed):
        await bench.run(context)
    found = await bench.journal.findings(bench.session, 1)
    assert len(found) == 2
    assert found[0].symptom is Symptom.AUTH


async def test_results_that_are_there_by_then_are_kept(bench, source):
    await bench.deployed()
    runner = bench.tests(one=Outcome.PASSED, two=Outcome.FAILED, three=Outcome.PASSED)
    await bench.act("select")
    source.refused = frozenset(range(2, 1000))
    context = await bench.open("execute")

    async def slow(plan):
        async for event in type(runner).run(runner, plan):
            yield event
            if isinstance(event, Finished):
                await asyncio.Event().wait()

    runner.run = slow
    with pytest.raises(AuthFailed):
        await bench.run(context)
    assert await bench.results() == [("one", 1, "passed")]
