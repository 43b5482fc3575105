"""A workspace is the session's own, made whole, and found again."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from netra_loop.errors import EnvironmentFailed, UsageError
from netra_loop.workspace.base import CommitText
from netra_loop.workspace.making import find, forget, make


async def test_the_checkout_is_not_touched(workspace, checkout, run_git):
    (workspace.made.root / "service/app.py").write_text("answer = 42\n")
    await workspace.snapshot("one")
    assert (checkout / "service/app.py").read_text() == "answer = 41  # not committed\n"
    assert run_git(checkout, "symbolic-ref", "HEAD").strip() in {"refs/heads/main", "refs/heads/master"}
    assert run_git(checkout, "status", "--porcelain").split() == ["M", "service/app.py", "??", "new.txt"]


async def test_a_worktree_holds_what_is_committed_and_counts_the_rest(checkout, tmp_path, environ):
    workspace = await make("worktree", checkout / "service", tmp_path, "demo-1", environ)
    assert (workspace.made.root / "service/app.py").read_text() == "answer = 41\n"
    assert workspace.made.left_out == 2
    assert workspace.made.branch == "netra-loop/demo-1"
    assert workspace.place(checkout / "service/app.py") == workspace.made.root / "service/app.py"
    assert workspace.place(tmp_path / "elsewhere") == tmp_path / "elsewhere"


async def test_a_copy_holds_what_is_there(checkout, tmp_path, environ):
    workspace = await make("copy", checkout, tmp_path, "demo-1", environ)
    assert (workspace.made.root / "service/app.py").read_text() == "answer = 41  # not committed\n"
    assert (workspace.made.root / "new.txt").exists()
    assert not (workspace.made.root / "noise.log").exists()
    assert workspace.made.left_out == 0


async def test_a_folder_without_git_is_copied_whole_but_for_what_tools_keep(tmp_path, environ):
    folder = tmp_path / "plain"
    (folder / "service").mkdir(parents=True)
    (folder / "service/app.py").write_text("x = 1\n")
    (folder / ".venv").mkdir()
    (folder / ".venv/pyvenv.cfg").write_text("")
    (folder / "link").symlink_to("service/app.py")
    inside = tmp_path / "inside"
    inside.mkdir()
    workspace = await make("copy", folder, inside, "demo-1", environ)
    assert sorted(path.name for path in workspace.made.root.iterdir()) == [".git", "link", "service"]
    assert (workspace.made.root / "link").is_symlink()


@pytest.mark.parametrize("kind", ["worktree", "copy"])
async def test_made_once_it_is_found_as_it_was_left(kind, checkout, tmp_path, environ):
    first = await make(kind, checkout, tmp_path, "demo-1", environ)
    (first.made.root / "service/extra.py").write_text("x = 1\n")
    again = await make(kind, checkout, tmp_path, "demo-1", environ)
    assert again.made.base == first.made.base
    assert (again.made.root / "service/extra.py").exists()


async def test_a_worktree_cut_off_in_the_making_is_made_anew(checkout, tmp_path, environ):
    first = await make("worktree", checkout, tmp_path, "demo-1", environ)
    (first.made.root / "service/app.py").unlink()  # as if git had been killed while it wrote the files
    again = await make("worktree", checkout, tmp_path, "demo-1", environ)
    assert (again.made.root / "service/app.py").exists()
    shutil.rmtree(again.made.root)
    assert (await make("worktree", checkout, tmp_path, "demo-1", environ)).made.base == first.made.base


async def test_a_copy_cut_off_in_the_making_is_made_anew(checkout, tmp_path, environ):
    (tmp_path / "workspace.draft/service").mkdir(parents=True)
    (tmp_path / "workspace.draft/half").write_text("")
    workspace = await make("copy", checkout, tmp_path, "demo-1", environ)
    assert not (workspace.made.root / "half").exists()


async def test_what_is_no_repository_is_the_users_mistake(tmp_path, environ, run_git):
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(UsageError, match="needs a git repository"):
        await make("worktree", folder, tmp_path, "demo-1", environ)
    run_git(folder, "init", "--quiet")
    with pytest.raises(UsageError, match="needs a commit"):
        await make("worktree", folder, tmp_path, "demo-1", environ)


@pytest.fixture
async def away(checkout, tmp_path, environ, run_git):
    """A session's worktree with a commit and an edit, on another machine; the folders of a session here."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    workspace = await make("worktree", checkout, there, "demo-1", environ)
    (workspace.made.root / "service/app.py").write_text("answer = 42\n")
    text = CommitText("Mend it\n", datetime(2026, 1, 2, tzinfo=UTC))
    head = await workspace.commit(workspace.made.base, await workspace.snapshot("now"), text)
    (workspace.made.root / "service/app.py").write_text("answer = 43\n")
    run_git(tmp_path, "clone", "--quiet", "--no-local", "--single-branch", str(checkout), "clone")
    return SimpleNamespace(made=workspace.made, head=head, here=here, clone=tmp_path / "clone", checkout=checkout)


async def test_what_was_edited_is_there_when_it_is_found(away, environ):
    workspace = await find(away.made, away.head, away.checkout, away.here, "demo-1", environ)
    assert (workspace.made, workspace.home) == (away.made, away.checkout)
    assert (workspace.made.root / "service/app.py").read_text() == "answer = 43\n"


async def test_on_another_machine_it_is_built_again_once_its_commits_are_there(away, environ, run_git):
    made = replace(away.made, root=away.here / "never/was")
    with pytest.raises(EnvironmentFailed, match=f"does not hold its newest commit {away.head[:12]}, of branch") as gone:
        await find(made, away.head, away.clone, away.here, "demo-1", environ)
    branch = made.branch
    assert f"git fetch origin {branch}:{branch}" in str(gone.value.hint)
    run_git(away.clone, "fetch", "--quiet", "origin", f"{branch}:{branch}")
    workspace = await find(made, away.head, away.clone, away.here, "demo-1", environ)
    assert (workspace.made.root, workspace.made.base) == (away.here / "workspace", made.base)
    assert (workspace.made.root / "service/app.py").read_text() == "answer = 42\n"
    assert await workspace.head() == away.head


async def test_a_branch_that_went_elsewhere_is_not_overwritten(away, environ, run_git):
    run_git(away.clone, "fetch", "--quiet", "origin", away.made.branch)
    run_git(away.clone, "commit", "--quiet", "--allow-empty", "-m", "Mine")
    run_git(away.clone, "branch", away.made.branch)
    with pytest.raises(EnvironmentFailed, match="which does not follow the session's newest commit"):
        await find(replace(away.made, root=away.here / "x"), away.head, away.clone, away.here, "demo-1", environ)


async def test_a_copy_that_is_gone_is_told(checkout, tmp_path, environ):
    made = (await make("copy", checkout, tmp_path, "demo-1", environ)).made
    shutil.rmtree(made.root)
    with pytest.raises(EnvironmentFailed, match="is gone, or on another machine"):
        await find(made, made.base, checkout, tmp_path, "demo-1", environ)


async def test_what_a_pruned_session_leaves_is_its_branch(checkout, tmp_path, environ, run_git):
    workspace = await make("worktree", checkout, tmp_path, "demo-1", environ)
    await workspace.snapshot("one")
    await workspace.export(workspace.made.base)
    await forget(tmp_path, "demo-1", environ)
    assert len(run_git(checkout, "worktree", "list").splitlines()) == 1
    assert run_git(checkout, "for-each-ref", "--format=%(refname)", "refs/netra-loop") == ""
    assert run_git(checkout, "branch", "--list", "netra-loop/*").split() == ["netra-loop/demo-1"]
    await forget(tmp_path, "demo-1", environ)


async def test_what_is_netra_loops_own_is_neither_counted_nor_copied(checkout, environ):
    inside = checkout / ".netra-loop/sessions/demo-1"
    inside.mkdir(parents=True)
    (checkout / ".netra-loop/journal.db").write_text("")
    assert (await make("worktree", checkout, inside, "demo-1", environ)).made.left_out == 2
    shutil.rmtree(inside / "workspace")
    workspace = await make("copy", checkout, inside, "demo-1", environ)
    assert not (workspace.made.root / ".netra-loop").exists()
