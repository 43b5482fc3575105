"""What a workspace promises, whichever kind it is."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from netra_loop.errors import EnvironmentFailed, GitFailed
from netra_loop.workspace.base import Change, CommitText, NotKept, Tip, TurnedBack
from netra_loop.workspace.making import make
from netra_loop.workspace.repository import DIFF_LIMIT

TEXT = CommitText("Mend the factory\n\nNetra-Loop-Session: demo-1\n", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def shell(command, folder):
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)


async def committed(workspace, parent):
    """All that is there, as a commit."""
    return await workspace.commit(parent, await workspace.snapshot("now"), TEXT)


async def test_what_a_process_left_goes_back(workspace):
    head = await workspace.head()
    before = await workspace.snapshot("before")
    app = workspace.made.root / "service/app.py"
    app.write_text("answer = 43\n")
    (workspace.made.root / "junk").mkdir()
    (workspace.made.root / "junk/file").write_text("x")
    (workspace.made.root / "tests/test_app.py").unlink()
    after = await workspace.snapshot("after")
    assert await workspace.changes(before, after) == [
        Change("junk/file", "added"),
        Change("service/app.py", "modified"),
        Change("tests/test_app.py", "deleted"),
    ]
    await workspace.restore(head, before)
    assert await workspace.snapshot("again") == before
    assert not (workspace.made.root / "junk").exists()


async def test_edits_that_are_not_committed_come_back_too(workspace):
    head = await workspace.head()
    app = workspace.made.root / "service/app.py"
    app.write_text("answer = 43\n")
    (workspace.made.root / "extra.py").write_text("x = 1\n")
    edited = await workspace.snapshot("edited")
    app.write_text("broken(\n")
    (workspace.made.root / "extra.py").unlink()
    await workspace.restore(head, edited)
    assert app.read_text() == "answer = 43\n"
    assert (workspace.made.root / "extra.py").read_text() == "x = 1\n"
    assert await workspace.head() == head


async def test_commits_and_branches_of_a_fixers_own_do_not_count(workspace, run_git):
    head = await workspace.head()
    tree = await workspace.snapshot("before")
    root = workspace.made.root
    (root / "service/app.py").write_text("answer = 42\n")
    run_git(root, "checkout", "--quiet", "-b", "elsewhere")
    run_git(root, "commit", "--quiet", "-am", "Mine")
    assert await workspace.stand_on(head)
    assert not await workspace.stand_on(head)
    assert (root / "service/app.py").read_text() == "answer = 42\n"
    made = await committed(workspace, head)
    assert run_git(root, "rev-parse", f"{made}^").strip() == head
    assert run_git(root, "status", "--porcelain") == ""
    assert run_git(root, "symbolic-ref", "HEAD").strip() == f"refs/heads/{workspace.made.branch}"
    await workspace.restore(head, tree)
    assert await workspace.head() == head


async def test_a_commit_is_the_same_when_it_is_made_again(workspace):
    head = await workspace.head()
    (workspace.made.root / "service/app.py").write_text("answer = 42\n")
    (workspace.made.root / "service/more.py").write_text("more = 1\n")
    made = await committed(workspace, head)
    assert made == await committed(workspace, head)
    assert await workspace.head() == made
    assert await workspace.changes(await workspace.tree_of(head), await workspace.tree_of(made)) == [
        Change("service/app.py", "modified"),
        Change("service/more.py", "added"),
    ]


async def test_what_is_deleted_is_committed(workspace):
    head = await workspace.head()
    (workspace.made.root / "service/app.py").unlink()
    made = await committed(workspace, head)
    assert await workspace.text(made, "service/app.py") is None
    assert "answer" in (await workspace.text(head, "service/app.py") or "")


async def test_a_branch_that_moved_meanwhile_is_not_overwritten(workspace):
    head = await workspace.head()
    app = workspace.made.root / "service/app.py"
    app.write_text("answer = 42\n")
    first = await committed(workspace, head)
    app.write_text("answer = 43\n")
    with pytest.raises(GitFailed):
        await committed(workspace, head)
    assert await workspace.head() == first


async def test_a_lock_that_a_killed_git_left_is_in_nobodys_way(workspace, run_git):
    head = await workspace.head()
    tree = await workspace.snapshot("before")
    root = workspace.made.root
    (root / run_git(root, "rev-parse", "--git-path", "index.lock").strip()).write_text("")
    (root / "service/app.py").write_text("answer = 42\n")
    made = await committed(workspace, head)
    assert made is not None
    (root / run_git(root, "rev-parse", "--git-path", "index.lock").strip()).write_text("")
    await workspace.restore(head, tree)
    assert await workspace.snapshot("after") == tree


async def test_a_fix_that_takes_an_earlier_one_back_is_seen(workspace):
    base = await workspace.head()
    app = workspace.made.root / "service/app.py"
    original = app.read_text()
    app.write_text("answer = 42\n")
    first = await committed(workspace, base)
    (workspace.made.root / "service/b.py").write_text("b = 1\n")
    second = await committed(workspace, first)
    app.write_text(original)
    now = await workspace.snapshot("now")
    assert await workspace.turns_back(second, now) == TurnedBack(first, None)
    (workspace.made.root / "service/b.py").unlink()
    assert await workspace.turns_back(second, await workspace.snapshot("all")) == TurnedBack(first, base)
    (workspace.made.root / "service/b.py").write_text("b = 2\n")
    assert await workspace.turns_back(second, await workspace.snapshot("else")) is None
    assert await workspace.turns_back(base, now) is None


async def test_who_touched_a_line_last(workspace):
    base = await workspace.head()
    (workspace.made.root / "service/app.py").write_text("answer = 42\nother = 1\n")
    made = await committed(workspace, base)
    blamed = await workspace.blame(made, "service/app.py", 1)
    assert (blamed.commit, blamed.subject, blamed.at, blamed.ours) == (made, "Mend the factory", TEXT.at, True)
    before = await workspace.blame(made, "tests/test_app.py", 1)
    assert (before.commit, before.ours) == (base, False)
    assert await workspace.blame(made, "service/app.py", 99) is None
    assert await workspace.blame(made, "nothing.py", 1) is None


async def test_a_difference_is_shown_and_never_without_end(workspace):
    before = await workspace.snapshot("before")
    (workspace.made.root / "service/app.py").write_text("answer = 42\n")
    (workspace.made.root / "-strange name\n.txt").write_text("x\n")
    (workspace.made.root / "big.txt").write_text("line of text\n" * 100_000)
    after = await workspace.snapshot("after")
    assert "+answer = 42" in await workspace.diff(before, after, ["service"])
    assert "big" not in await workspace.diff(before, after, ["service"])
    assert len(await workspace.diff(before, after)) < DIFF_LIMIT + 100
    assert {change.path for change in await workspace.changes(before, after)} >= {"-strange name\n.txt"}


async def test_a_path_that_looks_like_an_option_is_a_path(workspace):
    head = await workspace.head()
    (workspace.made.root / "--force").write_text("x\n")
    (workspace.made.root / "*.py").write_text("x\n")
    made = await committed(workspace, head)
    changes = await workspace.changes(await workspace.tree_of(head), await workspace.tree_of(made))
    assert [change.path for change in changes] == ["*.py", "--force"]


async def test_hooks_of_the_checkout_do_not_run(workspace, checkout):
    hook = checkout / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    (workspace.made.root / "service/app.py").write_text("answer = 42\n")
    assert await committed(workspace, await workspace.head()) is not None


async def test_a_change_of_the_same_length_at_the_same_moment_is_seen(workspace):
    app = workspace.made.root / "service/app.py"
    for number in range(6):
        before = await workspace.snapshot("before")
        app.write_text(f"answer = {number:02}\n")
        after = await workspace.snapshot("after")
        assert await workspace.changes(before, after) == [Change("service/app.py", "modified")]


async def test_an_export_is_that_commit_whatever_becomes_of_the_workspace(workspace):
    base = await workspace.head()
    app = workspace.made.root / "service/app.py"
    app.write_text("answer = 42\n")
    made = await committed(workspace, base)
    app.write_text("broken(\n")
    old, new = await workspace.export(base), await workspace.export(made)
    assert (old / "service/app.py").read_text() != "answer = 42\n"
    assert (new / "service/app.py").read_text() == "answer = 42\n"
    assert not (new / "noise.log").exists()


async def test_an_export_that_was_cut_off_is_made_anew(workspace, run_git):
    base = await workspace.head()
    folder = await workspace.export(base)
    (folder / run_git(folder, "rev-parse", "--path-format=absolute", "--git-path", "index").strip()).unlink()
    (folder / "service/app.py").unlink()
    assert await workspace.export(base) == folder
    assert (folder / "service/app.py").exists()
    assert await workspace.export(base) == folder


async def test_a_merge_that_a_fixer_left_in_its_midst_is_none_any_more(workspace, run_git):
    head, root = await workspace.head(), workspace.made.root
    (root / run_git(root, "rev-parse", "--git-path", "MERGE_HEAD").strip()).write_text(f"{head}\n")
    assert await workspace.stand_on(head)
    assert "merging" not in run_git(root, "status")


async def test_what_git_was_told_not_to_look_at_is_seen_and_goes_back(workspace, run_git):
    head, root = await workspace.head(), workspace.made.root
    before = await workspace.snapshot("before")
    run_git(root, "update-index", "--assume-unchanged", "service/app.py")
    (root / "service/app.py").write_text("answer = 43\n")
    after = await workspace.snapshot("after")
    assert await workspace.changes(before, after) == [Change("service/app.py", "modified")]
    await workspace.restore(head, before)
    assert (root / "service/app.py").read_text().startswith("answer = 41")


async def test_too_much_is_not_kept_and_can_be_taken_back(workspace):
    head, before = await workspace.head(), await workspace.snapshot("before")
    with (workspace.made.root / "service/core.dump").open("wb") as file:
        file.truncate(1_000_000_000)
    with pytest.raises(NotKept, match=r"1000 MB are new or changed, more than 100 MB: service/core.dump") as refused:
        await workspace.snapshot("after")
    assert refused.value.paths == ("service/core.dump",)
    await workspace.restore(head, before)
    assert await workspace.snapshot("again") == before


async def test_an_export_that_somebody_has_changed_is_left_and_another_made(workspace):
    base = await workspace.head()
    folder = await workspace.export(base)
    (folder / "service/app.py").write_text("broken(\n")
    again = await workspace.export(base)
    assert again != folder
    assert (again / "service/app.py").read_text().startswith("answer = 41")
    assert await workspace.export(base) == again


async def test_the_newest_commit_of_the_branch(workspace):
    head = await workspace.head()
    (workspace.made.root / "service/app.py").write_text("answer = 42\n")
    made = await committed(workspace, head)
    assert await workspace.tip() == Tip(made, (head,), await workspace.tree_of(made), TEXT.message.rstrip())
    assert await workspace.holds(made)
    assert not await workspace.holds("0" * 40)


async def test_what_is_not_as_committed_is_told_whatever_git_was_told(workspace, run_git):
    head = await workspace.head()
    assert await workspace.edited(head) == []
    (workspace.made.root / "tests/test_app.py").touch()
    assert await workspace.edited(head) == []
    run_git(workspace.made.root, "update-index", "--assume-unchanged", "tests/test_app.py")
    (workspace.made.root / "tests/test_app.py").write_text("def test_it(): bad\n")
    (workspace.made.root / "service/app.py").unlink()
    assert await workspace.edited(head) == ["service/app.py", "tests/test_app.py"]
    assert await workspace.edited(head, ["tests"]) == ["tests/test_app.py"]


@pytest.mark.parametrize("how", ["rm -rf .git", "echo 'gitdir: /nonexistent' > .git", "rm .git; git init -q"])
async def test_a_worktree_that_was_cut_off_its_repository_goes_back(checkout, tmp_path, environ, how):
    (tmp_path / "session").mkdir()
    workspace = await make("worktree", checkout, tmp_path / "session", "demo-1", environ)
    head, before = await workspace.head(), await workspace.snapshot("before")
    shell(how, workspace.made.root)
    await workspace.stand_on(head)
    assert (await workspace.head(), await workspace.snapshot("after")) == (head, before)


@pytest.mark.parametrize("how", ["echo x > HEAD", "rm HEAD", "echo x > index", "rm index; mkdir index"])
async def test_what_git_gives_up_over_goes_back(workspace, checkout, run_git, how):
    head, before = await workspace.head(), await workspace.snapshot("before")
    shell(f'cd "$(git rev-parse --git-dir)" && {how}', workspace.made.root)
    refs, status = run_git(checkout, "for-each-ref"), run_git(checkout, "status", "--porcelain")
    await workspace.stand_on(head)
    assert (await workspace.snapshot("after"), await workspace.changes(before, head)) == (before, [])
    await workspace.restore(head, before)
    assert run_git(checkout, "status", "--porcelain") == status
    assert workspace.made.kind == "worktree" or run_git(checkout, "for-each-ref") == refs


async def test_the_repository_that_a_copy_lies_in_is_never_taken_for_its_own(checkout, environ, run_git):
    inside = checkout / "inside"
    inside.mkdir()
    workspace = await make("copy", checkout, inside, "demo-1", environ)
    shell("rm -rf .git/objects .git/HEAD", workspace.made.root)
    with pytest.raises(GitFailed, match="not a git repository"):
        await workspace.snapshot("x")
    assert "netra-loop" not in run_git(checkout, "for-each-ref")


async def test_a_copy_without_its_repository_is_told(checkout, tmp_path, environ):
    (tmp_path / "session").mkdir()
    workspace = await make("copy", checkout, tmp_path / "session", "demo-1", environ)
    head = await workspace.head()
    shutil.rmtree(workspace.made.root / ".git")
    with pytest.raises(EnvironmentFailed, match="is gone, and the session's commits with it"):
        await workspace.stand_on(head)
