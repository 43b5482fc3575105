"""A worker alone: the same as being asked for each test, known at once."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from netra_loop.core.affinity import Element
from netra_loop.core.branches import Work
from netra_loop.core.dispatch import Dispatch
from netra_loop.core.single import single

PACKAGE, OTHER, MODULE, CLASS = (
    Element(name, cost, name) for name, cost in zip("pomc", (2.0, None, 0.5, 4.0), strict=True)
)
PATHS = [
    (),
    (PACKAGE,),
    (MODULE,),
    (PACKAGE, MODULE),
    (OTHER, MODULE),
    (PACKAGE, MODULE, CLASS),
    (OTHER, MODULE, CLASS),
]
WORK = st.builds(Work, st.integers(0, 2), st.none() | st.sampled_from([0.0, 0.1, 1.0, 20.0]), st.sampled_from(PATHS))


def asked_for_each(work: Sequence[Work]) -> list[int]:
    dispatch = Dispatch(work, 1)
    return [pick.number for pick in iter(lambda: dispatch.take("alone"), None)]


@settings(max_examples=200)
@given(st.lists(WORK, max_size=80))
def test_it_is_the_order_in_which_a_worker_alone_is_given_the_tests(work: list[Work]):
    assert single(work) == asked_for_each(work)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=60, max_size=200))
def test_also_where_pieces_of_what_was_never_timed_are_cut_by_other_tests(rows: list[tuple[int, bool]]):
    work = [Work(band, 1.0 if timed else None) for band, timed in rows]
    assert single(work) == asked_for_each(work)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.1, 1.0])), max_size=60), st.integers(0, 60))
def test_also_where_nothing_is_shared_and_all_were_timed_or_none_was(rows: list[tuple[int, float]], count: int):
    timed, untimed = [Work(*row) for row in rows], [Work(1)] * count
    assert (single(timed), single(untimed)) == (asked_for_each(timed), asked_for_each(untimed))


def test_fixtures_that_a_band_left_up_come_first_in_the_next():
    left_up, longer = Work(1, 1.0, (MODULE,)), Work(1, 9.0, (OTHER,))
    assert single([Work(0, 1.0, (MODULE,)), longer, longer, left_up, left_up]) == [0, 3, 4, 1, 2]
