"""The result of a test whose own process could not tell it: killed at its limit, or dead before its end.

Beside the outcome stands what is known of the moment: the signal or code, all threads' stacks, what it printed, its
last exchange, whether it stood still, whether the kernel was out of memory.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from netra_loop.core.records import Evidence, Outcome
from netra_loop.execution import pool_launch
from netra_loop.execution.base import Finished, Planned
from netra_loop.execution.pool_result import finished
from netra_loop.execution.pool_worker import Worker

_LET_GO = 113  # `agent.wire.LET_GO`
_KILLED = "killed by SIGKILL"


class MemoryWatch:
    """Whether the kernel killed processes for want of memory since it was last asked."""

    def __init__(self, file: Path = Path("/proc/vmstat")) -> None:
        self._file = file
        self._count = self._read()

    def kills(self) -> int:
        """How many processes of this machine; 0 where the system does not tell."""
        before, self._count = self._count, self._read()
        return max(0, self._count - before)

    def _read(self) -> int:
        try:
            rows = self._file.read_text().splitlines()
        except OSError:
            return 0
        return next((int(row.split()[1]) for row in rows if row.startswith("oom_kill ")), 0)


def how(worker: Worker, code: int | None, memory: MemoryWatch) -> str:
    """How a worker that we did not kill came to its end, in a line."""
    if not worker.astray and code == _LET_GO:
        return "its process closed the connection that it reports through"
    if worker.astray:
        return f"{worker.astray}, and was killed"
    ending = pool_launch.ending(code)
    if ending != _KILLED:
        return ending
    kills = memory.kills()
    if not kills:
        return f"{ending}, not by netra-loop"
    return f"{ending}, not by netra-loop: the kernel ran out of memory (processes it killed for that: {kills})"


def crashed(worker: Worker, planned: Planned, why: str, now: datetime, took_s: float) -> Finished:
    """The running test of a worker that is dead."""
    worker.look()
    return _cut(worker, planned, (Outcome.CRASHED, why), worker.stacks(), now, took_s)


def overdue(
    worker: Worker,
    planned: Planned,
    limit_s: float,
    stacks: str,
    now: datetime,
    took_s: float,
    *,
    frozen: bool = False,
) -> Finished:
    """The running test of a worker that is past its limit. What its call came to stands: only teardown was killed."""
    limit = f"{limit_s:g} s"
    still = "; its process stood still, stopped by a signal" if frozen else ""
    if worker.called is None or worker.started_at is None:
        return _cut(worker, planned, (Outcome.TIMEOUT, f"timed out after {limit}{still}"), stacks, now, took_s)
    note = f"---- teardown ----\nkilled: teardown did not end within the test's {limit}{still}\n{stacks}\n"
    said = {**worker.called, "output": worker.called["output"] + note}
    return finished(planned, worker.name, worker.started_at, said, worker.seen, worker.sources)


def _cut(
    worker: Worker,
    planned: Planned,
    told: tuple[Outcome, str],
    stacks: str,
    now: datetime,
    took_s: float,
) -> Finished:
    outcome, message = told
    started_at, evidence = worker.started_at or now, worker.seen.evidence()
    return Finished(
        planned.id,
        planned.attempt,
        worker.name,
        started_at,
        took_s,
        outcome,
        planned.trace_id,
        message,
        stacks or ("no stacks could be had of its process\n" if outcome is Outcome.TIMEOUT else ""),
        worker.words() + worker.seen.gaps() + last_words(evidence, started_at),
        evidence,
        sources=worker.sources,
    )


def last_words(evidence: Evidence, started_at: datetime) -> str:
    """What a test last did to the network before it was cut off, as a section of its output; empty for nothing."""
    lines = []
    if evidence.exchanges:
        last = evidence.exchanges[-1]
        answer = last.status if last.status is not None else last.error or "no answer"
        at_s = (last.started_at - started_at).total_seconds()
        lines.append(f"last exchange: {last.method} {last.url} -> {answer}, begun after {at_s:.3f} s")
    if evidence.frames:
        frame = evidence.frames[-1]
        at_s = (frame.at - started_at).total_seconds()
        what = " ".join(str(part) for part in (frame.direction, frame.kind, frame.event or frame.code or "") if part)
        lines.append(f"last frame: {what} on {frame.url}, after {at_s:.3f} s")
    return "".join(["---- when it was cut off ----\n", *(line + "\n" for line in lines)]) if lines else ""
