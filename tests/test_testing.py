"""The shipped twins do what they say, so that a test which uses them proves something."""

import asyncio
from dataclasses import replace

import pytest

from netra_loop.cloud.base import Deployed, DeployRequest, Failed, LogQuery, Target
from netra_loop.core.events import Noted
from netra_loop.core.records import Batch, Outcome
from netra_loop.errors import EnvironmentFailed, ForeignChange, StaleEpoch
from netra_loop.execution.base import Finished, Planned, Started
from netra_loop.testing import Crash, CrashingJournal, Ends, FakeClock, FakeCloud, FakeRunner, MemoryJournal
from netra_loop.testing.rows import T0, after, entry, head

S = "golden-1"


class TestFakeClock:
    async def test_sleeping_takes_its_time_and_none_of_ours(self):
        clock = FakeClock(T0)
        await clock.sleep(3600)
        assert (clock.now(), clock.monotonic(), clock.slept) == (after(3600), 3600, [3600])

    async def test_sleepers_wake_in_order_each_at_its_own_time(self):
        clock, woke = FakeClock(), []

        async def sleeper(seconds: float) -> None:
            await clock.sleep(seconds)
            woke.append((seconds, clock.monotonic()))

        await asyncio.gather(sleeper(30), sleeper(1), sleeper(5))
        assert woke == [(1, 1), (5, 5), (30, 30)]

    async def test_time_stands_still_for_whoever_has_something_to_do(self):
        clock = FakeClock()
        sleeper = asyncio.create_task(clock.sleep(10))
        for _ in range(10):
            await asyncio.sleep(0)
        assert clock.monotonic() == 0
        clock.advance(10)
        await sleeper
        assert clock.monotonic() == 10

    async def test_a_cancelled_sleeper_holds_nobody_up(self):
        clock = FakeClock()
        first = asyncio.create_task(clock.sleep(1))
        await asyncio.sleep(0)
        first.cancel()
        await clock.sleep(5)
        assert clock.monotonic() == 5


class TestCrashingJournal:
    @pytest.mark.parametrize(
        ("at", "when", "kept"), [(1, "before", 0), (1, "after", 1), (3, "before", 2), (3, "after", 3)]
    )
    async def test_it_dies_where_it_was_told(self, at: int, when: str, kept: int):
        disk = MemoryJournal()
        journal = CrashingJournal(disk, at, when)

        async def session() -> None:
            async with journal.own(S):
                await journal.create(head(), Batch(events=(Noted(text="0"),)))
                for number in (1, 2):
                    await journal.append(S, Batch(events=(Noted(text=str(number)),)))

        with pytest.raises(Crash):
            await session()
        stored = await disk.events(S) if await disk.sessions() else []
        assert [one.event.text for one in stored] == [str(number) for number in range(kept)]
        assert await disk.holder(S) is None

    async def test_the_dead_do_nothing(self):
        disk = MemoryJournal()
        journal = CrashingJournal(disk, 1, "after")
        with pytest.raises(Crash):
            await journal.create(head(), Batch())
        for attempt in (journal.events(S), journal.create(head("golden-2"), Batch()), journal.sessions()):
            with pytest.raises(Crash):
                await attempt
        assert [known.id for known in await disk.sessions()] == [S]

    async def test_it_counts_and_lives_where_nothing_was_asked(self):
        journal = CrashingJournal(MemoryJournal())
        async with journal.own(S):
            await journal.create(head(), Batch())
            await journal.append(S, Batch())
        assert (journal.appends, journal.crashed) == (2, False)


async def test_an_owner_whose_session_was_taken_over_is_stale():
    journal = MemoryJournal()
    await journal.create(head(), Batch())
    async with journal.own(S):
        journal.take_over(S)
        with pytest.raises(StaleEpoch):
            await journal.append(S, Batch(events=(Noted(text="late"),)))
    assert await journal.events(S) == []


def request(iteration: int = 1, service: str = "backend") -> DeployRequest:
    return DeployRequest(service=service, session=S, iteration=iteration, source="/src", command=("serve",))


def quiet(_sentence: str) -> None:
    """Nobody listens."""


class TestFakeCloud:
    async def test_one_intent_makes_one_revision(self):
        cloud = FakeCloud()
        made, again = await cloud.deploy(request(), quiet), await cloud.deploy(request(), quiet)
        assert isinstance(made, Deployed)
        assert isinstance(again, Deployed)
        assert (made.adopted, again.adopted) == (False, True)
        assert again.revision == made.revision == await cloud.serving("backend")
        assert (cloud.effects[S, 1, "backend"], cloud.calls[S, 1, "backend"]) == (1, 2)

    async def test_each_iteration_makes_its_own(self):
        cloud = FakeCloud()
        one, two = await cloud.deploy(request(1), quiet), await cloud.deploy(request(2), quiet)
        assert isinstance(one, Deployed)
        assert isinstance(two, Deployed)
        assert one.revision.name != two.revision.name
        assert await cloud.serving("backend") == two.revision

    async def test_one_that_fails_leaves_the_last_good_one_serving(self):
        cloud = FakeCloud()
        good = await cloud.deploy(request(1), quiet)
        cloud.fail_next("HealthCheckContainerError", "exited")
        failed = await cloud.deploy(request(2), quiet)
        assert isinstance(good, Deployed)
        assert isinstance(failed, Failed)
        assert (failed.reason, failed.message) == ("HealthCheckContainerError", "exited")
        assert await cloud.serving("backend") == good.revision
        assert await cloud.deploy(request(2), quiet) == replace(failed, adopted=True)

    @pytest.mark.parametrize(("after_effect", "adopted"), [(False, False), (True, True)])
    async def test_an_error_before_or_after_the_effect(self, after_effect: bool, adopted: bool):
        cloud = FakeCloud()
        cloud.raise_next(EnvironmentFailed("reset"), after_effect=after_effect)
        with pytest.raises(EnvironmentFailed):
            await cloud.deploy(request(), quiet)
        answer = await cloud.deploy(request(), quiet)
        assert isinstance(answer, Deployed)
        assert answer.adopted == adopted
        assert cloud.effects[S, 1, "backend"] == 1

    async def test_a_tag_leaves_the_traffic_where_it_is_pinned_by_name(self):
        cloud = FakeCloud()
        await cloud.deploy(request(1), quiet)
        made = await cloud.deploy(replace(request(2), tag="nl-x-2"), quiet)
        assert isinstance(made, Deployed)
        standing = await cloud.standing("backend")
        assert standing is not None
        assert standing.serving == "backend-00001-fak"
        assert standing.targets[0].revision == "backend-00001-fak"
        assert await cloud.serving("backend", "nl-x-2") == made.revision
        assert await cloud.untag("backend", "nl-x-2")
        assert not await cloud.untag("backend", "nl-x-2")

    async def test_an_earlier_revision_is_reached_by_a_tag_that_is_put_on_it(self):
        cloud = FakeCloud()
        for iteration in (1, 2):
            await cloud.deploy(request(iteration), quiet)
        before = await cloud.standing("backend")
        url = await cloud.tag("backend", "backend-00001-fak", "nl-x-1")
        assert await cloud.tag("backend", "backend-00001-fak", "nl-x-1") == url
        tagged = await cloud.serving("backend", "nl-x-1")
        assert tagged is not None
        assert (tagged.name, tagged.url) == ("backend-00001-fak", url)
        assert await cloud.untag("backend", "nl-x-1")
        after = await cloud.standing("backend")
        assert before is not None
        assert after is not None
        assert after.targets == before.targets

    async def test_routing_pins_and_says_whether_it_changed_anything(self):
        cloud = FakeCloud()
        for iteration in (1, 2):
            await cloud.deploy(request(iteration), quiet)
        before = await cloud.standing("backend")
        assert await cloud.route("backend", "backend-00001-fak")
        assert not await cloud.route("backend", "backend-00001-fak")
        after_ = await cloud.standing("backend")
        assert before is not None
        assert after_ is not None
        assert (before.serving, after_.serving) == ("backend-00002-fak", "backend-00001-fak")
        assert before.change != after_.change
        assert isinstance(await cloud.deploy(request(2), quiet), Deployed)  # what we sent away comes back
        now = await cloud.standing("backend")
        assert now is not None
        assert now.serving == "backend-00002-fak"

    async def test_what_somebody_else_moved_is_not_adopted(self):
        cloud = FakeCloud()
        for iteration in (1, 2):
            await cloud.deploy(request(iteration), quiet)
        cloud.somebody_routes("backend", Target("backend-00001-fak", 100))
        with pytest.raises(ForeignChange):
            await cloud.deploy(request(2), quiet)

    async def test_the_tail_gives_what_comes_after_it_was_opened(self):
        cloud = FakeCloud(FakeClock(T0), logs=[entry("before")])
        tail = cloud.tail(LogQuery(("backend-00001",), since=T0))
        first = asyncio.ensure_future(anext(tail))
        await asyncio.sleep(0)
        cloud.logs.append(entry("after"))
        assert [one.insert_id for one in await first] == ["after"]
        await tail.aclose()

    async def test_entries_come_in_pages_oldest_first_and_only_what_was_asked(self):
        wanted = [entry(str(n), timestamp=after(n)) for n in (2, 0)]
        wanted.append(entry("1", timestamp=after(1), severity="DEFAULT", log="stderr"))
        others = [
            entry("x", revision="other"),
            entry("y", timestamp=after(-9)),
            entry("z", log="stdout", severity="DEBUG"),
        ]
        cloud = FakeCloud(logs=(*wanted, *others))
        query = LogQuery(("backend-00001",), since=T0, severity="WARNING", page_size=2)
        pages = [page async for page in cloud.entries(query)]
        assert [[one.insert_id for one in page.entries] for page in pages] == [["0", "1"], ["2"]]
        assert [(page.cursor, page.last) for page in pages] == [("2", False), ("3", True)]

    async def test_nothing_to_read_is_one_last_empty_page(self):
        [page] = [page async for page in FakeCloud().entries(LogQuery(("none",), since=T0))]
        assert (page.entries, page.last) == ((), True)

    async def test_a_marked_request_shows_in_the_request_log(self):
        cloud = FakeCloud(FakeClock(T0))
        made = await cloud.deploy(request(), quiet)
        assert isinstance(made, Deployed)
        await cloud.request(made.revision.url + "/health", "t" * 32)
        [page] = [page async for page in cloud.entries(LogQuery((made.revision.name,), since=T0, severity="ERROR"))]
        assert [(one.log, one.trace_id) for one in page.entries] == [("requests", "t" * 32)]


class TestFakeRunner:
    def plan(self, *names: str, attempt: int = 1) -> list[Planned]:
        return [Planned(name, attempt, "0" * 32) for name in names]

    async def test_tests_end_as_they_were_told(self):
        clock = FakeClock(T0)
        runner = FakeRunner({"a::x": Outcome.FAILED, "b::y": Ends(duration_s=2.0, output="hello")}, clock=clock)
        assert [test.id for test in (await runner.collect()).tests] == ["a::x", "b::y"]
        told = [event async for event in runner.run(self.plan("b::y", "a::x"))]
        assert [type(event) for event in told] == [Started, Finished, Started, Finished]
        finished = [event for event in told if isinstance(event, Finished)]
        assert [(one.id, one.outcome, one.output) for one in finished] == [
            ("b::y", Outcome.PASSED, "hello"),
            ("a::x", Outcome.FAILED, ""),
        ]
        assert finished[1].started_at == after(2)

    async def test_the_runs_of_a_test_end_one_after_the_other(self):
        runner = FakeRunner({"t": [Outcome.FAILED, Outcome.PASSED]})
        outcomes = []
        for attempt in (1, 2, 3):
            ended = [
                event async for event in runner.run(self.plan("t", attempt=attempt)) if isinstance(event, Finished)
            ]
            outcomes += [one.outcome for one in ended]
        assert outcomes == [Outcome.FAILED, Outcome.PASSED, Outcome.PASSED]
        assert (runner.begun["t"], runner.finished["t"]) == (3, 3)

    async def test_a_crash_in_the_middle_of_a_test(self):
        runner = FakeRunner({"t": [Crash("here"), Outcome.PASSED]})
        with pytest.raises(Crash):
            [event async for event in runner.run(self.plan("t"))]
        assert (runner.begun["t"], runner.finished["t"]) == (1, 0)
