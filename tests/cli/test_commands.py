"""Tests of what is built of the command line, and of the values that pass it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from netra_loop.cli.commands import command_line
from netra_loop.cli.words import first_of


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["list", "--json"], "list"),
        (["--store", "list", "status"], "status"),
        (["status", "--store", "x"], "status"),
        (["--store=x", "-h", "list"], "-h"),
        (["--store"], None),
        ([], None),
    ],
    ids=str,
)
def test_the_first_word_is_no_store(words, first):
    assert first_of(words) == first


def parsed(name, *words):
    """What the command's function would be given."""
    whole = command_line([name])
    command = whole.commands[name]
    with whole.make_context("netra-loop", [name]) as above, command.make_context(name, list(words), above) as context:
        return context.params


def test_texts_pass_as_they_are_written():
    given = parsed("run", "night", "--var", "user=me", "--var", "who=Zoë", "--env", "staging")
    assert (given["loop"], given["var"], given["env"]) == ("night", ["user=me", "who=Zoë"], "staging")
    assert (given["only"], given["max_iterations"], given["plain"]) == (None, None, False)


def test_what_was_not_said_is_nothing():
    assert not parsed("run", "night")["var"]


def test_numbers_are_numbers_within_their_bounds():
    assert parsed("run", "night", "--max-iterations", "3")["max_iterations"] == 3
    with pytest.raises(typer.BadParameter):
        parsed("run", "night", "--max-iterations", "0")
    with pytest.raises(typer.BadParameter):
        parsed("run", "night", "--max-iterations", "many")


@pytest.mark.parametrize("words", [["--version"], ["list"], ["status", "latest"]], ids=" ".join)
def test_what_was_not_typed_is_not_imported(words, tmp_path):
    code = (
        "import sys; from netra_loop.cli.boundary import _run; _run(sys.argv[1:]);"
        "print([name for name in ('pydantic', 'netra_loop.cli.cloud', 'netra_loop.cli.run') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "[]"
