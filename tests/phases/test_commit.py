"""One commit for what a fixer did, however often it is made."""

import os
import shutil
import subprocess

import pytest

from netra_loop.core import events as ev
from netra_loop.core.machine import End, decide
from netra_loop.core.records import Batch
from netra_loop.core.state import Status
from netra_loop.errors import GitFailed
from netra_loop.testing.rows import finding

SAY = 'echo Mend the answer > "$NETRA_LOOP_NOTE"; echo \'["F-1"]\' > "$NETRA_LOOP_CLAIM"'
FIX = f'echo "answer = 42" > service/app.py; {SAY}'
PATHS = ("../service",)


@pytest.fixture
async def root(bench, fixing):
    """A fixer has worked in it."""
    where = await fixing()
    await bench.record(Batch(findings=(finding("F-1", title="wrong answer"),), findings_iteration=1))
    await bench.act("run", command=FIX)
    return where


def git(root, *words):
    named = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    return subprocess.run(["git", *named, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def log(root, *words):
    return git(root, "log", *words)


async def test_it_holds_the_paths_and_says_what_it_is_for(bench, root):
    result = await bench.act("commit", paths=PATHS)
    assert result.outcome == "ok", result.summary
    assert log(root, "-1", "--format=%B").split("\n") == [
        *("Mend the answer", "", "- F-1 wrong answer", ""),
        *(f"Netra-Loop-Session: {bench.session}", "Netra-Loop-Iteration: 1", "Netra-Loop-Finding: F-1"),
        *(f"Netra-Loop-Intent: {bench.session}/1/commit/1", "", ""),
    ]
    (fact,) = await bench.events("committed")
    assert (fact.paths, fact.findings, fact.subject) == (("service/app.py",), ("F-1",), "Mend the answer")
    assert bench.state.head == fact.commit == result.facts["commit"]


async def test_cut_off_after_it_was_made_it_is_adopted(bench, root):
    context = await bench.open("commit", paths=PATHS)
    first = await bench.run(context)
    again = await bench.recover(context)
    assert again.facts == first.facts
    assert [event.name for event in await bench.events("adopted")] == [first.facts["commit"]]
    assert log(root, "--format=%s").splitlines()[0] == "Mend the answer"
    assert len(log(root, "--format=%H").split()) == 2


async def test_its_first_line_is_the_note_of_the_last_attempt(bench, root):
    await bench.act("run", 2, command='echo "answer = 43" > service/app.py; echo Mend it well > "$NETRA_LOOP_NOTE"')
    await bench.act("commit", paths=PATHS)
    assert "Mend the answer" not in log(root, "-1", "--format=%B")
    assert log(root, "-1", "--format=%s") == "Mend it well\n"


async def test_nothing_changed_is_no_success(bench, root):
    await bench.act("commit", paths=PATHS)
    again = await bench.act("commit", 2, paths=PATHS)
    assert again.outcome == "failed"
    assert "nothing to commit" in again.summary


async def test_what_came_after_the_last_command_had_ended_is_looked_at_by_nobody(bench, root):
    (root / "service/app.py").write_text("answer = 43\n")
    result = await bench.act("commit", paths=PATHS)
    assert (result.outcome, await bench.events("committed")) == ("failed", [])
    assert "since the last command ended somebody has changed service/app.py" in result.summary
    stood = (ev.SessionPaused(why="asked to"), ev.SessionResumed(pid=1, host="here"))  # a person had it stand still
    await bench.record(Batch(events=stood))
    assert (await bench.act("commit", 2, paths=PATHS)).outcome == "ok"


async def test_what_lies_elsewhere_is_not_committed_and_stops_the_rest(bench, root):
    (root / "README.md").write_text("changed by an audit")
    result = await bench.act("commit", paths=PATHS)
    assert (result.outcome, await bench.events("committed")) == ("failed", [])
    assert "README.md" in result.summary


async def test_a_change_that_takes_an_earlier_one_back_is_not_committed_and_ends_the_session_stuck(bench, root):
    first = (await bench.act("commit", paths=PATHS)).facts["commit"]
    bench.iteration = 2
    await bench.act("run", command="echo 'answer = 41' > service/app.py; echo Back > $NETRA_LOOP_NOTE")
    result = await bench.act("commit", paths=PATHS)
    assert result.outcome == "failed"
    assert log(root, "-1", "--format=%H").strip() == bench.state.head == first
    kept = log(root, "-1", "--format=%H", f"refs/netra-loop/{bench.session}/2-turned-back").strip()
    assert decide(bench.spec, bench.state) == End(
        Status.STUCK,
        1,
        f"{kept[:12]} (Back), which was not committed, takes back {first[:12]} (Mend the answer, iteration 1): "
        f"all would be as it was at {bench.state.workspace.base[:12]}, where the session began",
    )


async def test_cut_off_anywhere_it_is_one_commit_in_the_end(bench, fixing, tmp_path, monkeypatch):
    """git is killed after what it does has been done, each of its processes in turn."""
    shim, left = tmp_path / "bin", tmp_path / "left"
    shim.mkdir()
    (shim / "git").write_text(
        f'#!/bin/sh\n{shutil.which("git")} "$@"; code=$?\n[ -e {left} ] || exit $code\n'
        f"read n < {left}; echo $((n - 1)) > {left}; [ $n -eq 1 ] && kill -9 $$; exit $code\n"
    )
    (shim / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
    root = await fixing()
    for number in range(1, 100):
        bench.iteration = number
        await bench.act("run", command=f'echo "answer = {number}" > service/app.py')
        context, before = await bench.open("commit", paths=PATHS), bench.state.head
        left.write_text(f"{number}\n")
        try:
            await bench.run(context)
        except GitFailed:
            made = log(root, "-1", "--format=%H").strip()
            left.unlink()
            result = await bench.recover(context)
            assert (result.outcome, made in {before, result.facts["commit"]}) == ("ok", True), result.summary
            assert log(root, "--format=%H", f"{before}..").split() == [result.facts["commit"]]
            continue
        break
    assert 5 < number < 20
    assert git(root, "status", "--porcelain") == ""


async def test_a_branch_that_somebody_else_moved_is_left_to_him(bench, root):
    git(root, "commit", "--quiet", "--allow-empty", "-m", "Mine")
    result = await bench.act("commit", paths=PATHS)
    assert result.outcome == "failed"
    assert "(Mine), which this session did not make" in result.summary
    assert log(root, "-1", "--format=%s") == "Mine\n"


async def test_what_pytest_is_told_is_not_committed_and_what_else_the_file_says_is(bench, root):
    await bench.act("run", 2, command="printf '[project]\nname = \"x\"\n' > pyproject.toml")
    result = await bench.act("commit", paths=(*PATHS, "../pyproject.toml"))
    assert result.outcome == "ok", result.summary
    (root / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.pytest.ini_options]\naddopts = "-k none"\n')
    result = await bench.act("commit", 2, paths=(*PATHS, "../pyproject.toml"))
    assert (result.outcome, "pyproject.toml" in result.summary) == ("failed", True)


async def test_no_hook_runs_and_nothing_is_signed(bench, root):
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction"):
        (root / ".git/hooks").mkdir(exist_ok=True)
        (root / ".git/hooks" / name).write_text("#!/bin/sh\nexit 1\n")
        (root / ".git/hooks" / name).chmod(0o755)
    git(root, "config", "commit.gpgSign", "true")
    made = await bench.act("commit", paths=PATHS)
    assert made.outcome == "ok"
    assert "gpgsig" not in log(root, "-1", "--format=raw")
