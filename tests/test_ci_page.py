"""docs/ci.md and the workflow to copy: what they tell a user to type is understood."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup

from netra_loop.cli.commands import command_line
from netra_loop.core import durations

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
WORKFLOW_TEXT = (ROOT / "docs" / "ci" / "github-actions.yml").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(WORKFLOW_TEXT)
STEPS = WORKFLOW["jobs"]["slice"]["steps"]
LINES = [*PAGE.splitlines(), *WORKFLOW_TEXT.splitlines()]
TYPED = [found[1] for line in LINES if (found := re.match(r"(?:\s*exec |ExecStart=\S*/|)netra-loop (.*)$", line))]


def understood(words: list[str]) -> dict[str, object]:
    """The parameters that the command line's own parser makes of `words`; raises where it would refuse them."""
    group = command_line()
    assert isinstance(group, TyperGroup)
    name, *rest = words
    return group.commands[name].make_context(name, rest, resilient_parsing=False).params


def test_there_are_commands_to_check():
    assert len(TYPED) >= 6


@pytest.mark.parametrize("typed", TYPED)
def test_every_command_is_understood(typed):
    given = understood(shlex.split(typed, comments=True))
    if typed.startswith("run"):
        assert given["go_on"]
        assert given["budget"] in {None, "5h30m"}


def test_the_cloud_run_job_s_arguments_are_understood():
    (arguments,) = re.findall(r"--command netra-loop --args (\S+)", PAGE)
    assert understood(arguments.split(","))["budget"] == "5h30m"


def test_the_slice_is_the_step_s_own_process_and_ends_before_the_job_does():
    (step,) = [step for step in STEPS if step.get("id") == "loop"]
    assert step["run"].splitlines()[-1].startswith("exec netra-loop run ")
    budget_s = durations.parse(re.search(r"--budget (\S+)", step["run"])[1])
    limit_min = WORKFLOW["jobs"]["slice"]["timeout-minutes"]
    assert budget_s / 60 + 20 <= limit_min < 360


def test_one_slice_runs_at_a_time_and_is_not_cancelled_by_the_next():
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is False


def test_what_follows_uses_the_outputs_that_are_written():
    (step,) = [step for step in STEPS if "steps.loop.outputs" in str(step.get("env"))]
    used = set(re.findall(r"steps\.loop\.outputs\.(\w+)", str(step["env"])))
    assert used <= {"session", "state", "exit_code", "reason"}


@pytest.mark.parametrize(
    ("code", "reason", "exits", "dispatches"),
    [
        ("0", "every tier is within its threshold", 0, False),
        ("75", "the budget of 5h30m is used up", 0, True),
        ("75", "netra-loop stop", 0, False),
        ("1", "phase 'record' ended 'unmet'", 1, False),
        ("3", "no quota", 1, False),
        ("", "", 1, False),
    ],
)
def test_the_next_slice_is_dispatched_where_the_budget_was_used_up(tmp_path, code, reason, exits, dispatches):
    (step,) = [step for step in STEPS if "steps.loop.outputs" in str(step.get("env"))]
    gh = tmp_path / "gh"
    gh.write_text(f"#!/bin/sh\necho dispatched > {tmp_path}/said\n")
    gh.chmod(0o755)
    environ = {
        "CODE": code,
        "REASON": reason,
        "SESSION": "s",
        "GITHUB_REF_NAME": "main",
        "PATH": f"{tmp_path}:/bin:/usr/bin",
    }
    done = subprocess.run(["bash", "-e", "-c", step["run"]], env=environ, capture_output=True, check=False)
    assert (done.returncode, (tmp_path / "said").exists()) == (exits, dispatches)


def test_every_exit_code_is_told():
    table = PAGE.partition("One command is every slice")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == ["0", "1", "2", "3", "4", "5", "75", "130"]


def test_a_step_s_outputs_are_used_only_after_the_step():
    ids: set[str] = set()
    for step in STEPS:
        assert set(re.findall(r"steps\.(\w+)\.", str(step))) <= ids
        ids |= {step["id"]} if "id" in step else set()


def test_no_expression_stands_in_a_script():
    """A value that the runner puts into a script is a part of it, whatever it holds; from `env` it is a value."""
    assert not [step["run"] for step in STEPS if "${{" in step.get("run", "")]


def test_every_expression_is_of_a_context_that_there_is_and_closed():
    expressions = re.findall(r"\$\{\{(.*?)\}\}", WORKFLOW_TEXT)
    assert len(expressions) == WORKFLOW_TEXT.count("${{")
    for one in expressions:
        known = r" (secrets|vars|steps|github)(\.\w+)+ | !cancelled\(\) "
        assert re.fullmatch(known, one), one


def test_the_workflow_has_what_its_steps_need():
    on = WORKFLOW[True]  # YAML 1.1 reads the key `on` so
    assert set(on) == {"schedule", "workflow_dispatch"}  # `gh workflow run` starts what can be dispatched alone
    for entry in on["schedule"]:
        minute, hours, *rest = entry["cron"].split()
        assert 0 < int(minute) < 60
        assert all(0 <= int(hour) < 24 for hour in hours.split(","))
        assert rest == ["*", "*", "*"]
    assert WORKFLOW["permissions"] == {"contents": "read", "actions": "write", "id-token": "write"}
    named = re.search(r"\.github/workflows/([\w-]+\.yml)", WORKFLOW_TEXT)
    assert named
    assert f"gh workflow run {named[1]} " in WORKFLOW_TEXT
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
        assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
        known = {"name", "id", "if", "uses", "with", "run", "env", "continue-on-error"}
        assert set(step) <= known


def test_every_script_is_one_that_bash_understands():
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert scripts
    for script in scripts:
        read = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert (read.returncode, read.stderr) == (0, "")
