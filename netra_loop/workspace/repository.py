"""A working tree of git's that a session works in alone: snapshots, restoring, differences, commits.

Nothing here runs hooks or asks the user's identity to be configured. Trees are written through an index of their own,
so that what a fixer has staged neither counts nor is lost; they are kept from git's collector by references below
`refs/netra-loop/SESSION/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from netra_loop.errors import GitFailed
from netra_loop.workspace.base import Blamed, Change, CommitText, Made
from netra_loop.workspace.git import Git

DIFF_LIMIT = 200_000  # characters
TEXT_LIMIT = 2_000_000  # bytes of a file that is read as text
_PATCH = ("diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv")
_NOISE = tuple(f":(top,exclude,glob)**/{name}/**" for name in ("__pycache__", ".pytest_cache"))  # made by running
_HOW: Mapping[str, str] = {"A": "added", "D": "deleted", "M": "modified", "T": "retyped"}
_EXPORTS = "sources"
_NAME, _EMAIL = "netra-loop", "netra-loop@localhost"


class Repository:
    """See `Workspace`. `home` is the top of the checkout whose paths it stands for."""

    def __init__(self, made: Made, home: Path, session: str, environ: Mapping[str, str]) -> None:
        self.made = made
        self.home = home
        self._refs = f"refs/netra-loop/{session}"
        self._branch = f"refs/heads/{made.branch}"
        self._git = Git(made.root, environ)

    def place(self, path: Path) -> Path:
        """See `Workspace.place`."""
        resolved = path.resolve()
        home = self.home.resolve()
        return self.made.root / resolved.relative_to(home) if resolved.is_relative_to(home) else path

    async def head(self) -> str:
        """See `Workspace.head`."""
        return await self._git.text("rev-parse", "--verify", f"{self._branch}^{{commit}}")

    async def tree_of(self, commit: str) -> str:
        """See `Workspace.tree_of`."""
        return await self._git.text("rev-parse", "--verify", f"{commit}^{{tree}}")

    async def snapshot(self, name: str) -> str:
        """See `Workspace.snapshot`."""
        async with self._own_index() as env:
            await self._git.raw("add", "--all", "--", ":/", *_NOISE, env=env)
            tree = await self._git.text("write-tree", env=env)
        kept = await self._git.text("commit-tree", tree, "-m", name, env=_as_netra_loop(datetime.fromtimestamp(0, UTC)))
        await self._git.raw("update-ref", f"{self._refs}/{name}", kept)
        return tree

    async def restore(self, commit: str, tree: str) -> None:
        """See `Workspace.restore`."""
        await self._clear_locks()
        await self._git.raw("update-ref", self._branch, commit)
        await self._git.raw("symbolic-ref", "HEAD", self._branch)
        await self._git.raw("read-tree", "--reset", "-u", tree)
        await self._git.raw("clean", "--quiet", "-ffd", "--", ":/")
        await self._git.raw("read-tree", "--reset", commit)  # what the tree has beyond the commit is uncommitted

    async def changes(self, old: str, new: str) -> list[Change]:
        """See `Workspace.changes`."""
        said = await self._git.raw("diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new)
        words = said.decode("utf-8", "surrogateescape").split("\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        return [Change(path, _HOW.get(how[:1], "modified")) for how, path in pairs if how]  # type: ignore[arg-type]

    async def diff(self, old: str, new: str, paths: Sequence[str] = ()) -> str:
        """See `Workspace.diff`."""
        said = await self._git.raw(*_PATCH, old, new, "--", *_literal(paths))
        text = said.decode("utf-8", "replace")
        if len(text) <= DIFF_LIMIT:
            return text
        return f"{text[:DIFF_LIMIT]}\n… {len(text) - DIFF_LIMIT} characters more\n"

    async def commit(self, parent: str, paths: Sequence[str], text: CommitText) -> str | None:
        """See `Workspace.commit`."""
        async with self._own_index(parent) as env:
            present = [path for path in paths if await self._is_known(parent, path)]
            if present:
                await self._git.raw("add", "--all", "--", *_literal(present), *_NOISE, env=env)
            tree = await self._git.text("write-tree", env=env)
        if tree == await self.tree_of(parent):
            return None
        identity = {**_as_netra_loop(text.at), **await self._configured_identity()}
        made = await self._git.text(
            "commit-tree", tree, "-p", parent, "-F", "-", given=text.message.encode("utf-8", "replace"), env=identity
        )
        if await self.head() != made:
            await self._git.raw("update-ref", "-m", "netra-loop: commit", self._branch, made, parent)
        await self._clear_locks()
        await self._git.raw("symbolic-ref", "HEAD", self._branch)
        await self._git.raw("read-tree", "--reset", made)
        return made

    async def export(self, commit: str) -> Path:
        """See `Workspace.export`."""
        folder = self.made.root.parent / _EXPORTS / commit[:16]
        if not await is_whole(folder, self._git.environ):
            await asyncio.to_thread(remove, folder)
            await self._git.raw("worktree", "prune")
            await self._git.raw("worktree", "add", "--quiet", "--force", "--detach", str(folder), commit)
        return folder

    async def reverts(self, commit: str, since: str) -> str | None:
        """See `Workspace.reverts`."""
        mine = await self._patch_id(f"{commit}", f"{commit}^")  # the way back
        between = (await self._git.text("rev-list", f"{since}..{commit}^")).split()
        for earlier in between:
            if mine and mine == await self._patch_id(f"{earlier}^", earlier):
                return earlier
        return None

    async def text(self, commit: str, path: str) -> str | None:
        """See `Workspace.text`."""
        name = f"{commit}:{path}"
        size = await self._git.maybe("cat-file", "-s", name)
        if size is None or not size.isdigit() or int(size) > TEXT_LIMIT:
            return None
        try:
            held = await self._git.raw("cat-file", "blob", name)
            return None if b"\0" in held else held.decode("utf-8", "replace")
        except GitFailed:
            return None  # a folder, or a submodule

    async def blame(self, commit: str, path: str, line: int) -> Blamed | None:
        """See `Workspace.blame`."""
        said = await self._git.maybe("blame", "--porcelain", "-L", f"{line},{line}", commit, "--", path)
        if said is None:
            return None
        told = dict(one.partition(" ")[::2] for one in said.splitlines()[1:] if not one.startswith("\t"))
        touched = said.split(" ", 1)[0]
        ours = await self._git.ask("merge-base", "--is-ancestor", touched, self.made.base)
        return Blamed(
            commit=touched,
            author=told.get("author", ""),
            at=datetime.fromtimestamp(int(told.get("author-time", "0")), UTC),
            subject=told.get("summary", ""),
            ours=ours[0] == 1,
        )

    async def _patch_id(self, old: str, new: str) -> str:
        patch = await self._git.raw("diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", old, new)
        said = await self._git.raw("patch-id", "--stable", given=patch)
        return said.decode().split(" ", 1)[0].strip()

    async def _is_known(self, commit: str, path: str) -> bool:
        """Whether `path` is there, or was in `commit`: git refuses to add what is neither."""
        at = self.made.root / path
        return at.exists() or at.is_symlink() or await self._git.maybe("cat-file", "-e", f"{commit}:{path}") is not None

    @contextlib.asynccontextmanager
    async def _own_index(self, commit: str | None = None) -> AsyncIterator[Mapping[str, str]]:
        """An index beside git's: a copy of it, whose knowledge of files' times makes adding fast, or of `commit`."""
        with tempfile.TemporaryDirectory(prefix="netra-loop-index-") as folder:
            index = Path(folder) / "index"
            env = {"GIT_INDEX_FILE": str(index)}
            present = self.made.root / await self._git.text("rev-parse", "--git-path", "index")
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(present, index)  # with its time, by which git knows what it has to look at again
            if commit is not None:
                await self._git.raw("read-tree", "--reset", commit, env=env)
                await self._git.ask("update-index", "-q", "--refresh", env=env)
            yield env

    async def _clear_locks(self) -> None:
        """Removes the locks that a killed git of ours, or of a fixer's that was ended, left behind."""
        for name in ("index.lock", "HEAD.lock"):
            lock = self.made.root / await self._git.text("rev-parse", "--git-path", name)
            lock.unlink(missing_ok=True)

    async def _configured_identity(self) -> dict[str, str]:
        """Who commits, where git is told: the person whose session it is."""
        name = await self._git.maybe("config", "user.name")
        email = await self._git.maybe("config", "user.email")
        if not name or not email:
            return {}
        return {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": email,
        }


async def is_whole(folder: Path, environ: Mapping[str, str], branch: str | None = None) -> bool:
    """Whether the worktree at `folder` was made to its end: nothing of it is missing, and it is on `branch`."""
    if not (folder / ".git").exists():
        return False
    git = Git(folder, environ)
    if branch is not None and await git.maybe("symbolic-ref", "HEAD") != f"refs/heads/{branch}":
        return False
    return await git.maybe("diff-index", "--quiet", "HEAD", "--") is not None


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, where it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _literal(paths: Sequence[str]) -> list[str]:
    return [f":(top,literal){path}" if path not in {"", "."} else ":/" for path in paths]


def _as_netra_loop(at: datetime) -> dict[str, str]:
    """Variables that make a commit the same whoever makes it, and however often."""
    date = f"@{int(at.timestamp())} +0000"
    return {
        "GIT_AUTHOR_NAME": _NAME,
        "GIT_AUTHOR_EMAIL": _EMAIL,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": _NAME,
        "GIT_COMMITTER_EMAIL": _EMAIL,
        "GIT_COMMITTER_DATE": date,
    }
