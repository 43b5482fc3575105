"""A night's log entries, from Cloud Logging's pages to what `record` makes of them, on one core.

    python benchmarks/logs.py [--entries 100000] [--runs 3]

The entries are what a service of three instances logs while a thousand tests run: JSON lines with payloads, requests
(two thirds of both with a test's trace), plain lines, stack traces with an entry for each line, of two threads at
once. Measured is everything that netra-loop does with them: the protobuf messages are parsed, read, redacted, joined
to tests and stored in SQLite, durable page by page (`collect-logs`); then they are read again in the order of time,
but for those that no error can be in, their stack traces put together, errors grouped (`record`). Not measured is the
server that made the pages. Each run is a process of its own, bound to one core, and counts the CPU time of all its
threads, since others may use the machine; of several runs the one that was disturbed least is told, with the median
beside it. Memory is its highest resident memory (VmHWM), beside that at a tenth of the entries.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse
from harness import HERE, field_mb, parser

from netra_loop.clock import SystemClock, rfc3339
from netra_loop.cloud.base import LogQuery
from netra_loop.cloud.google_reads import LogReader
from netra_loop.cloud.log_reads import ReadBudget
from netra_loop.core import events as ev
from netra_loop.core.collecting import seldom
from netra_loop.core.records import AttemptStarted, Authenticity, Batch, Outcome, Result
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import EnvironmentSpec, LoopSpec, PhaseSpec, ServiceSpec
from netra_loop.core.state import State, fold
from netra_loop.journal.base import SessionHead
from netra_loop.journal.store import open_store
from netra_loop.phases import log_reading
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.retrospect import errors_grouped, reviewed
from netra_loop.phases.scope import Scope
from netra_loop.report.observer import Silence

SESSION = "bench-20260101-000000-abcd"
REVISION = "backend-00001-abc"
_TESTS = 1000
_PAGE = 1000
_NIGHT_S = 8 * 3600.0
_TARGET = 20_000
_MAKING = "making"
# What is measured, in this order: pages to records, secrets, tests, SQLite; rows to records, traces and groups.
STAGES = ("read", "redacted", "joined", "stored", "read again", "reviewed")
_TRACEBACK = """\
Traceback (most recent call last):
  File "/app/agent_backend/server.py", line 60, in handle
    await session.serve(request)
  File "/app/agent_backend/core.py", line {line}, in execute
    return await orchestrator.execute(request)
                 ^^^^^^^^^^^^^^^^^^^^
AttributeError: 'NoneType' object has no attribute 'execute'"""
_PREFIX = "projects/bench/logs/run.googleapis.com%2F"


# ------------------------------------------------------------------------------------------------------ what is read


def trace_of(test: int) -> str:
    return f"{test + 1:032x}"


def pages(entries: int, start: datetime) -> Iterator[bytes]:
    """Serialised answers of ListLogEntries. Made as they are asked for, so that they are not in memory either."""
    dice = random.Random(7)
    page = ListLogEntriesResponse.pb(ListLogEntriesResponse())
    waiting: list[tuple[str, dict[str, Any]]] = []
    for number in range(entries):
        if not waiting:
            waiting = list(_happening(dice, number, entries))
        log, fields = waiting.pop(0)
        entry = page.entries.add()
        entry.log_name = _PREFIX + log
        entry.resource.type = "cloud_run_revision"
        for name, value in (("service_name", "backend"), ("revision_name", REVISION), ("location", "europe-west1")):
            entry.resource.labels[name] = value
        at = start + timedelta(seconds=number * _NIGHT_S / entries)
        if fields.pop("at_once", False):
            at = start + timedelta(seconds=fields.pop("base") * _NIGHT_S / entries, microseconds=number % 1000)
        entry.timestamp.FromDatetime(at)
        entry.insert_id = f"{number:024x}"
        entry.labels["instanceId"] = f"{fields.pop('instance'):0128x}"
        entry.severity = fields.pop("severity", 0)
        if test := fields.pop("trace", None):
            entry.trace = f"projects/bench/traces/{trace_of(test)}"
        if "text" in fields:
            entry.text_payload = fields["text"]
        elif "payload" in fields:
            entry.json_payload.update(fields["payload"])
        else:
            entry.http_request.request_method = "POST"
            entry.http_request.request_url = fields["url"]
            entry.http_request.status = fields["status"]
            entry.http_request.latency.FromMilliseconds(fields["ms"])
            entry.http_request.user_agent = "python-httpx/0.28"
        if len(page.entries) == _PAGE or number == entries - 1:
            page.next_page_token = "" if number == entries - 1 else str(number)
            yield page.SerializeToString()
            page = ListLogEntriesResponse.pb(ListLogEntriesResponse())  # one that is cleared keeps its memory


def _happening(dice: random.Random, number: int, entries: int) -> Iterator[tuple[str, dict[str, Any]]]:
    instance, test = dice.randrange(3), number * _TESTS // entries
    traced = {"trace": test} if dice.random() < 0.67 and test else {}
    kind = dice.random()
    if kind < 0.45:
        payload = {
            "message": f"step {number} of run run-{test:06d} done",
            "logger": "agent_backend.core",
            "event": "tool_executing",
            "run_id": f"run-{test:06d}",
            "duration_ms": dice.randrange(900),
            "details": {"tool": "search", "results": [1, 2, 3]},
        }
        yield "stdout", {"instance": instance, "severity": 200, "payload": payload, **traced}
    elif kind < 0.75:
        url = f"https://backend-abc-ew.a.run.app/api/runs/{number}/messages?page=2"
        status = 500 if dice.random() < 0.01 else 200
        yield "requests", {"instance": instance, "severity": 200, "url": url, "status": status, "ms": 120, **traced}
    elif kind < 0.985:
        yield "stderr", {"instance": instance, "text": f"INFO:  10.0.0.{number % 250}:5{number % 1000:03d} - accepted"}
    else:
        one, other = (_TRACEBACK.format(line=line).splitlines() for line in (61, 87))
        for first, second in zip(one, other, strict=True):  # two threads write at once
            for text in (first, second):
                yield "stderr", {"instance": instance, "text": text, "at_once": True, "base": number}


# ------------------------------------------------------------------------------------------------------ who reads it


class Stages:
    """CPU seconds of the whole process, by what they went to. A stage within another does not count for that one."""

    def __init__(self) -> None:
        self.took = dict.fromkeys(STAGES, 0.0)
        self._within = [""]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.took[self._within[-1]] = self.took.get(self._within[-1], 0.0) + now - self._since
        self._since = now

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        self._turn()
        self._within.append(stage)
        try:
            yield
        finally:
            self._turn()
            self._within.pop()

    async def pages(self, stage: str, given: AsyncIterator[Any]) -> AsyncIterator[Any]:
        while True:
            with self.of(stage):
                page = await anext(given, None)
            if page is None:
                return
            yield page


class Calls:
    """Makes each call once."""

    def patient(self) -> None:
        """Nothing fails here."""

    async def once(self, _: str, make: Any) -> Any:
        return await make()


class Cloud:
    """Gives the pages, through the reader that real ones go through."""

    def __init__(self, entries: int, start: datetime, stages: Stages) -> None:
        self._made = pages(entries, start)
        self._stages = stages
        self._reader = LogReader(Calls(), self._ask, "bench", budget=ReadBudget(SystemClock(), 1_000_000))  # type: ignore[arg-type]

    async def _ask(self, _: ListLogEntriesRequest) -> ListLogEntriesResponse:
        with self._stages.of(_MAKING):
            raw = next(self._made)
        return ListLogEntriesResponse.deserialize(raw)

    def entries(self, query: LogQuery) -> Any:
        return self._stages.pages("read", self._reader.entries(query))


class Session:
    """A session that has run its tests, in a store on disk."""

    def __init__(self, folder: Path, start: datetime, stages: Stages) -> None:
        self.journal = open_store(f"sqlite:///{folder / 'store' / 'journal.db'}")
        self._stages = stages
        read_again = self.journal.entry_pages
        self.journal.entry_pages = lambda *given, **more: stages.pages("read again", read_again(*given, **more))  # type: ignore[method-assign]
        self.state = State()
        self._start = start
        self._loop = folder / "loops" / "bench.yaml"

    async def begin(self) -> None:
        started = ev.SessionStarted(loop="bench", loop_file="", loop_text="", environment="here", first_phase="collect")
        head = SessionHead(SESSION, "bench", "here", "running", 1, None, self._start, self._start)
        self.state = fold(await self.journal.create(head, Batch(events=(started,))))
        ready = ev.RevisionReady(service="backend", revision=REVISION, url="http://b", ws_url="ws://b", iteration=1)
        phase = ev.PhaseStarted(iteration=1, phase="collect", attempt=1, uses="collect-logs")
        await self.record(Batch(events=(phase, ready)))
        each = _NIGHT_S / _TESTS
        results = [
            Result(
                f"tests/test_a.py::test_{n}", "P1", 1, 1, Outcome.PASSED, each,
                self._start + timedelta(seconds=n * each), "gw0", REVISION, trace_of(n),
                authenticity=Authenticity.REAL,
            )
            for n in range(_TESTS)
        ]  # fmt: skip
        begun = [AttemptStarted(one.id, 1, 1, "gw0", one.started_at, one.trace_id) for one in results]
        await self.record(Batch(started=tuple(begun), results=tuple(results)))

    async def record(self, batch: Batch) -> None:
        with self._stages.of("stored"):
            self.state = fold(await self.journal.append(SESSION, batch), self.state)

    def context(self) -> PhaseContext:
        spec = LoopSpec(
            name="bench",
            path=self._loop,
            environments={"here": EnvironmentSpec()},
            services={"backend": ServiceSpec(command=("serve",))},
            phases=(PhaseSpec(name="collect", uses="collect-logs"),),
        )
        redactor = Redactor(["a-secret-of-the-loop", "another-secret"])
        tools: Any = SimpleNamespace(redactor=redactor, workspace=None, folder=self._loop.parent / SESSION)
        return PhaseContext(
            session=SESSION, spec=spec, environment=spec.environments["here"], phase=spec.phases[0], iteration=1,
            attempt=1, only=None, state=lambda: self.state, journal=self.journal, record=self.record,
            clock=SystemClock(), observer=Silence(), tools=tools, scope=lambda: Scope(spec, "here", SESSION, 1, {}),
        )  # fmt: skip


async def run(entries: int) -> dict[str, float]:
    start = datetime.now(UTC).replace(microsecond=0)
    stages = Stages()
    told: Any = log_reading
    redact = told.redact_many

    def redacted(redactor: Redactor, values: Sequence[Any]) -> list[Any]:
        with stages.of("redacted"):
            return redact(redactor, values)

    told.redact_many = redacted
    with tempfile.TemporaryDirectory(prefix="netra-loop-bench-") as folder:
        session = Session(Path(folder), start, stages)
        async with session.journal.own(SESSION):
            await session.begin()
            stages.took.clear()
            cloud, context = Cloud(entries, start, stages), session.context()
            reading = log_reading.Reading(context, cloud, (REVISION,))  # type: ignore[arg-type]
            gc.freeze()  # as a command does with all that it imported
            seldom()  # likewise
            begun, begun_s = time.monotonic(), time.process_time()
            with stages.of("joined"):  # and whatever else is between the others
                await reading.begin()
                await reading.sweep(set())
            final = ev.LogsRead(entries=0, cursor=rfc3339(start), complete=True, iteration=1, phase="collect")
            await session.record(Batch(events=(final,)))
            stored = await session.journal.results(SESSION, 1, bodies=False)
            with stages.of("reviewed"):
                review = await reviewed(context, stored)
                review.finish()
                errors = await errors_grouped(context, review)
            whole_s, wall_s = time.process_time() - begun_s, time.monotonic() - begun
        await session.journal.close()
    assert session.state.log_entries == entries, session.state.log_entries
    assert errors is not None
    making_s = stages.took.pop(_MAKING)
    return {
        **{stage: stages.took[stage] for stage in STAGES},
        "cpu_s": whole_s - making_s,
        "wall_s": wall_s - making_s,
        "groups": len(errors.groups),
        "peak_mb": field_mb(Path("/proc/self/status"), "VmHWM") or 0.0,
    }


def measured(entries: int) -> dict[str, float]:
    output = subprocess.run(
        [sys.executable, str(HERE / "logs.py"), "--one", "--entries", str(entries)], check=True, stdout=subprocess.PIPE
    ).stdout
    found: dict[str, float] = json.loads(output)
    return found


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__)
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument("--one", action="store_true", help="one run in this process, as JSON")
    given = options.parse_args()
    if given.one:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(asyncio.run(run(given.entries))))
        return
    few = measured(given.entries // 10)
    runs = [measured(given.entries) for _ in range(given.runs)]
    best = min(runs, key=lambda one: one["cpu_s"])
    usual_s = statistics.median(one["cpu_s"] for one in runs)
    print(
        f"logs: {given.entries} entries on one core (target {_TARGET}/s): "
        f"{given.entries / best['cpu_s']:,.0f}/s of CPU "
        f"(best of {given.runs}, median {given.entries / usual_s:,.0f}/s), "
        f"{given.entries / best['wall_s']:,.0f}/s by the clock; "
        f"{best['groups']:.0f} error groups; peak {best['peak_mb']:.0f} MB, at a tenth {few['peak_mb']:.0f} MB"
    )
    each = ", ".join(f"{stage} {best[stage] / given.entries * 1e6:.1f}" for stage in STAGES)
    print(f"logs: microseconds an entry: {each}; together {best['cpu_s'] / given.entries * 1e6:.1f}")


if __name__ == "__main__":
    main()
