"""One commit for what a fixer did, however often it is made."""

import subprocess

import pytest

from netra_loop.core.records import Batch
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


def log(root, *words):
    return subprocess.run(["git", "log", *words], cwd=root, check=True, capture_output=True, text=True).stdout


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


async def test_what_lies_elsewhere_is_not_committed_and_stops_the_rest(bench, root):
    (root / "README.md").write_text("changed by an audit")
    result = await bench.act("commit", paths=PATHS)
    assert (result.outcome, await bench.events("committed")) == ("failed", [])
    assert "README.md" in result.summary


async def test_a_change_that_takes_an_earlier_one_back_is_no_fix(bench, root):
    first = await bench.act("commit", paths=PATHS)
    bench.iteration = 2
    await bench.act("run", command="echo 'answer = 41' > service/app.py")
    result = await bench.act("commit", paths=PATHS)
    assert result.outcome == "failed"
    assert f"it takes back what {first.facts['commit'][:12]} changed" in result.summary
