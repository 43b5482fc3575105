"""What the runner of GitHub Actions is told, into whatever files it names and of whatever files a log names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from netra_loop.core.records import FindingState, Outcome, RootCause
from netra_loop.report.github import GitHub
from netra_loop.report.github_summary import Told
from netra_loop.report.view import SessionView
from netra_loop.testing.rows import T0, finding, result

VIEW = SessionView("night-1", "night", "local", "unmet", 2, None, T0, T0, exit_code=1, reason="P1 is unmet")


class Runner:
    """A step whose files lie in a folder, and what was said in its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []
        files = {"GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_OUTPUT": str(folder / "output")}
        self.environ = {"GITHUB_WORKSPACE": str(folder), **files}

    def tell(self, told: Told, folders: Sequence[Path] = ()) -> None:
        github = GitHub(self.environ, self.log.append)
        github.outputs(told.view)
        github.tell(told, folders or [self.folder])

    def warnings(self) -> list[str]:
        return [line for line in self.log if line.startswith("::warning ")]


@pytest.fixture
def runner(tmp_path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize("name", ["a" * 5000, "x/" * 3000, "a\0b", "", "/", "..", "\ud83d", "~/x", "loop/loop"])
def test_a_file_that_a_log_names_may_have_any_name(runner, name):
    (runner.folder / "loop").symlink_to("loop")
    cause = RootCause(file=name, line=3, function="f", exception="E", message="m", entries=1)
    failing = result(f"{name}::test_a", outcome=Outcome.FAILED)
    runner.tell(Told(VIEW, [replace(finding("F-1"), root_cause=cause)], [failing], 1))
    assert len(runner.log) == 2
    assert not any("file=" in line for line in runner.log)
    assert "exit_code=1" in (runner.folder / "output").read_text()


@pytest.mark.parametrize("workspace", ["a" * 5000, "loop", "/nowhere"])
def test_a_workspace_that_is_none_has_no_files(runner, workspace):
    (runner.folder / "loop").symlink_to("loop")
    runner.environ["GITHUB_WORKSPACE"] = workspace if workspace != "loop" else str(runner.folder / "loop")
    runner.tell(Told(VIEW, (), [result("test_a.py::test_a", outcome=Outcome.FAILED)], 1))
    assert runner.log == ["::error title=failed%3A test_a.py%3A%3Atest_a::"]


@pytest.mark.parametrize("name", ["/nowhere/at/all", "/", "a" * 5000])
def test_a_file_that_cannot_be_written_is_said_and_the_others_are(runner, name):
    runner.environ["GITHUB_OUTPUT"] = name
    runner.tell(Told(VIEW, (), (), 0))
    assert len(runner.warnings()) == 1
    assert "cannot be written" in runner.warnings()[0]
    assert (runner.folder / "summary").read_text().startswith("### netra-loop")


def test_a_file_without_room_is_said(runner):
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is full")
    runner.environ |= {"GITHUB_OUTPUT": "/dev/full", "GITHUB_STEP_SUMMARY": "/dev/full"}
    runner.tell(Told(VIEW, (), (), 0))
    told = "/dev/full cannot be written: No space left on device"
    assert [line.split("::")[-1] for line in runner.warnings()] == [told, told]


def test_a_pipe_that_nobody_reads_is_not_waited_for(runner):
    os.mkfifo(runner.folder / "pipe")
    runner.environ["GITHUB_STEP_SUMMARY"] = str(runner.folder / "pipe")
    runner.tell(Told(VIEW, (), (), 0))
    assert len(runner.warnings()) == 1


def test_a_runner_that_names_no_files_gets_annotations_alone(runner):
    runner.environ = {}
    runner.tell(Told(VIEW, [finding("F-1")], (), 0))
    assert len(runner.log) == 1


@pytest.mark.parametrize(("before", "written"), [(1_040_000, True), (1_048_000, False)])
def test_a_step_s_summary_never_grows_past_what_github_takes(runner, before, written):
    many = [result(f"a.py::test_{n}", outcome=Outcome.FAILED, message="x" * 300) for n in range(100)]
    (runner.folder / "summary").write_text("x" * before)
    runner.tell(Told(VIEW, (), many, 100))
    size = (runner.folder / "summary").stat().st_size
    assert (before < size <= 1_048_576) is written
    assert ("summary of this step is full" in "".join(runner.log)) is not written


def test_a_test_that_does_not_count_is_annotated_so(runner):
    gone = result("a.py::b", outcome=Outcome.FAILED, message="refused", reasons=("environment-gone: it had ended",))
    runner.tell(Told(VIEW, [], [gone], 1))
    assert runner.log[-1].endswith("title=failed%3A a.py%3A%3Ab::not counted: the environment had ended; refused")


def test_errors_are_counted_with_those_that_are_not_listed_and_what_is_fixed_is_none(runner):
    listed = [result(f"a.py::test_{n}", outcome=Outcome.FAILED) for n in range(200)]
    mended = replace(finding("F-2"), state=FindingState.FIXED)
    runner.tell(Told(VIEW, [finding("F-1"), mended], listed, 300))
    assert len(runner.log) == 10
    assert "title=and 292 more::all of them: netra-loop findings night-1, netra-loop results night-1" in runner.log[-1]
