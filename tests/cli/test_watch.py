"""What `watch` tells of a session that another process runs."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from datetime import timedelta

import pytest

from netra_loop.cli.watch import ToldClock, show
from netra_loop.core.events import (
    PhaseFinished,
    PhaseStarted,
    RevisionReady,
    SessionEnded,
    SessionStarted,
    TestsSelected,
)
from netra_loop.core.records import Batch, Outcome
from netra_loop.report.observer import Silence
from netra_loop.report.plain import PlainConsole
from netra_loop.testing import FakeClock, MemoryJournal
from netra_loop.testing.rows import T0, after, attempt, entry, head, result

S = "golden-1"


class Quick(ToldClock):
    """Its waits are turns of the event loop."""

    async def sleep(self, seconds):
        await asyncio.sleep(0)


class Eye(Silence):
    """Keeps what it is told, and the time at which it is told."""

    def __init__(self, clock):
        self.seen = []
        self._clock = clock

    def _keep(self, *what):
        self.seen.append((*what, (self._clock.now() - T0).total_seconds()))

    def event(self, recorded):
        self._keep(recorded.event.kind)

    def plan(self, total):
        self._keep("plan", total)

    def started(self, attempt):
        self._keep("started", attempt.id)

    def finished(self, result):
        self._keep("finished", result.id)

    def stood(self, before):
        self._keep("stood", before.done, before.failed, before.flaky, [one.id for one in before.newest])

    def again(self, earlier):
        self._keep("again", earlier.id, earlier.attempt)

    def logged(self, entries, others=0):
        self.seen.append(("logged", [entry.insert_id for entry in entries], others))


@pytest.fixture
async def write():
    """Appends to a session that begins with two iterations' events; the journal's clock says when."""
    clock = FakeClock(T0)
    journal = MemoryJournal(clock)
    started = SessionStarted(loop="l", loop_file="l.yaml", loop_text="", environment="here", first_phase="deploy")
    async with journal.own(S):
        await journal.create(head(S), Batch(events=(started,)))

        async def append(*events, at=0.0, **rows):
            clock.advance(max(0.0, at - clock.monotonic()))
            await journal.append(S, Batch(events=events, **rows))

        append.journal = journal
        ready = RevisionReady(iteration=1, phase="deploy", service="backend", revision="b-1", url="http://b", ws_url="")
        await append(PhaseStarted(iteration=1, phase="deploy", uses="deploy"), ready, at=1)
        await append(PhaseFinished(iteration=1, phase="deploy", outcome="ok", target="select"), at=2)
        yield append


async def executing(write, *, iteration=2):
    await write(PhaseStarted(iteration=iteration, phase="select", uses="select"), at=3)
    await write(TestsSelected(iteration=iteration, phase="select", selected=3))
    await write(PhaseFinished(iteration=iteration, phase="select", outcome="ok", target="execute"))
    await write(PhaseStarted(iteration=iteration, phase="execute", attempt=1, uses="execute"), at=4)


async def ended(write, at):
    await write(PhaseFinished(iteration=2, phase="execute", outcome="ok", target="stop"), at=at)
    await write(SessionEnded(iteration=2, outcome="unmet", exit_code=1, reason="asked to"))


async def watched(write, observer=None):
    clock = Quick()
    eye = observer(clock) if observer else Eye(clock)
    pulse = await show(write.journal, S, eye, clock)
    return eye, pulse


def of(**changes):
    return {"iteration": 2, **changes}


async def test_the_newest_iteration_is_told_at_its_own_times(write):
    await executing(write)
    begun = tuple(attempt(id_, **of(started_at=after(second))) for id_, second in (("a", 4.5), ("b", 5)))
    done = result("a", **of(started_at=after(4.5), duration_s=1.5))
    await write(started=begun, results=(done,), entries=(entry("e1", **of()),))
    await ended(write, 9)
    eye, pulse = await watched(write)
    assert eye.seen == [
        ("session_started", 0.0),
        ("revision_ready", 1.0),  # still what is tested
        ("phase_started", 3.0),
        ("tests_selected", 3.0),
        ("phase_finished", 3.0),
        ("phase_started", 4.0),
        ("plan", 3, 4.0),
        ("logged", ["e1"], 0),
        ("stood", 1, 0, 0, [], 9.0),
        ("phase_finished", 9.0),
        ("session_ended", 9.0),
    ]
    assert pulse.state.exit_code == 1


async def test_what_happens_from_now_on_is_told_as_well(write):
    await executing(write)
    await write(started=(attempt("a", **of(started_at=after(5))),))
    watching = asyncio.create_task(watched(write))
    for _ in range(10):
        await asyncio.sleep(0)
    await write(results=(result("a", **of(started_at=after(5), duration_s=1)),), entries=(entry("e1", **of()),))
    for _ in range(10):
        await asyncio.sleep(0)
    await ended(write, 9)
    eye, _ = await watching
    kinds = [one[0] for one in eye.seen]
    assert kinds[-7:] == ["plan", "started", "stood", "finished", "logged", "phase_finished", "session_ended"]


async def test_tests_that_ended_before_are_told_as_a_sum_and_the_last_failures_by_name(write):
    await executing(write)
    rows = [result(f"t{n:02d}", **of(started_at=after(5), outcome=Outcome.FAILED)) for n in range(25)]
    rows.append(result("ok", **of(started_at=after(5), flaky=True)))
    begun = tuple(attempt(row.id, **of(started_at=after(5))) for row in (*rows, result("under way")))
    await write(started=begun, results=tuple(rows))
    watching = asyncio.create_task(watched(write))
    for _ in range(10):
        await asyncio.sleep(0)
    await write(results=(result("under way", **of(started_at=after(5), duration_s=2)),))
    await ended(write, 9)
    eye, _ = await watching
    told = [one[:-1] for one in eye.seen if one[0] in {"started", "stood", "finished"}]
    assert told == [
        ("started", "under way"),
        ("stood", 26, 25, 1, [f"t{n:02d}" for n in range(5, 25)]),
        ("finished", "under way"),
    ]


async def test_a_test_of_the_sum_that_ends_once_more_is_counted_once(write):
    await executing(write)
    failed = of(started_at=after(5), outcome=Outcome.FAILED, message="no")
    await write(results=(result("a", **failed), result("b", **of(started_at=after(5)))))
    watching = asyncio.create_task(watched(write))
    for _ in range(10):
        await asyncio.sleep(0)
    second = [result("a", **of(attempt=n, started_at=after(10 * n))) for n in (2, 3)]
    await write(results=(*second, result("c", **of(started_at=after(30)))))
    await ended(write, 40)
    eye, _ = await watching
    told = [one[:-1] for one in eye.seen if one[0] in {"stood", "again", "finished"}]
    assert told == [("stood", 2, 1, 0, ["a"]), ("again", "a", 1), *[("finished", id_) for id_ in "aac"]]


async def test_many_entries_are_counted_and_the_newest_looked_at(write):
    await executing(write)
    rows = tuple(entry(f"e{n:03d}", **of(timestamp=after(n))) for n in range(250))
    await write(entries=rows, results=(result("a", **of()),))
    await ended(write, 9)
    eye, _ = await watched(write)
    (logged,) = [one for one in eye.seen if one[0] == "logged"]
    assert logged == ("logged", [f"e{n:03d}" for n in range(50, 250)], 50)


async def test_tests_that_run_once_more_are_told_alone(write):
    await executing(write)
    await write(results=(result("a", **of(started_at=after(4.5))),))
    await write(PhaseFinished(iteration=2, phase="execute", outcome="ok", target="execute"), at=6)
    await write(PhaseStarted(iteration=2, phase="execute", attempt=2, uses="execute"), at=7)
    await write(results=(result("a", **of(attempt=2, started_at=after(8))),))
    await ended(write, 9)
    eye, _ = await watched(write)
    assert [one[1] for one in eye.seen if one[0] in {"stood", "finished"}] == [1]
    assert "again" not in {one[0] for one in eye.seen}


async def test_lines_carry_the_time_of_what_they_tell(write):
    await executing(write)
    failed = replace(result("a", **of(started_at=after(4.5), duration_s=1.5)), outcome=Outcome.FAILED, message="no")
    await write(started=(attempt("a", **of()),), results=(failed,))
    await ended(write, 9)
    stream = io.StringIO()
    await watched(write, lambda clock: PlainConsole(stream, clock))
    at = f"{T0 + timedelta(seconds=6):%H:%M:%S}"
    assert f"{at} [2] FAILED a (P1, 1.50 s): no" in stream.getvalue().splitlines()
