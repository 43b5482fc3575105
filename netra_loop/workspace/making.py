"""Workspaces made, and found again: a git worktree on a branch of the session's, or a copy with its own repository.

Both are made whole or not at all as far as anybody sees: a copy is made beside its place and renamed; what a killed
`git worktree add` left is removed and made anew. Once it is known to have been made, what stands at its place is taken
as it is; a worktree that is gone, or was made on another machine, is built again from the session's newest commit where
the repository has that.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from netra_loop.errors import EnvironmentFailed, UsageError
from netra_loop.workspace.base import SOURCES, Kind, Made
from netra_loop.workspace.git import Git
from netra_loop.workspace.repository import Repository, is_whole, remove, remove_index

FOLDER = "workspace"
_OURS = ".netra-loop"  # the store and the sessions' folders, which a project may not have git ignore
_NOT_COPIED = frozenset({".git", _OURS, ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".tox"})
_COPIED = "The checkout as it was when the session began"


async def top_of(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """The top of the repository that `folder` lies in; None where it lies in none."""
    top = await Git(folder, environ).maybe("rev-parse", "--show-toplevel")
    return None if top is None else Path(top)


async def make(kind: Kind, folder: Path, inside: Path, session: str, environ: Mapping[str, str]) -> Repository:
    """The workspace of `session` for the checkout that `folder` lies in, below `inside` (the session's own folder).

    Raises UsageError where a worktree is wanted of what is no repository, or of one without a commit.
    """
    top = await top_of(folder, environ)
    branch, root = f"netra-loop/{session}", inside / FOLDER
    if kind == "worktree":
        if top is None:
            raise UsageError(
                f"workspace: {{git: worktree}} needs a git repository, and {str(folder)!r} lies in none",
                hint="run `git init` and commit there, or say `workspace: {git: copy}`",
            )
        return await _worktree(top, root, branch, session, environ)
    return await _copy(top, folder if top is None else top, root, branch, session, environ)


async def find(
    made: Made, head: str, folder: Path, inside: Path, session: str, environ: Mapping[str, str]
) -> Repository:
    """The workspace that the journal says was `made`, with what lies in it. Where it is not there, as on another
    machine, a worktree is built again at `head`, below `inside`: the repository's `made.root` is another one then.

    Raises EnvironmentFailed where it cannot be, saying what is missing.
    """
    top = await top_of(folder, environ)
    home = folder if top is None else top
    if await asyncio.to_thread((made.root / ".git").exists):
        found = Repository(made, home, session, environ)
        await found.mend()
        return found
    if made.kind == "copy":
        raise EnvironmentFailed(
            f"the session's copy {str(made.root)!r} is gone, or on another machine, and what was changed there with it",
            hint="resume the session where it began, or begin anew",
        )
    root = inside / FOLDER
    await _build_again(Git(home, environ), root, made.branch, head)
    return Repository(replace(made, root=root), home, session, environ)


async def forget(inside: Path, session: str, environ: Mapping[str, str]) -> None:
    """Takes the worktrees below a session's folder, which is about to be removed, and what was kept of them off their
    repository. Its branch stays. Does nothing where there are none, or where the repository is gone.
    """
    marker = inside / FOLDER / ".git"
    if not await asyncio.to_thread(marker.is_file):
        return
    common = Path((await asyncio.to_thread(marker.read_text, "utf-8")).partition("gitdir:")[2].strip()).parents[1]
    if not await asyncio.to_thread(common.is_dir):
        return
    git = Git(common, environ)
    exports = inside / SOURCES
    for folder in (inside / FOLDER, *(exports.iterdir() if exports.is_dir() else ())):
        await git.ask("worktree", "remove", "--force", "--force", str(folder))
    kept = await git.text("for-each-ref", "--format=delete %(refname)", f"refs/netra-loop/{session}/")
    await git.raw("update-ref", "--stdin", given=f"{kept}\n".encode())


async def _build_again(git: Git, root: Path, branch: str, head: str) -> None:
    if await git.maybe("cat-file", "-e", f"{head}^{{commit}}") is None:
        raise EnvironmentFailed(
            f"the session's worktree is not on this machine, and {str(git.folder)!r} does not hold its newest commit "
            f"{head[:12]}, of branch {branch}",
            hint=f"push that branch where the session began, then here: git fetch origin {branch}:{branch}, and resume",
        )
    known = await git.maybe("rev-parse", "--verify", f"refs/heads/{branch}^{{commit}}")
    behind = known is not None and await git.maybe("merge-base", "--is-ancestor", known, head) is not None
    ahead = known is not None and await git.maybe("merge-base", "--is-ancestor", head, known) is not None
    if not (known is None or behind or ahead):
        raise EnvironmentFailed(
            f"branch {branch} of {str(git.folder)!r} stands at {str(known)[:12]}, which does not follow the session's "
            f"newest commit {head[:12]}",
            hint=f"git branch -m {branch} {branch}-aside, then resume",
        )
    await asyncio.to_thread(remove, root)
    await asyncio.to_thread(remove_index, root)
    await git.raw("worktree", "prune")
    words = [str(root), branch] if ahead else ["-B", branch, str(root), head]
    await git.raw("worktree", "add", "--quiet", "--force", *words)


async def _worktree(top: Path, root: Path, branch: str, session: str, environ: Mapping[str, str]) -> Repository:
    git = Git(top, environ)
    base = await git.maybe("rev-parse", "--verify", "HEAD^{commit}")
    if base is None:
        raise UsageError(
            f"workspace: {{git: worktree}} needs a commit to begin with, and {str(top)!r} has none",
            hint="commit what there is, or say `workspace: {git: copy}`",
        )
    if not await is_whole(root, environ, branch):
        await asyncio.to_thread(remove, root)
        await asyncio.to_thread(remove_index, root)
        await git.raw("worktree", "prune")
        known = await git.maybe("rev-parse", "--verify", f"refs/heads/{branch}^{{commit}}")
        words = [str(root), branch] if known is not None else ["-b", branch, str(root), base]
        await git.raw("worktree", "add", "--quiet", "--force", *words)
    mine = await Git(root, environ).text("rev-parse", "HEAD")
    asked = ("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules", "--")
    status = await git.text(*asked, ":/", f":(top,exclude,glob)**/{_OURS}/**")
    made = Made("worktree", root, branch, mine, len(status.splitlines()))
    return Repository(made, top, session, environ)


async def _copy(
    top: Path | None, folder: Path, root: Path, branch: str, session: str, environ: Mapping[str, str]
) -> Repository:
    if not await asyncio.to_thread(root.exists):
        draft = root.with_name(f"{FOLDER}.draft")
        await asyncio.to_thread(remove, draft)
        draft.mkdir(mode=0o700)
        names = await _files_of(top, folder, environ)
        await asyncio.to_thread(_copy_files, folder, draft, names)
        git = Git(draft, environ)
        await git.raw("init", "--quiet", f"--initial-branch={branch}", "--template=")
        first = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "netra-loop"), ("EMAIL", "netra-loop@localhost"), ("DATE", _date()))
        }
        await git.raw("add", "--all", "--force", "--", ":/")
        await git.raw("commit", "--quiet", "--allow-empty", "--no-verify", "-m", _COPIED, env=first)
        draft.rename(root)
    base = await Git(root, environ).text("rev-list", "--max-parents=0", f"refs/heads/{branch}")
    return Repository(Made("copy", root, branch, base), folder, session, environ)


def _date() -> str:
    return f"@{int(datetime.now(UTC).timestamp())} +0000"


async def _files_of(top: Path | None, folder: Path, environ: Mapping[str, str]) -> list[str]:
    """What there is to copy: what git knows or does not ignore; without git, all but what tools keep for themselves."""
    if top is not None:
        said = await Git(folder, environ).raw("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = [os.fsdecode(name) for name in dict.fromkeys(said.split(b"\0")) if name]
        return [name for name in names if _OURS not in name.split("/")]
    return await asyncio.to_thread(_walked, folder)


def _walked(folder: Path) -> list[str]:
    names = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_COPIED and not (Path(at) / name).is_symlink()]
        names += [str((Path(at) / name).relative_to(folder)) for name in files]
    return names


def _copy_files(folder: Path, draft: Path, names: list[str]) -> None:
    for name in names:
        source, target = folder / name, draft / name
        if source.is_symlink() or source.is_file():  # git lists what was deleted, and submodules, too
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
