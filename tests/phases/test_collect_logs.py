"""Tests of `uses: collect-logs`."""

from dataclasses import replace

import pytest

from netra_loop.core.events import PhaseFinished, TrafficSeen
from netra_loop.core.records import Batch, Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import EnvironmentSpec
from netra_loop.errors import OutOfReads
from netra_loop.phases.base import PhaseResult
from netra_loop.phases.collect_logs import read_on
from netra_loop.testing import FakeCloud

SETTLE = {"settle_s": 5.0}


async def kept(bench):
    entries = await bench.journal.entries(bench.session, bench.iteration)
    return [entry.message for entry in entries if entry.log != "requests"]


async def test_logs_are_complete_once_the_marked_request_was_read(bench):
    await bench.deployed()
    bench.entry("served")
    result = await bench.act("collect-logs", **SETTLE)
    assert result.facts == {"entries": 2, "complete": True}
    assert (bench.state.logs_complete, bench.state.log_entries) == (True, 2)
    assert await kept(bench) == ["served"]


async def test_entries_that_arrive_late_are_waited_for(bench):
    class Late(FakeCloud):
        """Its request log can be read three seconds after the request."""

        async def entries(self, query):
            async for page in super().entries(query):
                yield page
            if self._clock.monotonic() > 3 and bench.tools.asked_url:
                await super().request(*bench.tools.asked_url.pop())

    bench.tools.fake_cloud = bench.cloud = Late(bench.clock)
    bench.tools.asked_url = []

    async def request(url, trace_id):
        bench.tools.asked_url.append((url, trace_id))

    await bench.deployed()
    bench.tools.request = request
    began = bench.clock.monotonic()
    result = await bench.act("collect-logs", **SETTLE)
    assert result.facts["complete"]
    assert 3 <= bench.clock.monotonic() - began < 6


async def test_logs_that_never_get_complete_are_said_to_be_so_and_fail_nothing(bench):
    await bench.deployed()
    bench.entry("served")
    bench.tools.answering = False
    began = bench.clock.monotonic()
    result = await bench.act("collect-logs", **SETTLE)
    assert (result.outcome, result.facts["complete"]) == ("ok", False)
    assert result.summary == "1 entry, not complete after 5 s"
    assert bench.state.logs_complete is False
    assert await kept(bench) == ["served"]
    assert 5 <= bench.clock.monotonic() - began < 6


class Limited(FakeCloud):
    """Its entries come one a page, each page a turn of the limit of reads: so many are free, each other takes 20 s.
    Marked requests can be read after so many pages.
    """

    free = 3
    mark_after = 0

    async def entries(self, query):
        async for page in super().entries(query):
            entries = [one for one in page.entries if self.mark_after <= 0 or one.log != "requests"]
            for number, entry in enumerate(entries or [None]):
                await self._turn(query)
                some = (entry,) if entry is not None else ()
                yield replace(page, entries=some, last=number >= len(entries) - 1)

    async def _turn(self, query):
        self.free, self.mark_after = self.free - 1, self.mark_after - 1
        if self.free < 0:
            if query.give_up is not None and self._clock.monotonic() + 20 > query.give_up():
                raise OutOfReads("reading log entries", 20)
            await self._clock.sleep(20)


async def test_the_time_to_settle_bounds_the_wait_for_reads_too(bench):
    bench.tools.fake_cloud = bench.cloud = Limited(bench.clock)
    bench.cloud.mark_after = 1000
    await bench.deployed()
    bench.cloud.free = 3
    bench.entry("served")
    began = bench.clock.monotonic()
    assert not (await bench.act("collect-logs", **SETTLE)).facts["complete"]
    assert bench.clock.monotonic() - began <= 5
    assert await kept(bench) == ["served"]
    assert any("the next in 20 s" in event.text for event in await bench.events("noted"))


async def test_a_sweep_that_brings_entries_is_read_to_its_end_however_long_that_takes(bench):
    bench.tools.fake_cloud = bench.cloud = Limited(bench.clock)
    await bench.deployed()
    bench.cloud.free = 1
    for number in range(6):
        bench.entry(f"{number}", second=number)
    began = bench.clock.monotonic()
    assert (await bench.act("collect-logs", **SETTLE)).facts["complete"]
    assert bench.clock.monotonic() - began > 60
    assert sorted(await kept(bench)) == [f"{number}" for number in range(6)]


async def test_a_straggler_behind_the_mark_is_waited_for_where_the_cloud_is_not_our_own(bench):
    class Straggling(FakeCloud):
        """An entry from before the mark can be read a second after it."""

        async def entries(self, query):
            async for page in super().entries(query):
                early = self._clock.monotonic() < began + 1
                yield replace(page, entries=tuple(one for one in page.entries if not early or one.log == "requests"))

    bench.tools.fake_cloud = bench.cloud = Straggling(bench.clock)
    began = bench.clock.monotonic()
    await bench.deployed()
    began = bench.clock.monotonic()
    bench.entry("served")
    bench.spec = bench.spec.model_copy(
        update={"environments": {"local": EnvironmentSpec(cloud="google", project="p", region="r")}}
    )
    assert (await bench.act("collect-logs", **SETTLE)).facts["complete"]
    assert await kept(bench) == ["served"]
    assert bench.clock.monotonic() - began <= 5


async def test_another_request_s_entry_completes_nothing(bench):
    await bench.deployed()
    bench.tools.answering = False
    bench.entry("", log="requests", trace_id="f" * 32)
    assert not (await bench.act("collect-logs", **SETTLE)).facts["complete"]


async def test_pages_read_again_and_again_are_stored_once(bench):
    await bench.deployed()
    bench.entry("served")
    bench.tools.answering = False
    await bench.act("collect-logs", **SETTLE)
    assert await kept(bench) == ["served"]
    assert bench.state.log_entries == 1


async def test_after_a_crash_nothing_is_stored_or_counted_twice(bench):
    await bench.deployed()
    bench.entry("served")
    context = await bench.open("collect-logs", **SETTLE)
    await bench.run(context)
    bench.entry("later", second=1)
    await bench.recover(context)
    assert await kept(bench) == ["served", "later"]
    assert bench.state.log_entries == len(await bench.journal.entries(bench.session, 1))


async def test_a_severity_keeps_the_request_log(bench):
    await bench.deployed()
    bench.entry("chatter")
    bench.entry("boom", severity="ERROR")
    result = await bench.act("collect-logs", severity="WARNING", **SETTLE)
    assert result.facts["complete"]
    assert await kept(bench) == ["boom"]


async def test_entries_of_other_revisions_and_of_long_ago_are_left_alone(bench):
    await bench.deployed()
    bench.entry("theirs", revision="backend-00009-fak")
    bench.entry("old", second=-3600)
    await bench.act("collect-logs", **SETTLE)
    assert await kept(bench) == []


async def test_a_failed_revision_s_entries_are_read_though_it_cannot_be_asked(bench):
    bench.cloud.fail_next("ContainerExited", "exit code 1")
    await bench.act("deploy")
    bench.entry("no module named x")
    result = await bench.act("collect-logs", **SETTLE)
    assert (result.outcome, result.facts["complete"]) == ("ok", False)
    assert "not known to be complete" in result.summary
    assert await kept(bench) == ["no module named x"]


async def test_without_a_cloud_there_is_nothing_to_wait_for(bench):
    bench.tools.fake_cloud = None
    assert (await bench.act("collect-logs", **SETTLE)).outcome == "ok"
    assert bench.state.logs_complete is None


async def test_without_a_revision_nothing_is_complete(bench):
    await bench.act("collect-logs", **SETTLE)
    assert bench.state.logs_complete is False


async def test_entries_are_redacted_before_they_are_stored(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    await bench.deployed()
    bench.entry("key open-sesame", payload={"message": "key open-sesame", "deep": ["open-sesame"]})
    await bench.act("collect-logs", **SETTLE)
    assert "open-sesame" not in str(await bench.journal.entries(bench.session))


async def test_what_another_revision_answered_to_a_test_is_read(bench):
    await bench.executed(one=Outcome.PASSED)
    (result,) = await bench.journal.results(bench.session, 1)
    theirs = {"log": "requests", "revision": "backend-00009-fak"}
    bench.entry("of the test", trace_id=result.trace_id, **theirs)
    bench.entry("of somebody", trace_id="f" * 32, **theirs)
    bench.entry("of another service", trace_id=result.trace_id, **{**theirs, "service": "elsewhere"})
    bench.entry("printed", trace_id=result.trace_id, revision="backend-00009-fak")
    await bench.act("collect-logs", **SETTLE)
    entries = await bench.journal.entries(bench.session, 1)
    assert [entry.message for entry in entries if entry.revision == "backend-00009-fak"] == ["of the test"]
    assert (await bench.act("record")).outcome == "inconclusive"


class Counting(FakeCloud):
    """Notes what was asked; requests' entries are held back until `release`."""

    def __init__(self, clock):
        super().__init__(clock)
        self.asked = []
        self.release = 0.0

    async def entries(self, query):
        self.asked.append(query)
        held = [] if self._clock.monotonic() >= self.release else [one for one in self.logs if one.log == "requests"]
        kept, self.logs = self.logs, [one for one in self.logs if one not in held]
        pages = [page async for page in super().entries(query)]
        self.logs = kept
        for page in pages:
            yield page


async def counting(bench):
    """A revision deployed to such a cloud, with nothing asked of it yet."""
    bench.tools.fake_cloud = bench.cloud = Counting(bench.clock)
    await bench.deployed()
    bench.cloud.asked.clear()
    return bench.cloud


async def test_a_long_wait_for_the_mark_takes_few_reads(bench):
    cloud = await counting(bench)
    cloud.release = bench.clock.monotonic() + 1e9
    assert not (await bench.act("collect-logs", settle_s=60.0)).facts["complete"]
    assert 10 < len(cloud.asked) <= 25
    assert all(query.traces for query in cloud.asked[1:-1])


async def test_a_mark_that_came_late_is_followed_by_one_more_look_at_all(bench):
    cloud = await counting(bench)
    cloud.release = bench.clock.monotonic() + 2.0
    assert (await bench.act("collect-logs", **SETTLE)).facts["complete"]
    assert [bool(query.traces) for query in cloud.asked] == [False, *[True] * (len(cloud.asked) - 2), False]


async def test_reading_goes_on_where_it_stood_with_an_overlap_as_long_as_the_slowest_request(bench):
    cloud = await counting(bench)
    bench.entry("slow", 1, log="requests", request={"status": 200, "latency_s": 40.0})
    bench.entry("late", 300)
    await bench.act("collect-logs", **SETTLE)
    cloud.asked.clear()
    await bench.act("collect-logs", attempt=2, **SETTLE)
    newest = max(one.timestamp for one in cloud.logs)
    assert (newest - cloud.asked[0].since).total_seconds() == 50.0
    assert bench.state.log_entries == len(await bench.journal.entries(bench.session, 1))


async def test_an_older_entry_that_comes_later_is_found(bench):
    cloud = await counting(bench)
    bench.entry("first", 5)
    await bench.act("collect-logs", **SETTLE)
    bench.entry("older, but later", 3)
    result = await bench.act("collect-logs", attempt=2, **SETTLE)
    assert result.facts["complete"]
    assert await kept(bench) == ["older, but later", "first"]
    assert cloud.asked


async def test_the_second_collection_has_the_last_word(bench):
    await bench.deployed()
    await bench.act("collect-logs", **SETTLE)
    assert bench.state.logs_complete is True
    bench.tools.answering = False
    await bench.act("collect-logs", attempt=2, **SETTLE)
    assert bench.state.logs_complete is False


async def test_an_entry_in_pieces_is_stored_as_far_as_known_and_then_whole(bench):
    class Pieces(FakeCloud):
        """The second piece can be read from the second sweep on."""

        swept = 0
        part = None

        async def entries(self, query):
            if self.part is None:
                async for page in super().entries(query):
                    yield page
                return
            self.swept += not query.traces
            pages = [page async for page in super().entries(query)]
            entry = replace(self.part, message="onetwo" if self.swept > 1 else "one")
            for page in pages:
                yield (
                    replace(page, unfinished=(entry,))
                    if self.swept == 1
                    else replace(page, entries=(*page.entries, entry))
                )

    cloud = bench.tools.fake_cloud = bench.cloud = Pieces(bench.clock)
    await bench.deployed()
    cloud.part = bench.entry("", 0, insert_id="split-u")
    cloud.logs.clear()
    await bench.act("collect-logs", **SETTLE)
    assert await kept(bench) == ["one"]
    await bench.act("collect-logs", attempt=2, **SETTLE)
    assert await kept(bench) == ["onetwo"]
    assert bench.state.log_entries == len(await bench.journal.entries(bench.session, 1))


async def test_entries_are_joined_as_they_are_stored(bench):
    await bench.executed(one=Outcome.PASSED)
    (result,) = await bench.journal.results(bench.session, 1)
    bench.entry("traced", trace_id=result.trace_id)
    bench.entry("at its time", (result.started_at - bench.clock.now()).total_seconds())
    bench.entry("long after", 100)
    await bench.act("collect-logs", **SETTLE)
    entries = await bench.journal.entries(bench.session, 1)
    assert {one.message: one.tests for one in entries if one.log != "requests"} == {
        "traced": (result.id,),
        "at its time": (result.id,),
        "long after": (),
    }


async def test_reading_on_while_tests_run_leaves_less_for_the_end(bench):
    cloud = await counting(bench)
    bench.entry("early", 1)
    context = await bench.open("execute")
    reading = await read_on(context, cloud)
    bench.clock.advance(100)
    bench.entry("later")
    await read_on(context, cloud, reading)
    await bench.close(context, PhaseResult("ok", ""))
    assert await kept(bench) == ["early", "later"]
    cloud.asked.clear()
    assert (await bench.act("collect-logs", **SETTLE)).facts["entries"] == 3
    assert cloud.asked[0].since > bench.cloud.logs[0].timestamp


BOOM = 'Traceback (most recent call last):\n  File "/app/a.py", line 3, in f\n    g()\n{name}: no'


async def grouped(bench, *errors, complete=True):
    """A turn of the loop with a revision that logs these errors; its groups."""
    await bench.executed(one=Outcome.PASSED)
    revision = bench.state.revisions["backend"].name
    for place, name in enumerate(errors):
        bench.entry(BOOM.format(name=name), place / 10, severity="ERROR", log="stderr", revision=revision)
    bench.tools.answering = complete
    await bench.act("collect-logs", **SETTLE)
    bench.tools.answering = True
    await bench.act("record")
    return bench.state.errors


async def test_errors_are_grouped_and_none_is_new_while_nothing_is_known_of_a_revision_before(bench):
    errors = await grouped(bench, "KeyError", "KeyError", "ValueError")
    assert [(row["title"], row["count"], row["new"]) for row in errors.groups] == [
        ("KeyError: no", 2, None),
        ("ValueError: no", 1, None),
    ]


async def test_what_the_revision_before_did_not_log_is_new(bench):
    before = await grouped(bench, "KeyError")
    bench.iteration = 2
    errors = await grouped(bench, "KeyError", "ValueError")
    assert {row["title"]: row["new"] for row in errors.groups} == {"KeyError: no": False, "ValueError: no": True}
    assert errors.groups[0]["before"] == before.revisions["backend"]
    (finding,) = [one for one in await bench.journal.findings(bench.session, 2) if "ValueError" in one.title]
    assert any("it is new" in why for why in finding.whys)


async def test_a_revision_whose_logs_were_not_complete_says_nothing_of_what_is_new(bench):
    await grouped(bench, "KeyError", complete=False)
    bench.iteration = 2
    errors = await grouped(bench, "ValueError")
    assert [row["new"] for row in errors.groups] == [None]


async def test_what_another_revision_logged_before_the_session_is_asked_of_the_cloud(bench):
    await bench.deployed()
    context = await bench.open("collect-logs", **SETTLE)
    seen = TrafficSeen(service="backend", revision="backend-00000-old")
    await bench.record(Batch(events=(context.stamp(seen),)))
    bench.entry(BOOM.format(name="KeyError"), -600, severity="ERROR", log="stderr", revision="backend-00000-old")
    bench.entry(BOOM.format(name="ValueError"), 1, severity="ERROR", log="stderr")
    bench.entry(BOOM.format(name="KeyError"), 2, severity="ERROR", log="stderr")
    await bench.close(context, await bench.run(context))
    await bench.act("record")
    assert {row["title"]: row["new"] for row in bench.state.errors.groups} == {
        "KeyError: no": False,
        "ValueError: no": True,
    }


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 86_400.0, -86_400.0])
async def test_the_clock_may_be_set_while_the_tests_run(bench, jump_s):
    await bench.deployed()
    bench.entry("before")
    await bench.open("execute")
    bench.clock.advance(100)
    bench.clock.jump(jump_s)
    bench.clock.advance(1)
    bench.entry("soon after")
    bench.clock.advance(1000)
    finished = PhaseFinished(target="collect", outcome="ok", duration_s=1101.0, iteration=1, phase="execute", attempt=1)
    await bench.record(Batch(events=(finished,)))
    result = await bench.act("collect-logs", **SETTLE)
    assert result.facts["complete"]
    assert {"before", "soon after"} <= set(await kept(bench))
