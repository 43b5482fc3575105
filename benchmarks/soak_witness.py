"""What the soak holds a session to: it remembers what was once seen of it, and compares."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soak_project import Broken

from netra_loop.core.events import GoalJudged, PhaseFinished, PhaseRecovered, PhaseStarted, Recorded, RevisionReady
from netra_loop.core.records import Result
from netra_loop.core.state import State, fold
from netra_loop.journal.store import open_store

Key = tuple[int, str, int]  # iteration, test, attempt


@dataclass(frozen=True)
class Seen:
    """A session as the store has it."""

    events: list[Recorded]
    results: dict[Key, Result]
    attempts: Counter[tuple[int, str]]
    selected: dict[int, set[str]]

    @property
    def state(self) -> State:
        return fold(self.events)


@dataclass
class Witness:
    """Everything that was seen of one session."""

    store: str
    session: str
    told: dict[Key, str] = field(default_factory=dict)
    seen: Seen | None = None
    ran: dict[tuple[int, str], int] = field(default_factory=dict)

    def rest(self, executions: Mapping[tuple[int, str], int]) -> Seen | None:
        """`look`, while no process works on it: what has ended by now is not run again, so it was not since."""
        for key, number in self.ran.items():
            if executions.get(key, 0) != number:
                raise Broken(
                    f"twice: {key} had ended after {number} executions, then ran again: {executions.get(key, 0)}"
                )
        now = self.look()
        for iteration, test, _ in now.results if now is not None else ():
            self.ran[iteration, test] = executions.get((iteration, test), 0)
        return now

    def look(self) -> Seen | None:
        """Reads the session, whole; None before it is there. Broken where something seen before is gone or changed."""
        now = asyncio.run(_read(self.store, self.session))
        if now is None:
            if self.seen is not None or self.told:
                raise Broken("lost: the session is gone")
            return None
        before = self.seen
        if before is not None:
            if now.events[: len(before.events)] != before.events:
                raise Broken(
                    f"lost: of {len(before.events)} events seen the store has others, {len(now.events)} in all"
                )
            for key, result in before.results.items():
                if key not in now.results or not _same(result, now.results[key]):
                    raise Broken(f"lost: result {key} was {result}, is {now.results.get(key)}")
        for key, outcome in self.told.items():
            if key not in now.results or now.results[key].outcome.value != outcome:
                raise Broken(f"lost: {key} was told to be {outcome}, is {now.results.get(key)}")
        self.seen = now
        return now

    def whole(self, executions: Mapping[tuple[int, str], int]) -> Seen:
        """`look`, at a session that is over: each judged iteration is complete, and nothing in it is there twice."""
        now = self.rest(executions)
        if now is None:
            raise Broken("lost: the session is not in the store")
        last = now.state.iteration
        if any(item.event.phase == "tick" for item in now.events):
            self._ticked(now, executions)
            return now
        judged = {item.event.iteration for item in now.events if isinstance(item.event, GoalJudged)}
        if judged != set(range(1, last + 1)):
            raise Broken(f"lost: iterations 1 to {last} took place, judged are {sorted(judged)}")
        results = Counter((iteration, test) for iteration, test, _ in now.results)
        twice = [key for key, number in results.items() if number > 1]
        if twice:
            raise Broken(f"twice: more than one result without retries: {twice[:3]}")
        for iteration in sorted(judged):
            ended = {test for of, test in results if of == iteration}
            if ended != now.selected[iteration]:
                raise Broken(f"lost: iteration {iteration} selected {now.selected[iteration]}, has results of {ended}")
        return now

    @staticmethod
    def _ticked(now: Seen, executions: Mapping[tuple[int, str], int]) -> None:
        """Of a session without tests: each iteration ended once, its command ran, and no oftener than is recorded."""
        ended = Counter(item.event.iteration for item in now.events if isinstance(item.event, PhaseFinished))
        begun = Counter(
            item.event.iteration for item in now.events if isinstance(item.event, PhaseStarted | PhaseRecovered)
        )
        failed = {item.event.iteration for item in now.events if item.event.outcome == "failed"}  # its shell was killed
        for iteration in range(1, now.state.iteration + 1):
            ran = executions.get((iteration, "tick"), 0)
            if ended[iteration] != 1 or not (iteration not in failed) <= ran <= begun[iteration]:
                raise Broken(
                    f"lost or twice: iteration {iteration} ended {ended[iteration]} times, its command ran {ran} times "
                    f"and was begun {begun[iteration]} times by the journal"
                )


def one_revision_each(state_dir: Path, seen: Seen, session: str) -> int:
    """How many revisions the embedded cloud's own list has of the session; Broken where two are of one iteration."""
    resources = state_dir / "sessions" / session / "cloud" / "resources.json"
    rows = json.loads(resources.read_text())["revisions"] if resources.exists() else []
    made = Counter(
        labels["netra-loop-iteration"] for row in rows if (labels := _labels(row)).get("netra-loop-session") == session
    )
    twice = [iteration for iteration, number in made.items() if number > 1]
    if twice:
        raise Broken(f"twice: more than one revision of iteration {twice[:3]} by the cloud's own list")
    ready = {item.event.revision for item in seen.events if isinstance(item.event, RevisionReady)}
    if len(ready) > made.total():
        raise Broken(f"twice: {len(ready)} revisions were tested, the cloud knows of {made.total()}")
    return made.total()


def _labels(row: Mapping[str, object]) -> dict[str, str]:
    """The labels of a revision's row, wherever in it they stand."""
    for value in row.values():
        if isinstance(value, dict):
            if "netra-loop-session" in value:
                return value
            if found := _labels(value):
                return found
    return {}


def _same(before: Result, now: Result) -> bool:
    """All but what `record` adds when it judges."""
    return (before.outcome, before.started_at, before.duration_s, before.trace_id, before.worker) == (
        now.outcome,
        now.started_at,
        now.duration_s,
        now.trace_id,
        now.worker,
    )


async def _read(url: str, session: str) -> Seen | None:
    store = open_store(url)
    try:
        if session not in [head.id for head in await store.sessions()]:
            return None
        events = await store.events(session)
        if [item.seq for item in events] != list(range(1, len(events) + 1)) or await store.verify(session) < len(
            events
        ):
            raise Broken("the sequence has gaps")
        rows = await store.results(session, bodies=False)
        iterations = range(1, fold(events).iteration + 1)
        begun = Counter([(one.iteration, one.id) for n in iterations for one in await store.attempts(session, n)])
        chosen = {n: {one.id for one in await store.selection(session, n)} for n in iterations}
        return Seen(events, {(one.iteration, one.id, one.attempt): one for one in rows}, begun, chosen)
    finally:
        await store.close()
