"""Who runs what next."""

from __future__ import annotations

from netra_loop.execution.base import Planned
from netra_loop.execution.pool_queue import Queue, Unit, units


def plan(*ids: str) -> list[Planned]:
    return [Planned(test, 1, "0" * 32) for test in ids]


def ids(unit: Unit | None) -> list[str]:
    return [] if unit is None else [assignment.planned.id for assignment in unit]


def test_a_group_stands_where_its_first_test_stands():
    made = units(plan("a", "b", "c", "d"), {"b": "g", "d": "g"}, {}, alone=False)
    assert [ids(unit) for unit in made] == [["a"], ["b", "d"], ["c"]]


def test_alone_knows_no_groups():
    made = units(plan("a", "b"), {"a": "g", "b": "g"}, {}, alone=True)
    assert [ids(unit) for unit in made] == [["a"], ["b"]]


def test_repetitions_of_an_id_go_round_the_tests_that_bear_it():
    made = units(plan("a", "a", "a"), {}, {"a": 2}, alone=False)
    assert [unit[0].occurrence for unit in made] == [0, 1, 0]
    assert [unit[0].key for unit in made] == [0, 1, 2]


def test_what_was_never_begun_is_next_again_in_its_order():
    queue = Queue(units(plan("a", "b", "c"), {}, {}, alone=False), workers=1)
    first, second = queue.take("gw0"), queue.take("gw0")
    queue.put_back([*first, *second])
    assert [ids(queue.take("gw0")) for _ in range(4)] == [["a"], ["b"], ["c"], []]


def test_drain_empties():
    queue = Queue(units(plan("a", "b"), {}, {}, alone=False), workers=1)
    assert [assignment.planned.id for assignment in queue.drain()] == ["a", "b"]
    assert len(queue) == 0


def test_tests_are_handed_out_ahead_to_fast_workers_while_plenty_are_left():
    queue = Queue(units(plan(*map(str, range(20))), {}, {}, alone=False), workers=2)
    assert queue.ahead(0.001, held=0)
    assert not queue.ahead(0.001, held=3)
    assert not queue.ahead(0.5, held=0)
    assert not queue.ahead(None, held=0)
    for _ in range(12):
        queue.take("gw0")
    assert not queue.ahead(0.001, held=0)
