"""Who runs what next."""

from __future__ import annotations

from netra_loop.execution.base import Planned
from netra_loop.execution.pool_queue import Assignment, Queue, Unit, units


def plan(*ids: str) -> list[Planned]:
    return [Planned(test, 1, "0" * 32) for test in ids]


def ids(unit: Unit | None) -> list[str]:
    return [] if unit is None else [assignment.planned.id for assignment in unit]


def test_a_group_stands_where_its_first_test_stands():
    made = units(plan("a", "b", "c", "d"), {"b": "g", "d": "g"})
    assert [ids(unit) for unit in made] == [["a"], ["b", "d"], ["c"]]


def test_alone_the_tests_of_a_group_follow_each_other_each_in_a_worker_of_its_own():
    queue = Queue(units(plan("a", "b", "c"), {"a": "g", "b": "g"}), 2, alone=True)
    assert [ids(queue.take(worker)) for worker in ("gw0", "gw1", "gw1-1")] == [["a"], ["c"], []]
    queue.leave("gw0")
    assert ids(queue.take("gw0-1")) == ["b"]


def test_alone_what_was_never_begun_comes_before_the_rest_of_its_group():
    queue = Queue(units(plan("a", "b"), {"a": "g", "b": "g"}), 2, alone=True)
    queue.leave("gw0", queue.take("gw0") or ())
    assert (ids(queue.take("gw0-1")), ids(queue.take("gw1"))) == (["a"], [])
    queue.leave("gw0-1")
    assert ids(queue.take("gw0-2")) == ["b"]


def test_what_a_lost_worker_had_left_of_a_group_stays_together():
    queue = Queue(units(plan("a", "b", "c", "d"), {"a": "g", "b": "g", "c": "g"}), 2)
    begun, *left = queue.take("gw0") or ()
    assert begun.planned.id == "a"
    queue.leave("gw0", left)
    assert [ids(queue.take(worker)) for worker in ("gw0-1", "gw1")] == [["b", "c"], ["d"]]


def test_repetitions_of_an_id_are_attempts_of_their_own():
    made = units(plan("a", "a", "a"), {})
    assert [unit[0].key for unit in made] == [0, 1, 2]


def test_what_was_never_begun_is_next_again_in_its_order():
    queue = Queue(units(plan("a", "b", "c"), {}), workers=1)
    first, second = queue.take("gw0"), queue.take("gw0")
    queue.leave("gw0", [*first, *second])
    assert [ids(queue.take("gw0")) for _ in range(4)] == [["a"], ["b"], ["c"], []]


def test_drain_empties():
    queue = Queue(units(plan("a", "b"), {}), workers=1)
    assert [assignment.planned.id for assignment in queue.drain()] == ["a", "b"]
    assert len(queue) == 0


def timed(count: int, seconds: float | None) -> Queue:
    return Queue(units([Planned(str(n), 1, "0" * 32, seconds=seconds) for n in range(count)], {}), 2)


def held(queue: Queue, count: int) -> list[Assignment]:
    return [one for _ in range(count) for one in queue.take("gw0") or ()]


def test_tests_are_handed_out_ahead_to_fast_workers_while_plenty_are_left():
    queue = timed(20, None)
    assert queue.ahead(0.001, []) == 3
    assert queue.ahead(0.5, []) == 0
    assert queue.ahead(None, []) == 0
    assert queue.ahead(0.001, held(queue, 3)) == 0
    held(queue, 9)
    assert queue.ahead(0.001, []) == 0


def test_more_is_handed_out_ahead_of_what_is_known_to_be_fast():
    queue = timed(1000, 0.002)
    assert queue.ahead(0.002, held(queue, 1)) == 23
    assert queue.ahead(0.015, held(queue, 1)) == 3


def test_nothing_waits_behind_what_is_known_to_be_slow():
    queue = timed(1000, 0.5)
    assert queue.ahead(0.001, held(queue, 1)) == 0


def sharing(*names: str, cost_s: float | None = None) -> list[Planned]:
    return [Planned(f"{name}{n}", 1, "0" * 32, fixtures=((f"{name}.py::@f", cost_s),)) for name in names for n in "12"]


def test_a_worker_stays_with_the_fixtures_it_holds_up():
    queue = Queue(units(sharing("a", "b"), {}), 2)
    order = [ids(queue.take(worker)) for worker in ("gw0", "gw1", "gw0", "gw1")]
    assert order == [["a1"], ["b1"], ["a2"], ["b2"]]


def test_alone_no_fixture_is_shared():
    queue = Queue(units(sharing("a", "b"), {}), 2, alone=True)
    assert [ids(queue.take(worker)) for worker in ("gw0", "gw1", "gw0")] == [["a1"], ["a2"], ["b1"]]


def test_a_worker_of_no_use_gets_nothing_until_the_one_that_held_the_fixtures_is_gone():
    queue = Queue(units(sharing("a", cost_s=60.0), {}), 2)
    held_by_first = queue.take("gw0")
    assert queue.take("gw1") is None
    assert len(queue) == 1
    assert not queue.offers()
    queue.leave("gw0", held_by_first or ())
    assert queue.offers()
    assert [ids(queue.take("gw0-1")), ids(queue.take("gw0-1"))] == [["a1"], ["a2"]]


def test_what_leaves_the_order_says_why():
    queue = Queue(units(sharing("a", cost_s=0.02), {}), 2)
    queue.take("gw0")
    joined = queue.take("gw1")
    assert joined is not None
    assert joined[0].why == "beside another worker, to end sooner: module fixture f once more (0.02 s)"


def test_what_failed_last_time_is_handed_out_first():
    plan = [Planned("ok", 1, "0" * 32, band=(1, 0)), Planned("failed", 1, "0" * 32, band=(0, 3))]
    queue = Queue(units(plan, {}), 1)
    assert [ids(queue.take("gw0")), ids(queue.take("gw0"))] == [["failed"], ["ok"]]
