"""What is told of a session to a runner of GitHub Actions, read from its journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from netra_loop.cli import github
from netra_loop.cli.view import told_of
from netra_loop.core import events as ev
from netra_loop.core import loopfile
from netra_loop.core.records import Authenticity, Batch, FindingState, Outcome
from netra_loop.settings import Settings
from netra_loop.testing import FakeClock, MemoryJournal
from netra_loop.testing.rows import finding, head, result

S = "golden-1"
LOOP = """
version: 1
name: night
tests: {paths: [tests]}
phases: {select: {uses: select}, execute: {uses: execute}, record: {uses: record}}
"""


class Story:
    """A session of so many iterations, told as its process would."""

    def __init__(self, folder: Path) -> None:
        self.journal = MemoryJournal(FakeClock())
        self.environ = {"GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_OUTPUT": str(folder / "output")}
        self.settings = Settings(self.environ, None, ci=True, cwd=folder)
        self.spec = loopfile.load(LOOP, folder / "night.yaml")

    async def begins(self) -> None:
        started = ev.SessionStarted(
            loop="golden-path", loop_file="night.yaml", loop_text=LOOP, environment="local", first_phase="select"
        )
        await self.journal.create(head(S), Batch(events=(started,)))

    async def iteration(self, number, results, *, findings=None, judged="unmet") -> None:
        where = {"iteration": number, "attempt": 1}
        opened = ev.PhaseStarted(phase="execute", uses="execute", **where)
        await self.journal.append(S, Batch(events=(opened,), results=tuple(results)))
        if findings is not None:
            counts: dict[str, int] = {}
            for one in findings:
                counts[one.state.value] = counts.get(one.state.value, 0) + 1
            said = ev.GoalJudged(phase="execute", outcome=judged, findings=counts, **where)
            done = ev.PhaseFinished(phase="execute", outcome=judged, target="select", **where)
            await self.journal.append(S, Batch(events=(said, done), findings=tuple(findings)))

    async def told(self):
        return await told_of(self.journal, await self.journal.find(S))

    async def tell(self) -> None:
        view, findings = await self.told()
        await github.tell(self.journal, self.settings, view, findings, self.spec)

    def summary(self) -> str:
        return Path(self.environ["GITHUB_STEP_SUMMARY"]).read_text()


@pytest.fixture
async def story(tmp_path):
    made = Story(tmp_path)
    await made.begins()
    async with made.journal.own(S):
        yield made


def failures(number: int, iteration: int = 1) -> list:
    return [result(f"t.py::test_{n:04}", iteration=iteration, outcome=Outcome.FAILED) for n in range(number)]


def errors(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("::error")]


async def test_of_three_hundred_failing_tests_all_are_counted(story, capsys):
    failing = failures(300)
    passing = [result(f"t.py::test_ok{n}") for n in range(50)]
    found = finding("F-1", tests=tuple(one.id for one in failing))
    await story.iteration(1, [*failing, *passing], findings=[found])
    await story.tell()
    assert "<summary>300 tests that failed or are fake</summary>" in story.summary()
    assert "And 200 more tests" in story.summary()
    assert len(told := errors(capsys)) == 10
    assert "title=and 292 more::" in told[-1]


async def test_what_is_fixed_takes_no_failing_test_s_place(story):
    """A finding that explains many tests, all of which pass by now, stands before others in no list of failures."""
    mended = [result(f"t.py::test_mended{n:04}", iteration=2) for n in range(600)]
    closed = finding("F-1", state=FindingState.FIXED, tests=tuple(one.id for one in mended))
    failing = failures(3, 2)
    await story.iteration(2, [*mended, *failing], findings=[closed])
    await story.tell()
    assert "<summary>3 tests that" in story.summary()
    assert story.summary().count("| failed |") == 3


async def test_a_fake_pass_is_one_of_them_and_a_retry_counts_once(story):
    fake = result("t.py::test_fake", authenticity=Authenticity.FAKE, reasons=("no-contact",))
    tries = [result("t.py::test_try", attempt=n, outcome=Outcome.FAILED) for n in (1, 2)]
    flaky = [result("t.py::test_flaky", attempt=1, outcome=Outcome.FAILED), result("t.py::test_flaky", attempt=2)]
    await story.iteration(1, [fake, *tries, *flaky], findings=[])
    await story.tell()
    assert "<summary>2 tests that failed or are fake</summary>" in story.summary()
    assert "passed, but fake" in story.summary()


async def test_a_later_iteration_is_not_shown_the_findings_of_an_earlier_one(story):
    open_, closed = finding("F-1"), finding("F-2", state=FindingState.FIXED)
    await story.iteration(1, failures(1), findings=[open_, closed])
    await story.iteration(2, failures(2, 2))
    view, findings = await story.told()
    assert (view.iteration, findings, view.findings) == (2, [], {})
    assert view.earlier == "iteration 2 was not judged yet; iteration 1 left 1 finding open"
    await story.tell()
    assert "F-1" not in story.summary()
    assert "<summary>2 tests that" in story.summary()


async def test_an_iteration_without_findings_has_none(story):
    await story.iteration(1, failures(1), findings=[finding("F-1")])
    await story.iteration(2, [result("t.py::test_0000", iteration=2)], findings=[], judged="met")
    view, findings = await story.told()
    assert (findings, view.earlier) == ([], "")


async def test_findings_of_the_iteration_shown_are_told_by_their_state(story):
    await story.iteration(1, failures(1), findings=[finding("F-1"), finding("F-2")])
    now = [finding("F-1", state=FindingState.FIXED), finding("F-2", state=FindingState.PERSISTING)]
    await story.iteration(2, failures(1, 2), findings=now)
    _, findings = await story.told()
    assert {one.id: one.state for one in findings} == {
        "F-1": FindingState.FIXED,
        "F-2": FindingState.PERSISTING,
    }
