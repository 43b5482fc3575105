"""What netra-loop needs of something that runs tests: `Runner`, a family of two (pytest's pool and YAML journeys)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Protocol

from netra_loop.core.records import CollectedTest, CollectionError, Evidence, Outcome, Sources
from netra_loop.core.schedule import Band
from netra_loop.execution.options import PoolOptions
from netra_loop.values import dataclass

__all__ = [
    "Collection",
    "Finished",
    "Notice",
    "Planned",
    "PoolOptions",
    "RunEvent",
    "Runner",
    "Started",
]


@dataclass(frozen=True)
class Collection:
    """What was collected. `fatal` is set where nothing could be (pytest's usage error, the interpreter died): its text.

    `deselected` counts what pytest's own options left out; `warnings` are sentences for a person. `sources` are the
    files as they were when they were collected.
    """

    tests: tuple[CollectedTest, ...]
    errors: tuple[CollectionError, ...] = ()
    deselected: int = 0
    fatal: str | None = None
    warnings: tuple[str, ...] = ()
    sources: Sources = field(default_factory=Sources)


@dataclass(frozen=True, slots=True)
class Planned:
    """One attempt to make. `trace_id` (32 hex digits) is unique to it; requests the test makes carry it.

    The rest is for the order: `band` as in `schedule`, `seconds` it is expected to take (None: not known), `fixtures`
    it shares with other tests, by name, with the seconds that each takes; `why` it comes again, "" for the first time.
    """

    id: str
    attempt: int
    trace_id: str
    band: Band = (1, 0)
    seconds: float | None = None
    fixtures: tuple[tuple[str, float | None], ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began the test."""

    id: str
    attempt: int
    worker: str
    started_at: datetime
    trace_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A test ended, however it did. Each `Planned` gets exactly one, whatever happens to processes, unless the run is
    cancelled. `traceback` is pytest's long report or the stacks of all threads; `message` one line. `sources` are
    those of the process that ran it, which may have collected anew; None: not known, or nothing was collected.
    `reran` counts the times that a plugin of the suite's own ran the test again inside this attempt. `wider_s` of
    `duration_s` went to fixtures that other tests share; `fixtures` are the seconds each of them takes, by name.
    `placed` is why it ran elsewhere than in the plan's order, "" where it did not.
    """

    id: str
    attempt: int
    worker: str
    started_at: datetime
    duration_s: float
    outcome: Outcome
    trace_id: str
    message: str | None = None
    traceback: str = ""
    output: str = ""
    evidence: Evidence = Evidence()
    sources: Sources | None = None
    reran: int = 0
    wider_s: float = 0.0
    fixtures: Mapping[str, float] = field(default_factory=dict)
    placed: str = ""


@dataclass(frozen=True)
class Notice:
    """A sentence for a person and the journal, such as why workers are spawned instead of forked."""

    text: str


RunEvent = Started | Finished | Notice


class Runner(Protocol):
    """Something that collects and runs tests."""

    async def collect(self) -> Collection:
        """What there is to run, asked before `run`. Asked again it answers the same at once."""
        ...

    def run(self, plan: Sequence[Planned]) -> AsyncIterator[RunEvent]:
        """Runs the plan in its order, as wide as it may, and says what happens as it happens.

        Closing the iterator (or cancelling) stops: tests get SIGINT, SIGKILL after 3.5 s; nothing of theirs survives.
        May be called more than once after one `collect` (retries).
        """
        ...

    async def renew(self, env: Mapping[str, str]) -> None:
        """The tests' whole environment is `env` from here on: a token in it was renewed. May be called while a plan
        runs: who runs a test keeps what it has, and what comes after the test is given the new one, down to what the
        tests' modules read when they are imported. Raises EnvironmentFailed where that cannot be had; all then goes on
        as it was.
        """
        ...

    def rest(self) -> None:
        """Nothing more is to be run, most likely: begins to end what waits for it. A `run` that comes all the same has
        to start it anew.
        """
        ...

    async def close(self) -> None:
        """Ends every process. Safe to repeat."""
        ...
