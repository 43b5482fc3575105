"""Cutting long text."""

from __future__ import annotations

from netra_loop.agent.outcome import capped


def test_short_text_is_left_alone():
    assert capped("a" * 20, side=10) == "a" * 20


def test_of_long_text_head_and_tail_are_kept_and_the_rest_is_counted():
    text = "h" * 10 + "m" * 5000 + "t" * 10
    assert capped(text, side=10) == "h" * 10 + "\n[... 5000 of 5020 characters left out ...]\n" + "t" * 10
