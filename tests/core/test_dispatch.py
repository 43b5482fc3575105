"""Who runs what next, seen in simulated runs: each test takes its seconds, each fixture that is not up its set-up."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netra_loop.core.affinity import Element
from netra_loop.core.branches import Work
from netra_loop.core.dispatch import Dispatch


def module(name: str, cost_s: float | None) -> Element:
    return Element(name, cost_s, f"module fixture {name}")


def many(count: int, seconds: float | None, *path: Element, band: int = 0) -> list[Work]:
    return [Work(band, seconds, path)] * count


FEW = settings(max_examples=50)


@dataclass
class Ran:
    """What a simulated run came to. `setups` counts how often each element was set up."""

    end_s: float = 0.0
    order: list[int] = field(default_factory=list)
    began_s: dict[int, float] = field(default_factory=dict)
    setups: dict[str, int] = field(default_factory=dict)
    whys: dict[int, str | None] = field(default_factory=dict)
    idle: int = 0


def simulate(work: Sequence[Work], workers: int, *, strict: int = 0, truth: Sequence[float] | None = None) -> Ran:
    """`truth`: what the tests really take, where that is not what is known of them."""
    dispatch, ran = Dispatch(work, workers, strict=strict), Ran()
    free = [(0.0, worker) for worker in range(workers)]
    up: dict[int, tuple[Element, ...]] = {}
    at: dict[int, tuple[int, float]] = {}
    parked: list[int] = []
    while free:
        now, worker = heapq.heappop(free)
        if worker in at:
            number, took = at.pop(worker)
            dispatch.took(number, took, work[number].seconds)
            if parked and dispatch.offers():
                heapq.heappush(free, (now, parked.pop()))
        pick = dispatch.take(worker)
        if pick is None:
            ran.idle += bool(dispatch)
            parked.append(worker)
            up.pop(worker, None)
            dispatch.leave(worker)
            continue
        one = work[pick.number]
        fresh = [element for element in one.path if element not in up.get(worker, ())]
        for element in fresh:
            ran.setups[element.name] = ran.setups.get(element.name, 0) + 1
        up[worker] = one.path
        alone_s = truth[pick.number] if truth else one.seconds or 1.0
        at[worker] = (pick.number, alone_s)
        took = alone_s + sum(element.cost_s or 0.0 for element in fresh)
        ran.order.append(pick.number)
        ran.began_s[pick.number] = now
        ran.whys[pick.number] = pick.why
        ran.end_s = max(ran.end_s, now + took)
        heapq.heappush(free, (now + took, worker))
    return ran


def bound(work: Sequence[Work], workers: int) -> float:
    """No run can end sooner: whoever runs a test with a fixture sets it up, and nothing is split."""
    total = sum(one.seconds or 1.0 for one in work)
    within: dict[Element, float] = {}
    for one in work:
        for element in one.path:
            within[element] = within.get(element, 0.0) + (one.seconds or 1.0)
    end = max((one.seconds or 1.0) + sum(element.cost_s or 0.0 for element in one.path) for one in work)
    while True:
        setups = sum((e.cost_s or 0.0) * math.ceil(inside / (end - (e.cost_s or 0.0))) for e, inside in within.items())
        if (total + setups) / workers <= end:
            return end
        end *= 1.005


def in_order(work: Sequence[Work], workers: int) -> float:
    """When plain list scheduling ends: bands, then the longest, whatever fixtures it takes."""
    free = [(0.0, worker) for worker in range(workers)]
    up: dict[int, tuple[Element, ...]] = {}
    for one in sorted(work, key=lambda one: (one.band, -(one.seconds or 1.0))):
        now, worker = heapq.heappop(free)
        took = (one.seconds or 1.0) + sum(e.cost_s or 0.0 for e in one.path if e not in up.get(worker, ()))
        up[worker] = one.path
        heapq.heappush(free, (now + took, worker))
    return max(now for now, _ in free)


# ------------------------------------------------------------------------------------------------ what is promised


@st.composite
def suites(draw: st.DrawFn) -> list[Work]:
    work: list[Work] = []
    for number in range(draw(st.integers(1, 6))):
        known = draw(st.booleans())
        path = [module(f"m{number}", draw(st.sampled_from([0.0, 0.3, 2.0, 30.0])) if known else None)]
        inner = draw(st.sampled_from([None, 0.5, 5.0]))
        for part in range(draw(st.integers(1, 3))):
            deep = [*path, Element(f"m{number}.c{part}", inner, "class fixture")] if inner else path
            for _ in range(draw(st.integers(1, 12))):
                alone = draw(st.booleans())
                seconds = draw(st.sampled_from([0.1, 1.0, 3.0, 20.0]) | st.none())
                work.append(Work(draw(st.integers(0, 2)), seconds, () if alone else tuple(deep)))
    return work


@FEW
@given(suites(), st.integers(1, 20), st.integers(0, 3))
def test_every_test_is_handed_out_exactly_once(work: list[Work], workers: int, strict: int):
    ran = simulate(work, workers, strict=strict)
    assert sorted(ran.order) == list(range(len(work)))


@FEW
@given(suites(), st.integers(1, 20))
def test_nothing_overtakes_a_strict_band(work: list[Work], workers: int):
    lowest = min(one.band for one in work)
    ran = simulate(work, workers, strict=1)
    bands = [work[number].band == lowest for number in ran.order]
    assert bands == sorted(bands, reverse=True)


@FEW
@given(suites(), st.integers(1, 20))
def test_what_leaves_the_order_of_bands_says_so(work: list[Work], workers: int):
    ran = simulate(work, workers)
    for place, number in enumerate(ran.order):
        if any(work[later].band < work[number].band for later in ran.order[place + 1 :]):
            assert "ahead of its tier" in str(ran.whys[number])


@FEW
@given(suites())
def test_one_worker_keeps_the_bands_and_sets_everything_up_once_in_each(work: list[Work]):
    ran = simulate(work, 1)
    assert [work[number].band for number in ran.order] == sorted(one.band for one in work)
    for name, times in ran.setups.items():
        assert times <= len({one.band for one in work if any(element.name == name for element in one.path)})


@FEW
@given(suites(), st.integers(1, 20))
def test_the_end_is_never_much_later_than_with_plain_list_scheduling(work: list[Work], workers: int):
    largest = max((one.seconds or 1.0) + sum(e.cost_s or 0.0 for e in one.path) for one in work)
    assert simulate(work, workers).end_s <= 1.1 * in_order(work, workers) + largest


@FEW
@given(suites(), st.integers(1, 6), st.data())
def test_work_put_back_or_left_by_a_lost_worker_is_handed_out_again(
    work: list[Work], workers: int, data: st.DataObject
):
    dispatch = Dispatch(work, workers)
    seen: list[int] = []
    alive = list(range(workers))
    while alive:
        worker = data.draw(st.sampled_from(alive))
        if len(alive) > 1 and data.draw(st.integers(0, 9)) == 0:
            dispatch.leave(worker)
            alive.remove(worker)
            continue
        pick = dispatch.take(worker)
        if pick is None:
            alive.remove(worker)
            dispatch.leave(worker)
        else:
            seen.append(pick.number)
    assert sorted(seen) == list(range(len(work)))
    assert len(dispatch) == 0


# ------------------------------------------------------------------------------------------------ typical suites

SERVER = module("server", 4.0)
SUITES = {
    "waiting": many(1000, 0.5),
    "long tail": many(1, 60.0) + many(10, 20.0) + many(500, 1.0),
    "a module each": [one for number in range(60) for one in many(20, 0.5, module(f"m{number}", 2.0))],
    "one great module": many(400, 1.0, SERVER) + many(200, 1.0),
    "modules and long tests": [
        *(one for number in range(20) for one in many(15, 1.0, module(f"m{number}", 3.0))),
        *many(8, 25.0),
    ],
    "a long one in the last tier": many(300, 1.0) + many(3, 60.0, band=1) + many(100, 1.0, band=1),
    "tiers across modules": [
        one for number in range(30) for one in many(20, 0.5, module(f"m{number}", 1.0), band=number % 3)
    ],
    "classes in modules": [
        one
        for number in range(12)
        for part in range(4)
        for one in many(8, 0.5, module(f"m{number}", 2.0), Element(f"m{number}.c{part}", 0.5, "class fixture"))
    ],
}


@pytest.mark.parametrize(("workers", "most"), [(1, 1.01), (2, 1.1), (4, 1.1), (8, 1.1), (16, 1.2)])
@pytest.mark.parametrize("name", SUITES)
def test_the_end_of_a_typical_suite_is_near_the_ideal(name: str, workers: int, most: float):
    assert simulate(SUITES[name], workers).end_s <= most * bound(SUITES[name], workers)


def test_with_more_workers_than_modules_each_set_up_is_paid_for_by_what_it_saves():
    ran = simulate(many(64, 1.0, SERVER), 64)
    assert ran.end_s < 4.0 + 64.0 / 4
    assert ran.setups["server"] < 64


def test_what_turns_out_longer_than_it_was_is_shared_after_all():
    work = many(40, 0.01, SERVER)
    ran = simulate(work, 8, truth=[1.0] * 40)
    assert ran.setups["server"] >= 5
    assert ran.end_s < 4.0 + 40 / 2


def test_a_slow_day_changes_nothing_of_the_order():
    work = SUITES["classes in modules"]
    slow = simulate(work, 4, truth=[3.0 * (one.seconds or 1.0) for one in work])
    assert slow.setups == simulate(work, 4).setups


def test_a_new_worker_is_offered_what_it_would_be_given():
    dispatch = Dispatch(many(2, 0.01, SERVER), 2)
    assert dispatch.offers()
    dispatch.take("a")
    assert (dispatch.offers(), dispatch.take("b")) == (False, None)
    dispatch.leave("a")
    assert dispatch.offers()


def test_a_worker_takes_neighbours_that_were_never_timed():
    dispatch = Dispatch(many(160, None), 2)
    first, second = ([dispatch.take(worker) for _ in range(4)] for worker in "ab")
    assert [pick.number for pick in first if pick] == [0, 1, 2, 3]
    assert [pick.number for pick in second if pick] == [16, 17, 18, 19]


@FEW
@given(count=st.integers(1, 200), workers=st.integers(1, 9))
def test_pieces_leave_nothing_undone_and_nobody_idle(count, workers):
    ran = simulate(many(count, None), workers, truth=[1.0] * count)
    assert sorted(ran.order) == list(range(count))
    assert ran.end_s == math.ceil(count / workers)


def test_a_single_worker_takes_what_was_never_timed_in_file_order():
    assert simulate(many(100, None), 1, truth=[1.0] * 100).order == list(range(100))
