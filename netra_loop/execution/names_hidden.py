"""A runner whose tests' names tell no secret: what comes from it is called by the names that are shown (see
`ShownNames`), and the plan is given its real names back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from netra_loop.core.records import CollectedTest
from netra_loop.core.shown_names import ShownNames, shown_of
from netra_loop.execution.base import Collection, Finished, Notice, Planned, RunEvent, Runner, Started


class NamesHidden:
    """See `Runner`. `names` are one session's, also of runners before this one."""

    def __init__(self, runner: Runner, names: ShownNames) -> None:
        self._runner = runner
        self._names = names
        self._collection: tuple[Collection, Collection] | None = None

    async def collect(self) -> Collection:
        """See `Runner.collect`."""
        found = await self._runner.collect()
        if self._collection is None or self._collection[0] is not found:
            self._names.look(test.id for test in found.tests)
            self._names.look(name for test in found.tests for name in test.shares)
            shown = replace(found, tests=tuple(map(self._test, found.tests))) if self._names else found
            self._collection = (found, shown)
        return self._collection[1]

    async def run(self, plan: Sequence[Planned]) -> AsyncIterator[RunEvent]:
        """See `Runner.run`."""
        real = [self._planned(planned) for planned in plan] if self._names else plan
        async with aclosing(self._runner.run(real)) as events:  # type: ignore[type-var]
            async for event in events:
                yield self._event(event) if self._names else event

    async def renew(self, env: Mapping[str, str]) -> None:
        """See `Runner.renew`."""
        await self._runner.renew(env)

    def rest(self) -> None:
        """See `Runner.rest`."""
        self._runner.rest()

    async def close(self) -> None:
        """See `Runner.close`."""
        await self._runner.close()

    def _test(self, test: CollectedTest) -> CollectedTest:
        name, shares = self._names.shown(test.id), tuple(map(self._names.shown, test.shares))
        if (name, shares) == (test.id, test.shares):
            return test
        return replace(test, id=name, shares=shares)

    def _planned(self, planned: Planned) -> Planned:
        test = self._names.real(planned.id)
        fixtures = tuple((self._names.real(name), took) for name, took in planned.fixtures)
        if (test, fixtures) == (planned.id, planned.fixtures):
            return planned
        return replace(planned, id=test, fixtures=fixtures)

    def _event(self, event: RunEvent) -> RunEvent:
        if isinstance(event, Finished):
            return replace(event, id=self._names.shown(event.id), fixtures=shown_of(self._names, event.fixtures))
        if isinstance(event, Started):
            return replace(event, id=self._names.shown(event.id))
        assert isinstance(event, Notice)
        return event
