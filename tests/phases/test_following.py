"""Tests of following the logs while tests run."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from netra_loop.core.records import Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import PhaseSpec
from netra_loop.errors import CloudCallFailed
from netra_loop.testing import FakeCloud, FakeRunner

PASSED = Outcome.PASSED


class Talking(FakeRunner):
    """Tests that take a while, and a revision that says something meanwhile; `during` is called once they run."""

    def __init__(self, bench, during):
        super().__init__({"tests/test_a.py::one": bench.real(PASSED)}, clock=bench.clock)
        self._bench = bench
        self._during = during

    async def run(self, plan):
        self.traces = {planned.id: planned.trace_id for planned in plan}
        events = super().run(plan)
        yield await anext(events)
        await self._bench.clock.sleep(2)  # the tail is open by then
        self._during(self)
        await self._bench.clock.sleep(10)
        async for event in events:
            yield event


@pytest.fixture
def act(bench):
    """Runs tests while the revision logs; the loop collects logs, from `severity` on where it says so."""

    async def acted(during, severity=None, *, collects=True):
        bench.logged = []
        bench.watcher.logged = lambda entries, others=0: bench.logged.append((len(entries), others))
        await bench.deployed()
        with_ = {} if severity is None else {"severity": severity}
        collecting = (PhaseSpec(name="collect", uses="collect-logs", with_=with_),) if collects else ()
        bench.change(phases=(*bench.spec.phases, *collecting))
        bench.tools.runner = Talking(bench, during)
        await bench.act("select")
        return await bench.act("execute")

    return acted


async def stored(bench):
    return [entry.message for entry in await bench.journal.entries(bench.session)]


async def test_what_is_logged_while_tests_run_is_stored_and_shown(bench, act):
    result = await act(lambda _: [bench.entry("one"), bench.entry("two")])
    assert result.facts["passed"] == 1
    assert await stored(bench) == ["one", "two"]
    assert bench.logged == [(2, 0)]


async def test_the_sweep_has_the_last_word_and_counts_each_entry_once(bench, act):
    await act(lambda _: bench.entry("seen"))
    assert (bench.state.log_entries, bench.state.logs_complete) == (0, None)
    bench.entry("while nobody looked", -1.0)
    result = await bench.act("collect-logs")
    assert result.facts["complete"]
    told = await bench.journal.entries(bench.session)
    assert {"while nobody looked", "seen"} < {entry.message for entry in told}
    assert result.facts["entries"] == len(told) == 3  # the marked request is the third


async def test_an_entry_is_its_tests_by_trace_and_the_sweep_adds_what_time_says(bench, act):
    def during(runner):
        bench.entry("traced", trace_id=runner.traces["tests/test_a.py::one"])
        bench.entry("untraced")

    await act(during)
    tests = {entry.message: entry.tests for entry in await bench.journal.entries(bench.session)}
    assert tests == {"traced": ("tests/test_a.py::one",), "untraced": ()}


async def test_what_is_followed_is_redacted(bench, act):
    bench.tools.redactor = Redactor(["open-sesame"])
    await act(lambda _: bench.entry("say open-sesame"))
    assert await stored(bench) == ["say [redacted]"]


async def test_the_severity_is_that_of_collect_logs(bench, act):
    await act(lambda _: [bench.entry("low"), bench.entry("high", severity="ERROR")], "WARNING")
    assert await stored(bench) == ["high"]


async def test_a_loop_that_collects_no_logs_follows_none(bench, act):
    await act(lambda _: bench.entry("one"), collects=False)
    assert await stored(bench) == []


async def test_a_flood_is_stored_in_portions_and_the_rest_left_to_the_sweep(bench, act):
    await act(lambda _: [bench.entry(str(number)) for number in range(2_500)])
    assert bench.logged == [(500, 500), (500, 0), (500, 0), (500, 0)]
    assert len(await stored(bench)) == 2_000


async def test_logs_that_cannot_be_followed_do_not_end_the_tests(bench, act):
    class Deaf(FakeCloud):
        async def tail(self, query, missed=None):
            raise CloudCallFailed("following log entries", "PERMISSION_DENIED", "you lack open-sesame")
            yield

    bench.tools.redactor = Redactor(["open-sesame"])
    bench.cloud = bench.tools.fake_cloud = Deaf(bench.clock)
    result = await act(lambda _: None)
    assert result.facts["passed"] == 1
    (note,) = await bench.events("noted")
    assert "the logs cannot be followed while tests run, they are read afterwards" in note.text
    assert "PERMISSION_DENIED: you lack [redacted]" in note.text


async def test_the_end_of_the_tests_waits_for_nobody(bench, act):
    class Stubborn(FakeCloud):
        async def tail(self, query, missed=None):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            yield ()

    ended = []
    bench.cloud = bench.tools.fake_cloud = Stubborn(bench.clock)
    result = await act(lambda _: None)
    assert (result.facts["passed"], ended) == (1, [True])


async def test_what_the_cloud_left_out_is_told(bench, act):
    class Lossy(FakeCloud):
        async def tail(self, query, missed=None):
            missed(7)
            await asyncio.Event().wait()
            yield ()

    bench.cloud = bench.tools.fake_cloud = Lossy(bench.clock)
    await act(lambda _: None)
    assert bench.logged == [(0, 7)]


async def test_a_resume_takes_what_was_followed_for_nothing_that_was_read(bench, act):
    await act(lambda _: [bench.entry("early"), bench.entry("late", 5.0)])
    context = await bench.open("collect-logs")
    bench.cloud.logs.append(replace(bench.cloud.logs[0], message="between", insert_id="x"))
    result = await bench.recover(context)
    assert result.facts["entries"] == len(await bench.journal.entries(bench.session)) == 4
