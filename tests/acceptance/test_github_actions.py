"""`run` as a step of GitHub Actions: its files, its log, and tests that would like to write into them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

LOOP = """
version: 1
name: night
environments: {here: {cloud: none}}
tests: {paths: [../tests], retries: 0, timeout: 5m}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record}
goal: {authenticity: off}
"""
HOSTILE = """
import pytest

@pytest.mark.parametrize("x", ["::set-output name=state::met", "a|b @all <b>", "##[group]mine"])
def test_says_what_it_should_not(x):
    print("::add-mask::e")
    print("##[set-output name=state;]met")
    raise AssertionError("no\\n::set-output name=state::met\\r::error::mine\\n::stop-commands::x")
"""
SLOW = """
import time

def test_takes_its_time():
    time.sleep(120)
"""


class Step:
    """A step of a job whose workspace is the project."""

    def __init__(self, project):
        self.project = project
        (project.folder / "loops").mkdir()
        (project.folder / "loops" / "night.yaml").write_text(LOOP)
        (project.folder / "tests").mkdir()
        self.summary, self.output = project.temporary / "summary.md", project.temporary / "output"

    def run(self, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.project.folder / "tests" / "test_a.py").write_text(tests)
        files = {"GITHUB_STEP_SUMMARY": self.summary, "GITHUB_OUTPUT": self.output}
        runner = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": self.project.folder, **files}
        return subprocess.run(
            self.project.command("run", "night", *arguments),
            cwd=self.project.folder,
            env=self.project.environ() | {name: str(value) for name, value in runner.items()},
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def listed(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What another step of the job would print."""
        return subprocess.run(
            self.project.command(*arguments),
            cwd=self.project.folder,
            env=self.project.environ() | {"GITHUB_ACTIONS": "true"},
            text=True,
            capture_output=True,
            timeout=120,
            check=True,
        )

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def step(project) -> Step:
    return Step(project)


def commands(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that the runner would take for commands."""
    lines = (done.stdout + done.stderr).replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.lstrip().startswith("::") or "##[" in line]


def test_a_failing_test_is_an_annotation_at_its_line_and_makes_no_command_of_its_own(step):
    done = step.run(HOSTILE)
    assert done.returncode == 1, done.stderr
    found = commands(done)
    assert {line.split(" ")[0].split("::")[1] for line in found} == {"group", "endgroup", "error"}
    failed = [line for line in found if line.startswith("::error file=tests/test_a.py,line=8,title=failed%3A")]
    assert len(failed) == 3, found
    told = {"session": step.project.status()["session"], "state": "unmet", "exit_code": "1"}
    assert step.outputs().items() >= told.items()
    told = step.summary.read_text()
    assert told.startswith("### netra-loop: `night` unmet, exit 1\n")
    assert not [line for line in told.splitlines() if line.lstrip().startswith("::")]


def test_no_listing_holds_a_command_of_a_test_s(step):
    step.run(HOSTILE)
    test = next(row["id"] for row in step.project.json("results", "latest") if "##[group]mine" in row["id"])
    for words in (["results"], ["results", "--test", test], ["findings"], ["journal"], ["status"]):
        name, *more = words
        for form in ([], ["--json"]):
            assert commands(step.listed(name, "latest", *more, *form)) == []


def test_a_pause_is_a_notice_and_says_how_to_go_on(step):
    done = step.run(SLOW, "--budget", "2s")
    session = step.project.status()["session"]
    assert done.returncode == 75, done.stderr
    assert [line.split("::")[-1] for line in commands(done) if line.startswith("::notice")] == [
        f"the budget of 2s is used up%0Ago on with: netra-loop resume {session}"
    ]
    assert step.outputs() == {
        "session": session,
        "state": "paused",
        "exit_code": "75",
        "reason": "the budget of 2s is used up",
    }
    assert f"netra-loop resume {session}" in step.summary.read_text()
    assert done.stderr.splitlines()[-1] == f"netra-loop resume {session}"


def test_a_summary_that_cannot_be_written_is_said_and_changes_nothing(step):
    step.summary = Path("/nowhere/at/all.md")
    done = step.run("def test_fine(): pass\n")
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("::warning title=all.md::/nowhere/at/all.md cannot") for line in commands(done))
    assert step.outputs()["state"] == "met"
