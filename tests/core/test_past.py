"""Tests of what earlier sessions of a loop know."""

from datetime import UTC, datetime

from netra_loop.core.past import Fixed, Past, past
from netra_loop.core.records import Sighting

T0 = datetime(2026, 11, 3, 21, 14, tzinfo=UTC)


def seen(session: str, fixed: int | None = None) -> Sighting:
    return Sighting("s", session, T0, 1, 2, fixed)


def test_only_the_sessions_before_count():
    told = past([seen("one"), seen("two"), seen("now"), seen("later")], "now")
    assert told == Past(2, "one", T0, "two", None)


def test_what_nobody_saw_before_has_no_past():
    assert past([seen("now"), seen("later")], "now") is None
    assert past([], "now") is None


def test_the_last_fix_is_told():
    told = past([seen("one", fixed=3), seen("two", fixed=4), seen("three")], "now")
    assert told is not None
    assert (told.sessions, told.fixed) == (3, Fixed("two", 4))
    assert str(told) == "seen in 3 earlier sessions, first in one (2026-11-03); last fixed in two, iteration 4"


def test_it_says_by_what():
    assert str(Fixed("two", 4, "backend-00007-abc", "0123456789abcdef")) == (
        "in two, iteration 4 by backend-00007-abc, commit 0123456789ab"
    )
