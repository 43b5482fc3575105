from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netra_loop.core.records import Result
from netra_loop.report.tally import Stood, Tally


@pytest.fixture
def tally(clock: Any) -> Tally:
    return Tally(clock)


def test_a_pass_on_retry_is_no_failure_any_more_but_is_counted(tally: Tally, result: Callable[..., Result]) -> None:
    tally.plan(2)
    tally.finished(result("a", "failed", message="first"))
    assert (tally.failed, tally.flaky) == (1, 0)
    tally.finished(result("a", attempt=2, flaky=True))
    assert (tally.done, tally.failed, tally.flaky) == (1, 0, 1)
    assert not tally.failures
    assert tally.first_failures["a"].message == "first"


def test_a_test_that_fails_again_is_shown_once_and_by_its_first_failure(
    tally: Tally, result: Callable[..., Result]
) -> None:
    for attempt in (1, 2):
        tally.finished(result("a", "failed", attempt=attempt, message=f"number {attempt}"))
    assert [one.attempt for one in tally.failures] == [2]
    assert tally.first_failures["a"].message == "number 1"


def test_what_is_kept_of_first_failures_is_light(tally: Tally, result: Callable[..., Result]) -> None:
    tally.finished(result("a", "failed", message="m" * 10_000, output="o" * 10_000, traceback="t"))
    kept = tally.first_failures["a"]
    assert (len(kept.message or ""), kept.output, kept.traceback, kept.evidence.frames) == (500, "", "", ())


def test_what_stood_before_adds_to_what_is_told(tally: Tally, result: Callable[..., Result], clock: Any) -> None:
    tally.plan(200)
    clock.passed_s = 100.0
    tally.stood(Stood(100, 10, 1, began=0.0, newest=(result("a", "failed"), result("b", "failed"))))
    assert (tally.done, tally.failed, tally.flaky, tally.remaining_s()) == (100, 10, 1, 100.0)
    assert [one.id for one in tally.failures] == ["a", "b"]
    tally.finished(result("z"))
    assert (tally.done, tally.failed) == (101, 10)


def test_one_of_them_that_ends_again_counts_once(tally: Tally, result: Callable[..., Result]) -> None:
    tally.plan(3)
    tally.stood(Stood(3, 2, 0, began=0.0, newest=(result("a", "failed"),)))
    for id_ in "ab":
        tally.again(result(id_, "failed", message="first"))
        tally.finished(result(id_, attempt=2, flaky=True))
    assert (tally.done, tally.failed, tally.flaky) == (3, 0, 2)
    assert tally.first_failures["b"].message == "first"
