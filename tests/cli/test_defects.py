"""What becomes of an error that nobody foresaw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netra_loop.cli.defects import nothing_but_told, told
from netra_loop.errors import StoreError


def raised() -> LookupError:
    with pytest.raises(LookupError) as found:
        raise LookupError("nothing there")
    return found.value


def test_a_traceback_is_kept_in_a_file_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = told(raised())
    assert said.startswith("LookupError: nothing there\n")
    assert "Traceback" in Path(re.search(r"\S+/netra-loop-defect-\S+", said)[0]).read_text()


def test_where_no_file_can_be_made_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert "Traceback (most recent call last)" in told(raised())


@pytest.mark.parametrize("error", [StoreError("the disk is gone"), OSError(28, "no room"), TypeError("a defect")])
def test_what_is_only_to_be_told_replaces_nothing_and_is_one_line(error, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with nothing_but_told("how it stands"):
        raise error
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("how it stands could not be told: ")
    assert str(error) in line
    assert ("defect-" in line) is isinstance(error, TypeError)


def test_whoever_ends_the_process_does():
    with pytest.raises(KeyboardInterrupt), nothing_but_told("how it stands"):
        raise KeyboardInterrupt
