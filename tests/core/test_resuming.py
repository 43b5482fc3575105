"""Tests of the command that goes on with a session."""

from __future__ import annotations

import subprocess

from netra_loop.core.redact import MARK, Redactor
from netra_loop.core.resuming import first, resume_command, to_be_set


def test_without_secrets_it_is_the_session_alone():
    assert resume_command("netra-loop", "night-1", {"user": "me"}) == "netra-loop resume night-1"
    assert first({"user": "me"}) == ""


def test_what_is_not_stored_comes_from_the_shell():
    kept = {"api_key": MARK, "path": MARK, "user": "me"}
    assert to_be_set(kept) == {"api_key": "API_KEY", "path": "VALUE_OF_PATH"}
    assert first(kept).startswith(
        "first set API_KEY to the value of api_key, and set VALUE_OF_PATH to the value of path"
    )


def test_a_shell_takes_it_as_it_is_printed():
    line = resume_command("printf '%s\\n'", "night-1", {"api_key": MARK})
    done = subprocess.run(["sh", "-c", line], env={"API_KEY": "a b $c"}, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["resume", "night-1", "--var", "api_key=a b $c"]


def test_no_redactor_takes_anything_out_of_it():
    line = resume_command("netra-loop", "night-1", {"api_key": MARK, "db_password": MARK})
    assert Redactor().text(line) == line
