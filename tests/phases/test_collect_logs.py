"""Tests of `uses: collect-logs`."""

from netra_loop.core.records import Outcome
from netra_loop.core.redact import Redactor
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
    assert bench.state.logs_complete is False
    assert await kept(bench) == ["served"]
    assert 5 <= bench.clock.monotonic() - began < 6


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
