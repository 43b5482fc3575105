"""A session that works in a worktree of the user's repository: what runs lies there, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOP = """
version: 1
name: night
environments: {here: {cloud: none}}
workspace: {git: worktree}
seal: off
goal: {authenticity: report}
tests: {paths: [../tests], workers: 1, timeout: 20s}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: fix}}
  fix: {uses: run, with: {command: [PYTHON, -c, "open('tests/test_it.py', 'w').write('def test_it(): pass')"]}}
  commit: {uses: commit, with: {paths: [../tests]}, next: {ok: select}}
limits: {iterations: 2}
"""
OF_GIT_ALONE = (".git/objects", ".git/refs", ".git/logs", ".git/worktrees", ".netra-loop", ".pytest_cache")


def git(project, *words):
    named = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *named, *words], cwd=project.folder, check=True, capture_output=True, text=True)
    return done.stdout


def content(project):
    """Every file of the checkout, git's index, HEAD and settings among them."""
    files = (path for path in project.folder.rglob("*") if path.is_file())
    named = {path.relative_to(project.folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(OF_GIT_ALONE)}


@pytest.fixture
def repository(project):
    """A project under git, with a test that fails and a file that is not committed."""
    for name in ("tests", "loops"):
        (project.folder / name).mkdir()
    (project.folder / "tests/test_it.py").write_text("def test_it(): assert 0\n")
    (project.folder / "loops/night.yaml").write_text(LOOP.replace("PYTHON", sys.executable))
    (project.folder / ".gitignore").write_text(".netra-loop/\n")
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "First")
    (project.folder / "notes.txt").write_text("not committed\n")
    return project


def test_the_worktree_s_tests_run_and_the_checkout_is_as_it_was(repository):
    before = content(repository)
    done = repository.call("run", "night", "--plain")
    assert done.returncode == 0, done.stderr
    assert "the workspace holds what is committed: 1 changed file of the checkout not in it" in done.stderr
    assert [row["outcome"] for row in repository.json("results", "latest", "--iteration", "all")] == [
        *("failed", "passed"),
    ]
    assert content(repository) == before
    assert git(repository, "status", "--porcelain") == "?? notes.txt\n"
    assert git(repository, "log", "--format=%s", f"netra-loop/{repository.status()['session']}").splitlines() == [
        *("Changes of iteration 1", "First"),
    ]
