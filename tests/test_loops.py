"""Which file a loop's name means, and what a glance at it tells."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netra_loop.errors import UsageError
from netra_loop.loops import find_again, find_loop, guess, same_loop
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


class TestAnotherCheckout:
    """A session that another machine began is resumed in a checkout of its own."""

    @pytest.fixture
    def here(self, tmp_path):
        project = tmp_path / "here"
        project.mkdir()
        written(project / "loops", PLAIN)
        return project

    def settings(self, cwd):
        return Settings(environ={}, store=None, ci=False, cwd=cwd)

    def test_the_loop_is_found_at_its_place_below_loops(self, here):
        began = Path("/their/checkout/of/it/loops/night.yaml")
        assert find_again(self.settings(here / "tests"), began) == here / "loops" / "night.yaml"
        assert same_loop(began, here / "loops" / "night.yaml")
        assert not same_loop(Path("/their/loops/more/night.yaml"), here / "loops" / "night.yaml")

    def test_the_one_it_began_with_comes_first(self, here, tmp_path):
        (tmp_path / "first").mkdir()
        began = written(tmp_path / "first" / "loops", PLAIN)
        assert find_again(self.settings(here), began) == began
        assert not same_loop(began, here / "loops" / "night.yaml")

    def test_one_that_was_removed_where_it_stood_is_read_from_the_store(self, here, tmp_path):
        began = tmp_path / "gone.yaml"
        assert find_again(self.settings(here), began) == began

    def test_where_nothing_of_it_is_the_user_is_told_where_to_go(self, tmp_path):
        with pytest.raises(UsageError, match=r"not on this machine, nor loops/night\.yaml") as refused:
            find_again(self.settings(tmp_path), Path("/their/checkout/loops/night.yaml"))
        assert "checkout" in (refused.value.hint or "")
