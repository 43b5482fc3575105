"""How many instances there are, and who waits for a place in one."""

import asyncio
from pathlib import Path

import pytest

from netra_loop.cloud.embedded.fleet import Fleet, NoInstance
from netra_loop.cloud.embedded.instance import Launch, StartFailed
from netra_loop.cloud.embedded.probe import ProbePlan
from netra_loop.cloud.embedded.recorder import Origin


class Played:
    """As a fleet sees an instance."""

    def __init__(self):
        self.alive = True
        self.in_flight = 0
        self.idle_since = 0.0
        self.on_change = lambda: None

    def enter(self):
        self.in_flight += 1

    def leave(self):
        self.in_flight -= 1
        self.on_change()

    def die(self):
        self.alive = False
        self.on_change()


class Players:
    """Starts instances, as soon as it may and with what it is told."""

    def __init__(self):
        self.started = []
        self.starts = asyncio.Queue()
        self.ended = []
        self.may = asyncio.Event()
        self.may.set()
        self.failure = None

    async def start(self, _launch, _reason):
        await self.may.wait()
        if self.failure is not None:
            raise self.failure
        self.started.append(Played())
        self.starts.put_nowait(self.started[-1])
        return self.started[-1]

    def end(self, instance):
        self.ended.append(instance)


@pytest.fixture
def players():
    return Players()


@pytest.fixture
def fleet_of(players):
    def make(*, queue_s=5.0, **limits):
        origin = Origin("demo", "local", "backend", "backend-1", {})
        launch = Launch(origin, (), Path(), {}, 8080, ProbePlan(None, 0, 1, 1, 1, custom=False), 300, "m", **limits)
        return Fleet(launch, players.start, players.end, queue_s=queue_s)

    return make


async def test_an_instance_takes_as_many_requests_as_it_has_places(fleet_of, players):
    fleet = fleet_of(concurrency=3)
    assert len({id(await fleet.acquire()) for _ in range(3)}) == 1
    assert await fleet.acquire() is players.started[1]


async def test_many_at_once_start_no_more_than_they_need(fleet_of, players):
    fleet = fleet_of(concurrency=10)
    await asyncio.gather(*(fleet.acquire() for _ in range(25)))
    assert len(players.started) == 3


async def test_beyond_the_most_a_request_waits_for_a_place(fleet_of, players):
    fleet = fleet_of(concurrency=1, most=1)
    first = await fleet.acquire()
    second = asyncio.create_task(fleet.acquire())
    await asyncio.sleep(0)
    assert not second.done()
    first.leave()
    assert await second is first
    assert len(players.started) == 1


async def test_who_waits_too_long_is_told_that_there_is_none(fleet_of):
    fleet = fleet_of(concurrency=1, most=1, queue_s=0.02)
    await fleet.acquire()
    with pytest.raises(NoInstance):
        await fleet.acquire()


async def test_who_is_cancelled_takes_no_place(fleet_of, players):
    fleet = fleet_of(concurrency=1, most=1)
    players.may.clear()
    waiting = asyncio.create_task(fleet.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    players.may.set()
    assert (await fleet.acquire()).in_flight == 1


async def test_a_start_that_fails_is_told_to_all_who_wait(fleet_of, players):
    fleet = fleet_of(concurrency=2)
    players.failure = StartFailed("HEALTH_CHECK_CONTAINER_ERROR", "it ended")
    told = await asyncio.gather(*(fleet.acquire() for _ in range(2)), return_exceptions=True)
    assert told == [players.failure] * 2
    players.failure = None
    await fleet.acquire()


async def test_a_dead_instance_gets_no_request(fleet_of, players):
    fleet = fleet_of(most=1)
    (await fleet.acquire()).die()
    assert await fleet.acquire() is players.started[1]


async def test_the_least_number_is_there_and_is_there_again_after_a_death(fleet_of, players):
    fleet = fleet_of(least=2)
    (await fleet.acquire()).leave()
    async with asyncio.timeout(30):
        first, _ = [await players.starts.get() for _ in range(2)]
        first.die()
        await players.starts.get()


async def test_a_fleet_that_retires_ends_all_and_starts_none(fleet_of, players):
    fleet = fleet_of(concurrency=1)
    up = await fleet.acquire()
    fleet.retire()
    assert players.ended == [up]
    with pytest.raises(StartFailed, match="retired"):
        await fleet.acquire()
