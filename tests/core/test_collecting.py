"""Tests of when nobody looks for circles."""

from __future__ import annotations

import gc

import pytest

from netra_loop.core.collecting import uncollected


def test_within_it_nothing_is_collected_and_afterwards_all_is_as_it_was():
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_fails_in_it_leaves_the_collector_on():
    with pytest.raises(ValueError, match="broken"), uncollected():
        raise ValueError("broken")
    assert gc.isenabled()
