"""Tests of the lines around a place."""

from datetime import UTC, datetime

from netra_loop.core.source_lines import Place, Touched, around

TEXT = "\n".join(f"line {number}" for number in range(1, 21))


def test_five_lines_stand_on_either_side():
    first, lines = around(TEXT, 10)
    assert (first, lines[0], lines[-1], len(lines)) == (5, "line 5", "line 15", 11)


def test_at_the_ends_there_are_fewer():
    assert around(TEXT, 1) == (1, tuple(f"line {number}" for number in range(1, 7)))
    assert around(TEXT, 20)[1][-1] == "line 20"


def test_a_line_that_is_not_there_has_none_around():
    assert around(TEXT, 21) == (0, ())
    assert around(TEXT, 0) == (0, ())


def test_the_line_that_is_meant_is_marked():
    place = Place("a.py", 2, None, 1, ("def f():", "    return g.h()", "", "x = 1"))
    assert place.shown() == ["  1 | def f():", "> 2 |     return g.h()", "  3 |", "  4 | x = 1"]
    assert place.shown(around=0) == ["> 2 |     return g.h()"]
    assert place.source == "return g.h()"


def test_wide_lines_are_cut_and_tabs_are_spaces():
    _, lines = around("\tx\r\n" + "y" * 1000, 1)
    assert lines[0] == "    x"
    assert len(lines[1]) == 160


def test_who_touched_it_is_told_in_a_line():
    at = datetime(2026, 11, 20, tzinfo=UTC)
    assert str(Touched("0123456789abcdef", "Jane", at, "subject")) == "0123456789ab (Jane, 2026-11-20): subject"
    assert "this session" in str(Touched("0123456789abcdef", "netra-loop", at, "subject", ours=True))
