"""A flood's middle goes, its size and both its ends stay."""

from __future__ import annotations

import pytest

from netra_loop.execution.pool_spill import HEAD, TAIL, Spill

FLOOD = 32 << 20


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "flood"
    file.write_bytes(b"x" * FLOOD)
    if not Spill(str(file)).trim():
        pytest.skip("this file system makes no holes")
    file.write_bytes(b"x" * FLOOD)
    return file


def test_the_middle_takes_no_room(file):
    assert Spill(str(file)).trim()
    found = file.stat()
    assert found.st_size == FLOOD
    assert found.st_blocks * 512 < HEAD + TAIL + (1 << 20)
    content = file.read_bytes()
    assert content[:HEAD] == b"x" * HEAD
    assert content[-TAIL:] == b"x" * TAIL


def test_what_was_before_the_running_test_goes_too(file):
    start = FLOOD // 2
    Spill(str(file)).trim(start)
    content = file.read_bytes()
    assert content[: 1 << 20] == bytes(1 << 20)
    assert content[start : start + HEAD] == b"x" * HEAD


def test_a_file_is_looked_after_again_as_it_grows_and_when_it_begins_anew(file):
    spill = Spill(str(file))
    assert spill.trim()
    assert not spill.trim()
    with file.open("ab") as more:
        more.write(b"y" * FLOOD)
    assert spill.trim()
    file.write_bytes(b"")
    assert not spill.trim()
    file.write_bytes(b"z" * FLOOD)
    assert spill.trim()


def test_short_files_and_missing_ones_are_let_be(tmp_path):
    file = tmp_path / "short"
    file.write_bytes(b"x" * 1000)
    assert not Spill(str(file)).trim()
    assert not Spill(str(tmp_path / "none")).trim()
