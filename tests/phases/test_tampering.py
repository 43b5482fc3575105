"""Who changes the tests after a command was looked at: nothing passes for it."""

import pytest

from netra_loop.core.sources import CHANGED
from netra_loop.phases.tampering import tampered
from netra_loop.testing.rows import result
from netra_loop.workspace.base import CommitText


def fed(*names):
    """A pass of a test that came from elsewhere when the session began."""
    return [result(reasons=(CHANGED + ", ".join(names),))]


async def test_what_was_committed_is_no_tampering(bench, fixing):
    root = await fixing()
    assert await tampered(bench.context("record"), [result()]) == []
    (root / "tests/test_app.py").write_text("def test_answer(): pass\n")
    head = await bench.tools.workspace.head()
    tree = await bench.tools.workspace.snapshot("now")
    await bench.tools.workspace.commit(head, tree, CommitText("By hand\n", bench.clock.now()))
    assert await tampered(bench.context("record"), fed("tests/test_app.py")) == []


@pytest.mark.parametrize(
    ("path", "text", "is_told"),
    [
        ("tests/test_app.py", "def test_answer(): pass\n", True),
        ("tests/helper.py", "x = 2\n", True),
        ("tests/seen.json", "[2]\n", False),
        ("tests/new.json", "[]\n", False),
        ("service/app.py", "answer = 42\n", False),
    ],
)
async def test_a_test_that_nobody_committed_keeps_the_goal_from_being_met(bench, fixing, path, text, is_told):
    root = await fixing()
    (root / "tests/helper.py").write_text("x = 1\n")
    (root / "tests/seen.json").write_text("[]\n")
    head, tree = await bench.tools.workspace.head(), await bench.tools.workspace.snapshot("first")
    await bench.tools.workspace.commit(head, tree, CommitText("More\n", bench.clock.now()))
    (root / path).write_text(text)
    told = [f"what is sealed was changed, and by no commit: {path}"] if is_told else []
    assert await tampered(bench.context("record"), [result()]) == told


@pytest.mark.parametrize("name", ["tests/test_app.py", "conftest.py (added)", "/elsewhere/pytest.ini (added)"])
async def test_what_ran_counts_though_it_lies_there_as_it_was(bench, fixing, name):
    await fixing()
    (told,) = await tampered(bench.context("record"), fed(name))
    assert told == f"what is sealed was changed, and by no commit: {name.partition(' ')[0]}"
