from __future__ import annotations

from datetime import UTC, datetime, timedelta

from netra_loop.report.folding import LeftOut, Quiet, Repeated, fold
from netra_loop.report.timeline import Moment

START = datetime(2026, 11, 21, tzinfo=UTC)


def moment(second: float, like: str, lasts_s: float = 0.0) -> Moment:
    at = START + timedelta(seconds=second)
    return Moment(at=at, source="wire", kind="frame", text=like, like=(like,), lasts_s=lasts_s)


def said(moments):
    return [item.text if isinstance(item, Moment) else item for item in fold(moments)]


def test_a_silence_is_told_and_a_pause_is_not():
    assert said([moment(0, "a"), moment(0.9, "b"), moment(4, "c")]) == ["a", "b", Quiet(3.1), "c"]


def test_waiting_for_an_answer_is_no_silence():
    assert said([moment(0, "asked", lasts_s=5), moment(0.1, "x"), moment(5.5, "y")]) == ["asked", "x", "y"]


def test_a_run_of_the_same_is_counted():
    run = [moment(n / 10, "chunk") for n in range(120)]
    until = START + timedelta(seconds=11.9)
    assert said([*run, moment(12, "done")]) == ["chunk", Repeated(1, 119, until), "done"]


def test_three_of_a_kind_are_shown():
    assert said([moment(n / 10, "chunk") for n in range(3)]) == ["chunk"] * 3


def test_a_poll_and_its_answer_are_counted_together():
    polls = [moment(n / 10, "asked" if n % 2 == 0 else "logged") for n in range(100)]
    assert said(polls) == ["asked", "logged", Repeated(2, 49, polls[-1].at)]


def test_what_differs_breaks_a_run():
    moments = [moment(n / 10, "chunk") for n in range(5)] + [moment(0.5, "error"), moment(0.6, "chunk")]
    assert said(moments) == ["chunk", Repeated(1, 4, moments[4].at), "error", "chunk"]


def test_a_silence_within_a_run_is_told():
    moments = [moment(n / 10, "ping") for n in range(4)] + [moment(9 + n / 10, "ping") for n in range(5)]
    items = said(moments)
    assert items[:3] == ["ping", Repeated(1, 3, moments[3].at), Quiet(8.7)]
    assert items[3:] == ["ping", "ping", Repeated(1, 3, moments[-1].at)]


def test_a_steady_beat_is_counted_with_its_silences():
    beats = [moment(5 * n, "ping") for n in range(10)]
    assert said(beats) == ["ping", Quiet(5.0), "ping", Repeated(1, 8, beats[-1].at)]


def test_of_a_very_long_timeline_both_ends_are_shown_and_the_rest_is_counted():
    items = said([moment(n / 1000, f"m{n}") for n in range(1000)])
    assert items[0] == "m0"
    assert items[-1] == "m999"
    assert items[200] == LeftOut(600)
    assert len(items) == 401


def test_moments_that_are_like_no_other_are_never_folded():
    bare = [Moment(at=START, source="test", kind="begin", text="begins") for _ in range(6)]
    assert len(fold(bare)) == 6
