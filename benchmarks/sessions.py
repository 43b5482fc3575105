"""How long the commands that only look take on sessions of a million results, from their start to their end.

    python benchmarks/sessions.py [--results 1000000] [--iterations 20] [--runs 5] [--keep FOLDER]

Stores are made through the journal's own API, each with a few small sessions beside the large one: one session of
`--iterations` iterations that share the results, judged and at its end; one with all results in one iteration whose
tests still run; and the same once it was judged. What any session takes, imports for the most part, is told by one
of ten results. Each test passed, failed or passed on retry, with output and an exchange in its body. Every command
is a process of its own, as a user starts it; of `--runs` the quickest is told, since others may use the machine,
with the median beside it. A listing is timed to its first line and to its end. Memory is the highest resident one
(VmHWM). `--keep` leaves the stores in that folder and takes them from there the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness import Failed, Peak, parser

from netra_loop.core import events as ev
from netra_loop.core.records import (
    AttemptStarted,
    Batch,
    Cause,
    Evidence,
    Exchange,
    Finding,
    FindingState,
    Outcome,
    Result,
    Selected,
    Symptom,
    TierVerdict,
)
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.journal.store import open_store

LIMIT_S = 0.5
_AT_ONCE = 10_000
_SMALL = 5  # sessions beside the large one
_T0 = datetime(2026, 1, 1, tzinfo=UTC)
_PHASES = ("select", "execute", "record")
_LOOP = """\
version: 1
name: bench
environments: {here: {cloud: none}}
tests: {paths: [../tests]}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: select}}
"""


class Making:
    """Makes one session in `store`: iteration by iteration, phase by phase, as a run would have."""

    def __init__(self, store: Journal, session: str) -> None:
        self._store = store
        self._head = SessionHead(session, "bench", "here", "running", 1, None, _T0, _T0)

    async def begin(self) -> None:
        started = ev.SessionStarted(
            loop="bench", loop_file="/bench/loops/bench.yaml", loop_text=_LOOP, environment="here", first_phase="select"
        )
        await self._store.create(self._head, Batch(events=(started,)))

    async def run_tests(self, iteration: int, tests: int) -> None:
        """Everything of an iteration up to the last result; the phase of the tests stays open."""
        selected = tuple(
            Selected(_test(n), _tier(n), n, "never timed; by its file", "tests/test_bench.py", n) for n in range(tests)
        )
        await self._append(iteration, ev.PhaseStarted(uses="select", iteration=iteration, phase="select", attempt=1))
        chosen = ev.TestsSelected(selected=tests, iteration=iteration, phase="select", attempt=1)
        await self._append(iteration, chosen, self._ended(iteration, "select", "ok"), rows=Batch(selected=selected))
        await self._append(iteration, ev.PhaseStarted(uses="execute", iteration=iteration, phase="execute", attempt=1))
        for begin in range(0, tests, _AT_ONCE):
            results = tuple(_results(iteration, range(begin, min(tests, begin + _AT_ONCE))))
            started = tuple(
                AttemptStarted(one.id, iteration, one.attempt, one.worker, one.started_at, one.trace_id)
                for one in results
            )
            await self._append(iteration, rows=Batch(started=started, results=results))

    async def judge(self, iteration: int, tests: int, *, last: bool) -> None:
        """The end of the phase of the tests, and the verdict; `last` ends the session."""
        await self._append(iteration, self._ended(iteration, "execute", "ok"))
        await self._append(iteration, ev.PhaseStarted(uses="record", iteration=iteration, phase="record", attempt=1))
        failures = sum(_outcome(n) is Outcome.FAILED for n in range(tests))
        tier = TierVerdict(
            "P1", tests, failures, failures / tests, 0.0, met=False, flaky=sum(_flaky(n) for n in range(tests))
        )
        judged = ev.GoalJudged(
            outcome="unmet", tiers=(asdict(tier),), findings={"persisting": 50}, signatures=("a",),
            reasons=("P1 is unmet",),
            counts={"selected": tests, "failed": failures, "passed": tests - failures, "flaky": tier.flaky},
            iteration=iteration, phase="record", attempt=1,
        )  # fmt: skip
        findings = tuple(_finding(n, iteration) for n in range(50))
        events = [judged, self._ended(iteration, "record", "unmet", "stop" if last else "select")]
        if last:
            events.append(ev.SessionEnded(iteration=iteration, outcome="unmet", exit_code=1, reason="P1 is unmet"))
            self._head = replace(self._head, state="unmet", exit_code=1)
        await self._append(iteration, *events, rows=Batch(findings=findings))

    async def _append(self, iteration: int, *events: ev.Event, rows: Batch | None = None) -> None:
        phase = events[-1].phase if events else self._head.phase
        self._head = replace(self._head, iteration=iteration, phase=phase, updated_at=datetime.now(UTC))
        batch = replace(rows or Batch(), events=events, selected_iteration=iteration, findings_iteration=iteration)
        await self._store.append(self._head.id, batch, self._head)

    @staticmethod
    def _ended(iteration: int, phase: str, outcome: str, target: str | None = None) -> ev.PhaseFinished:
        after = _PHASES[_PHASES.index(phase) + 1] if target is None else target
        return ev.PhaseFinished(
            target=after, outcome=outcome, iteration=iteration, phase=phase, attempt=1, duration_s=1.0
        )


def _test(number: int) -> str:
    return (
        f"tests/area_{number // 10_000:03d}/test_module_{number // 100:05d}.py::TestThings::test_number[{number:07d}]"
    )


def _tier(number: int) -> str:
    return "P1" if number % 10 else "rest"


def _outcome(number: int) -> Outcome:
    return Outcome.FAILED if number % 100 == 7 else Outcome.PASSED


def _flaky(number: int) -> bool:
    return number % 200 == 11


def _results(iteration: int, numbers: Iterator[int] | range) -> Iterator[Result]:
    begun_at = _T0 + timedelta(hours=iteration)
    for number in numbers:
        at = begun_at + timedelta(milliseconds=10 * number)
        outcome = _outcome(number)
        seen = Exchange("GET", "http://127.0.0.1:8080/items?page=7", 200, at, 0.02)
        passed = Result(
            _test(number), _tier(number), iteration, 1, outcome, 0.123456, at, f"gw{number % 16}", "backend-00001",
            f"{iteration:016x}{number:016x}", output=f"looked at item {number}\n" * 4,
            evidence=Evidence(exchanges=(seen,)),
        )  # fmt: skip
        if outcome is Outcome.FAILED:
            passed = replace(passed, symptom=Symptom.ASSERTION, message=f"assert {number} == {number + 1}")
        if _flaky(number):
            yield replace(passed, outcome=Outcome.FAILED, symptom=Symptom.TIMEOUT, message="took too long")
            passed = replace(passed, attempt=2, flaky=True, started_at=at + timedelta(seconds=2))
        yield passed


def _finding(number: int, iteration: int) -> Finding:
    return Finding(
        f"f{number}", FindingState.PERSISTING, Cause.PRODUCT, Symptom.ASSERTION, f"signature {number}",
        f"finding {number}", None, tuple(_test(number * 100 + 7 + 100 * n) for n in range(20)), 1, iteration,
    )  # fmt: skip


async def make(path: Path, iterations: int, tests: int, *, judged: bool) -> None:
    """A store with a few small sessions and a large one, made last; not `judged`: its last tests still run."""
    store = open_store(f"sqlite:///{path}")
    try:
        for number in range(_SMALL):
            await _make_session(store, f"bench-20260101-00000{number}-smal", 1, 10, judged=True)
        await _make_session(store, "bench-20260102-000000-huge", iterations, tests, judged=judged)
    finally:
        await store.close()


async def _make_session(store: Journal, name: str, iterations: int, tests: int, *, judged: bool) -> None:
    making = Making(store, name)
    async with store.own(name):
        await making.begin()
        for iteration in range(1, iterations + 1):
            await making.run_tests(iteration, tests)
            if judged or iteration < iterations:
                await making.judge(iteration, tests, last=iteration == iterations)


async def judge(path: Path, tests: int) -> None:
    """Ends the large session of a store that was made with its tests still running."""
    store = open_store(f"sqlite:///{path}")
    try:
        head = await store.find("latest")
        making = Making(store, head.id)
        async with store.own(head.id):
            await making.judge(1, tests, last=True)
    finally:
        await store.close()


# ------------------------------------------------------------------------------------------------------------- timing


@dataclass(frozen=True)
class Took:
    """One run of a command. `first_s` is to its first line; `cpu_s` and `peak_mb` are its own."""

    first_s: float
    whole_s: float
    cpu_s: float
    peak_mb: float
    lines: int


class Timing:
    """Runs commands on one store and tells of each in a line."""

    def __init__(self, store: Path, name: str, runs: int) -> None:
        self._store = store
        self._name = name
        self._runs = runs
        self.slow: list[str] = []

    def whole(self, *words: str) -> None:
        """From the start of the process to its end."""
        took = [self._run(words) for _ in range(self._runs)]
        self._tell(words, [one.whole_s for one in took], f"CPU {min(one.cpu_s for one in took):.2f} s", took[-1])

    def listing(self, *words: str) -> None:
        """From the start of the process to its first line, and once to its end."""
        took = self._run(words)
        firsts = [took.first_s, *(self._run(words, most=1).first_s for _ in range(self._runs - 1))]
        self._tell(words, firsts, f"to the first of {took.lines:,} lines, {took.whole_s:.1f} s to the last", took)

    def head(self, *words: str) -> None:
        """From the start of the process to its end once nobody reads its second line."""
        took = [self._run(words, most=1) for _ in range(self._runs)]
        self._tell(
            [*words, "| head -1"],
            [one.whole_s for one in took],
            f"to its end, CPU {min(one.cpu_s for one in took):.2f} s",
            took[-1],
        )

    def _run(self, words: Sequence[str], most: int | None = None) -> Took:
        command = [sys.executable, "-m", "netra_loop.cli.main", "--store", str(self._store), *words]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NETRA_LOOP")}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        first, lines, peak = 0.0, 0, Peak()
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environ, cwd=self._store.parent, **streams) as process:
            peak(process.pid)
            assert process.stdout is not None
            for _ in process.stdout:
                first = first or time.perf_counter() - began
                lines += 1
                if lines == most:
                    break
            process.stdout.close()
        if process.returncode != 0 or not lines:
            raise Failed(f"{' '.join(command)} exited with {process.returncode} after {lines} lines")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Took(first, time.perf_counter() - began, cpu_s, peak.mb, lines)

    def _tell(self, words: Sequence[str], times: Sequence[float], more: str, last: Took) -> None:
        best = min(times)
        sign = "" if best < LIMIT_S else "  TOO SLOW"
        if sign:
            self.slow.append(f"{self._name}: {' '.join(words)}")
        took = f"{best:.2f} s (median {statistics.median(times):.2f} s) {more}; peak {last.peak_mb:.0f} MB"
        print(f"sessions: {self._name}: {' '.join(words)}: {took}{sign}", flush=True)


def time_all(path: Path, name: str, runs: int, *, judged: bool) -> list[str]:
    """Every command that only looks, on the large session of the store."""
    timing = Timing(path, name, runs)
    timing.whole("list")
    timing.whole("list", "--json")
    timing.whole("status")
    timing.whole("status", "--json")
    timing.whole("results", "latest", "--test", _test(7), "--json")
    timing.listing("results", "latest", "--json")
    timing.head("results", "latest", "--iteration", "all", "--json")
    timing.head("results", "latest")
    timing.head("results", "latest", "--why", "--json")
    timing.whole("journal", "latest", "--json")
    timing.whole("journal", "latest")
    if judged:
        timing.whole("findings", "latest", "--json")
    timing.head("watch", "latest", "--plain")
    return timing.slow


def main() -> None:
    """Makes, times and prints. Exit 1 where a command takes longer than it may."""
    options = parser(__doc__, runs=5)
    options.add_argument("--results", type=int, default=1_000_000, help="in a store (default: %(default)s)")
    options.add_argument("--iterations", type=int, default=20, help="of the first store (default: %(default)s)")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="where the stores are, or are to be left")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="netra-loop-bench-") as temporary:
        slow = run(given, given.keep or Path(temporary))
    if slow:
        sys.exit(f"more than {LIMIT_S} s: {', '.join(slow)}")


def run(given: argparse.Namespace, folder: Path) -> list[str]:
    share = given.results // given.iterations
    folder.mkdir(parents=True, exist_ok=True)
    small, night, running, judged = (folder / name / "journal.db" for name in ("small", "night", "running", "judged"))
    _make_once(small, lambda: asyncio.run(make(small, 1, 10, judged=True)))
    _make_once(night, lambda: asyncio.run(make(night, given.iterations, share, judged=True)))
    _make_once(running, lambda: asyncio.run(make(running, 1, given.results, judged=False)))
    _make_once(judged, lambda: _judged_copy(running, judged, given.results))
    return [
        *time_all(small, "1 x 10", given.runs, judged=True),
        *time_all(night, f"{given.iterations} x {share:,}", given.runs, judged=True),
        *time_all(running, f"1 x {given.results:,}, running", given.runs, judged=False),
        *time_all(judged, f"1 x {given.results:,}, judged", given.runs, judged=True),
    ]


def _make_once(path: Path, make_it: Callable[[], None]) -> None:
    if path.exists():
        return
    began = time.monotonic()
    path.parent.mkdir(parents=True)
    make_it()
    size = sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())
    print(f"sessions: {path.parent.name}: made in {time.monotonic() - began:.0f} s, {size / 1e6:,.0f} MB", flush=True)


def _judged_copy(running: Path, judged: Path, tests: int) -> None:
    shutil.copytree(running.parent, judged.parent, dirs_exist_ok=True)
    asyncio.run(judge(judged, tests))


if __name__ == "__main__":
    main()
