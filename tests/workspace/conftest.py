import subprocess
from pathlib import Path

import pytest

from netra_loop.workspace.making import make
from netra_loop.workspace.repository import Repository

ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "GIT_DIR": "/nonexistent"}


def git(folder: Path, *words: str) -> str:
    """What git says in `folder`."""
    named = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path):
    """A user's checkout: one commit, a file changed since, one that is new and one that is ignored."""
    folder = tmp_path / "project"
    (folder / "service").mkdir(parents=True)
    (folder / "service/app.py").write_text("answer = 41\n")
    (folder / "tests").mkdir()
    (folder / "tests/test_app.py").write_text("def test_it(): pass\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "First")
    (folder / "service/app.py").write_text("answer = 41  # not committed\n")
    (folder / "new.txt").write_text("new\n")
    (folder / "noise.log").write_text("ignored\n")
    return folder


@pytest.fixture(params=["worktree", "copy"])
async def workspace(request, checkout, tmp_path) -> Repository:
    """A workspace of the checkout, of either kind."""
    inside = tmp_path / "session"
    inside.mkdir()
    return await make(request.param, checkout, inside, "demo-1", ENVIRON)


@pytest.fixture
def environ():
    """An environment that says wrong things about git, as one in a hook would."""
    return ENVIRON


@pytest.fixture
def run_git():
    """Runs git in a folder."""
    return git
