"""What a phase is: something that acts once its intent is stored, and that can say, after a crash, how far it got.

A crash can only fall between two appends. What it leaves is an intent without an outcome, and `reconcile` is each
phase's answer to that: probe and adopt (deploy), go on with what is missing (execute, collect-logs), or do it again
(select, record). Neither `run` nor `reconcile` may assume that its predecessor ended in an orderly way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Protocol

from netra_loop.clock import Clock
from netra_loop.cloud.base import Cloud
from netra_loop.cloud.token_life import TokenLife
from netra_loop.core.events import Event
from netra_loop.core.records import Batch
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import EnvironmentSpec, JourneySpec, LoopSpec, PhaseSpec
from netra_loop.core.state import State
from netra_loop.execution.base import PoolOptions, Runner
from netra_loop.journal.base import Journal
from netra_loop.phases.scope import Scope
from netra_loop.report.observer import Observer
from netra_loop.values import dataclass
from netra_loop.workspace.base import Workspace


@dataclass(frozen=True)
class PhaseResult:
    """The outcome of a phase. `batch` is committed in the same transaction as the outcome; `facts` are small JSON
    values for the state and the journal's reader. `again`: the goal holds but has to hold once more, so start over.
    Where `pauses` says why, there is no outcome yet: the session pauses, and the phase is reconciled once it goes on.
    """

    outcome: str
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    batch: Batch = Batch()
    again: bool = False
    pauses: str = ""


class Toolbox(Protocol):
    """The costly things that phases share within one process, made when first asked for."""

    environ: Mapping[str, str]
    """The environment this process was started with."""
    folder: Path
    """Where the session may keep files; exists, 0700."""
    redactor: Redactor
    """Takes out every secret known by now."""
    workspace: Workspace | None
    """Where source is changed; None where in place."""

    async def cloud(self) -> Cloud | None:
        """The environment's cloud; None where the environment has none."""
        ...

    def gone(self) -> str | None:
        """What the environment's cloud was, such as `process 17 (signal 9)`, where this session started it and it has
        ended, or is about to, without having been asked; None while it is there, and for any other cloud. A test that
        noticed anything of its end is over only once this says so.
        """
        ...

    async def until_gone(self) -> None:
        """Returns once `gone` says something. For a cloud that was started already; never returns for any other."""
        ...

    async def pool(self, options: PoolOptions) -> Runner:
        """Runs pytest tests. Equal options give the same pool, so that what was collected once serves again."""
        ...

    async def pool_beside(self, options: PoolOptions, name: str) -> Runner:
        """Another pool, beside that of `pool`, for as long as whoever asks wants it: to `close` it is theirs. `name`
        tells its files from those of others that are there at the same time.
        """
        ...

    async def renew_pool(self) -> None:
        """The tests' files may have changed: what was collected serves no more. Safe to repeat."""
        ...

    def journeys(self, journeys: Sequence[JourneySpec], scope: Scope) -> Runner:
        """Runs YAML journeys."""
        ...

    async def token(
        self, scope: Scope, on_try: Callable[[Event], Awaitable[None]], good_for_s: float = 0.0
    ) -> str | None:
        """A token of the `auth` chain, good for `good_for_s` more seconds where its life allows; None where the loop
        has none. While one lives that cannot be renewed it is given still. Raises AuthFailed where there is none.
        """
        ...

    def token_life(self) -> TokenLife | None:
        """Of the token given last; None where none was."""
        ...

    async def request(self, url: str, trace_id: str, token: str | None = None) -> int | None:
        """One marked GET, for its log entry's sake, with `token` as its bearer; the status, or None where nobody
        answered.
        """
        ...


@dataclass(frozen=True)
class PhaseContext:
    """All that a phase may see and touch. `state()` is the fold up to now; `record` commits facts while it acts."""

    session: str
    spec: LoopSpec
    environment: EnvironmentSpec
    phase: PhaseSpec
    iteration: int
    attempt: int
    only: str | None
    state: Callable[[], State]
    journal: Journal
    record: Callable[[Batch], Awaitable[None]]
    clock: Clock
    observer: Observer
    tools: Toolbox
    scope: Callable[[], Scope]

    @property
    def redactor(self) -> Redactor:
        """What every text from a test, a service or a command passes before it is stored or shown."""
        return self.tools.redactor

    async def event(self, event: Event) -> None:
        """Commits one fact of this phase."""
        await self.record(Batch(events=(self.stamp(event),)))

    def stamp(self, event: Event) -> Event:
        """`event`, marked as this phase's and this attempt's."""
        return replace(event, iteration=self.iteration, phase=self.phase.name, attempt=self.attempt)


class Phase(Protocol):
    """One word of `uses`. Errors of the environment are raised as `errors.EnvironmentFailed`; they are no outcome."""

    async def run(self, context: PhaseContext) -> PhaseResult:
        """Acts, for the first time. May be cancelled: the session is then paused and `reconcile` goes on later."""
        ...

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """Acts where an earlier process may have got anywhere between the intent and the outcome."""
        ...
