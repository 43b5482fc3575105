"""docs/ci/github-actions.yml, its own steps run by bash as a runner would, over a small loop: slice after slice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
JOB = yaml.safe_load((ROOT / "docs" / "ci" / "github-actions.yml").read_text(encoding="utf-8"))["jobs"]["slice"]
LOOP = """
version: 1
name: golden-path
environments: {local: {cloud: none}, staging: {cloud: none}}
tests: {paths: [../tests], workers: 1, retries: 0}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record}
goal: {authenticity: off}
"""
TESTS = """
import os, pathlib, time

def test_first():
    pathlib.Path("first.txt").open("a").write("x")

def test_takes_its_time():
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    assert pathlib.Path("go").read_text() == "well"
"""


@dataclass
class Slice:
    """What one run of the workflow came to: exit codes of its two steps, and whether it dispatched the next."""

    loop: int
    verdict: int
    dispatched: bool
    outputs: dict[str, str]
    said: str


class Runner:
    """Runs the workflow's `run:` steps in a project, as `bash -e FILE`, with the files and variables of a job."""

    def __init__(self, project):
        self.project = project
        for name, text in {"loops/golden-path.yaml": LOOP, "tests/test_a.py": TESTS}.items():
            (project.folder / name).parent.mkdir()
            (project.folder / name).write_text(text)
        self.bin = project.temporary / "bin"
        self.bin.mkdir()
        self._program("netra-loop", f'exec "{sys.executable}" -m netra_loop.cli.main "$@"')
        self._program("gh", f'echo "$GH_TOKEN $*" >> "{project.temporary}/dispatched"')
        self.store = f"sqlite:///{project.folder}/.netra-loop/journal.db"
        self.number = 0

    def _program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def slice(self, *, budget: str = "5h30m", without: str | None = None) -> Slice:
        self.number += 1
        dispatched = self.project.temporary / "dispatched"
        dispatched.unlink(missing_ok=True)
        known: dict[str, str] = {"github.token": "t0ken", "secrets.NETRA_LOOP_STORE": self.store}
        (loop,) = [step for step in JOB["steps"] if step.get("id") == "loop"]
        ran, outputs, said = self._step(loop, known, budget, without)
        assert loop["continue-on-error"]  # else what follows would not be reached
        known |= {f"steps.loop.outputs.{name}": value for name, value in outputs.items()}
        (verdict,) = [step for step in JOB["steps"] if "steps.loop.outputs" in str(step.get("env"))]
        decided, _, more = self._step(verdict, known, budget, without)
        return Slice(ran, decided, dispatched.exists(), outputs, said + more)

    def _step(self, step: dict[str, Any], known: dict[str, str], budget: str, without: str | None):
        script = self.project.temporary / f"step-{self.number}.sh"
        script.write_text(step["run"].replace("5h30m", budget))
        output = self.project.temporary / f"output-{self.number}"
        files = {"GITHUB_OUTPUT": output, "GITHUB_STEP_SUMMARY": self.project.temporary / f"summary-{self.number}"}
        given = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_REF_NAME": "main", **files}
        given |= {"GITHUB_WORKSPACE": self.project.folder, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        given.pop(without, None)
        told = {name: expanded(value, known) for name, value in {**JOB["env"], **step.get("env", {})}.items()}
        done = subprocess.run(
            ["bash", "-e", str(script)], cwd=self.project.folder, capture_output=True, text=True, timeout=120,
            env=self.project.environ() | {name: str(value) for name, value in given.items()} | told, check=False,
        )  # fmt: skip
        read = dict(line.split("=", 1) for line in output.read_text().splitlines()) if output.exists() else {}
        return done.returncode, read, done.stdout + done.stderr


def expanded(value: str, known: dict[str, str]) -> str:
    """A value of `env:` with its expressions replaced; an output that is not there is empty, as to the runner."""
    return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: known.get(found[1], ""), str(value))


@pytest.fixture
def runner(project) -> Runner:
    return Runner(project)


def test_slices_go_on_until_the_goal_is_met(runner):
    first = runner.slice(budget="3s")
    assert (first.loop, first.verdict, first.dispatched) == (75, 0, True), first.said
    assert first.outputs["reason"] == "the budget of 3s is used up"
    second = runner.slice(budget="3s")
    assert (second.loop, second.dispatched) == (75, True), second.said
    assert second.outputs["session"] == first.outputs["session"]
    (runner.project.folder / "go").write_text("well")
    last = runner.slice()
    assert (last.loop, last.verdict, last.dispatched) == (0, 0, False), last.said
    assert last.outputs["session"] == first.outputs["session"]
    assert (runner.project.folder / "first.txt").read_text() == "x"  # what was done is not done again


def test_an_end_without_the_goal_is_red_and_dispatches_nothing(runner):
    (runner.project.folder / "go").write_text("badly")
    last = runner.slice()
    assert (last.loop, last.verdict, last.dispatched) == (1, 1, False)
    assert "ended with exit code 1" in last.said


def test_a_loop_file_that_is_wrong_is_red_without_a_session(runner):
    (runner.project.folder / "loops" / "golden-path.yaml").write_text("version: 1\nnam: x\n")
    only = runner.slice()
    assert (only.loop, only.verdict, only.dispatched, only.outputs) == (2, 1, False, {})
    assert "no session was begun" in only.said


def test_a_store_that_is_not_named_is_no_store_on_the_runner(runner):
    runner.store = ""
    only = runner.slice()
    assert (only.loop, only.verdict, only.outputs) == (1, 1, {})
    assert "NETRA_LOOP_STORE: is not set" in only.said
    assert not (runner.project.folder / ".netra-loop").exists()


def test_a_runner_without_a_summary_file_changes_nothing(runner):
    (runner.project.folder / "go").write_text("well")
    only = runner.slice(without="GITHUB_STEP_SUMMARY")
    assert (only.loop, only.verdict) == (0, 0)
