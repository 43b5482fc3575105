from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from netra_loop.core.retention import Retention, removable

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = 86_400.0


@dataclass
class Head:
    state: str
    days: float
    loop: str = "golden"
    environment: str = "local"

    @property
    def updated_at(self) -> datetime:
        return NOW - timedelta(days=self.days)


def days(heads: list[Head], older_than_s: float | None = None, keep: int | None = None) -> list[float]:
    return [head.days for head in removable(heads, Retention(older_than_s, keep), NOW)]


FINISHED = [Head("met", 1), Head("unmet", 10), Head("stuck", 40), Head("met", 50)]


def test_by_age():
    assert days(FINISHED, older_than_s=30 * DAY) == [40, 50]


def test_by_number():
    assert days(FINISHED, keep=1) == [10, 40, 50]
    assert days(FINISHED, keep=0) == [1, 10, 40, 50]


def test_by_both_only_what_neither_keeps_goes():
    assert days(FINISHED, older_than_s=5 * DAY, keep=3) == [50]


@pytest.mark.parametrize("state", ["paused", "running", "failed"])
def test_what_a_resume_would_take_stays(state):
    heads = [Head("met", 40), Head(state, 50), Head(state, 60)]
    assert days(heads, older_than_s=30 * DAY) == [40, 60]


def test_each_loop_and_environment_has_its_own_newest_unfinished():
    heads = [Head("paused", 50), Head("paused", 60, environment="staging"), Head("paused", 70, loop="other")]
    assert days(heads, keep=0) == []


def test_one_from_the_future_stays():
    assert days([Head("met", -3)], older_than_s=0.0) == []
