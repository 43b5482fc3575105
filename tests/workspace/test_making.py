"""A workspace is the session's own, made whole, and found again."""

import shutil

import pytest

from netra_loop.errors import UsageError
from netra_loop.workspace.making import make


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
