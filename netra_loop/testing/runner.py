"""`FakeRunner`: tests that end as they are told, without a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from netra_loop.clock import Clock
from netra_loop.core.records import CollectedTest, Evidence, Outcome
from netra_loop.execution.base import Collection, Finished, Planned, RunEvent, Started
from netra_loop.testing.clock import FakeClock


@dataclass(frozen=True)
class Ends:
    """How one run of a test ends."""

    outcome: Outcome = Outcome.PASSED
    duration_s: float = 0.01
    message: str | None = None
    traceback: str = ""
    output: str = ""
    evidence: Evidence = field(default_factory=Evidence)


Script = Ends | Outcome | BaseException  # an exception is raised right after the test's `Started`


class FakeRunner:
    """`Runner` in memory. `tests` says for each id how its runs end, one after the other; the last goes on for ever.

    `begun` counts the runs of each test, `finished` those that ended: what must not run twice after a crash shows
    here. `collection` replaces what `collect` would make of the ids, for errors and warnings. One worker, `gw0`, runs
    the plan in its order.
    """

    def __init__(
        self,
        tests: Mapping[str, Script | Sequence[Script]],
        *,
        clock: Clock | None = None,
        collection: Collection | None = None,
    ) -> None:
        self._scripts = {name: _script(said) for name, said in tests.items()}
        self._clock = clock or FakeClock()
        self._collection = collection or Collection(
            tuple(CollectedTest(name, name.split("::", maxsplit=1)[0], 1) for name in tests)
        )
        self.begun: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.collected = 0
        self.closed = False
        self.renewed: list[dict[str, str]] = []

    async def collect(self) -> Collection:
        """See `Runner.collect`."""
        self.collected += 1
        return self._collection

    async def run(self, plan: Sequence[Planned]) -> AsyncIterator[RunEvent]:
        """See `Runner.run`. KeyError for a test that was never told of."""
        for planned in plan:
            script = self._scripts[planned.id]
            said = script[min(self.begun[planned.id], len(script) - 1)]
            self.begun[planned.id] += 1
            started_at = self._clock.now()
            yield Started(planned.id, planned.attempt, "gw0", started_at, planned.trace_id)
            if isinstance(said, BaseException):
                raise said
            ends = Ends(said) if isinstance(said, Outcome) else said
            await self._clock.sleep(ends.duration_s)
            self.finished[planned.id] += 1
            yield Finished(
                id=planned.id,
                attempt=planned.attempt,
                worker="gw0",
                started_at=started_at,
                duration_s=ends.duration_s,
                outcome=ends.outcome,
                trace_id=planned.trace_id,
                message=ends.message,
                traceback=ends.traceback,
                output=ends.output,
                evidence=ends.evidence,
                sources=self._collection.sources,
            )

    async def renew(self, env: Mapping[str, str]) -> None:
        """See `Runner.renew`; kept in `renewed`."""
        self.renewed.append(dict(env))

    def rest(self) -> None:
        """See `Runner.rest`: no process waits."""

    async def close(self) -> None:
        """See `Runner.close`."""
        self.closed = True


def _script(said: Script | Sequence[Script]) -> tuple[Script, ...]:
    if isinstance(said, Ends | Outcome | BaseException):  # an outcome is text, and thus a sequence too
        return (said,)
    return tuple(said)
