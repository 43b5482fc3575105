"""Which file a loop's name means, and what a glance at it tells."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netra_loop.errors import UsageError
from netra_loop.loops import find_loop, guess
from netra_loop.settings import Settings

PLAIN = "name: night\ntests: {paths: [../tests]}\nenvironments: {here: {cloud: none}}\n"


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "night.yaml"
    path.write_text(text)
    return path


def found(folder: Path, name: str) -> Path:
    return find_loop(Settings({}, None, False, folder), name)


def test_a_name_is_looked_up_from_the_working_directory_upwards(tmp_path):
    path = written(tmp_path / "loops", PLAIN)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert found(below, "night") == path
    assert found(tmp_path, "loops/night.yaml") == path


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path):
    written(tmp_path / "loops", PLAIN)
    with pytest.raises(UsageError) as refused:
        found(tmp_path, "day")
    assert "night" in (refused.value.hint or "")


def test_tests_without_words_of_their_own_are_run_by_our_interpreter(tmp_path):
    made = guess(written(tmp_path / "loops", PLAIN))
    assert made is not None
    assert (made.python, made.root) == (Path(sys.executable), tmp_path)


def test_pytest_runs_beside_a_file_that_lies_elsewhere(tmp_path):
    made = guess(written(tmp_path / "elsewhere", PLAIN))
    assert made is not None
    assert made.root == tmp_path / "elsewhere"


@pytest.mark.parametrize("key", ["python", "root", "env", '"env"'])
def test_words_of_its_own_are_understood_first(tmp_path, key):
    assert guess(written(tmp_path, PLAIN.replace("{paths", "{" + key + ": x, paths"))) is None


def test_a_loop_without_tests_needs_no_interpreter(tmp_path):
    assert guess(written(tmp_path, "name: night\njourneys: {}\n")) is None


def test_what_is_no_file_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "night.yaml")
    assert guess(tmp_path / "night.yaml") is None
    assert guess(tmp_path / "missing.yaml") is None
