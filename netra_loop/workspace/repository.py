"""A working tree of git's that a session works in alone: snapshots, restoring, differences, commits.

Nothing here runs hooks or asks the user's identity to be configured. Trees are written through an index of our own,
which no fixer has had in its hands: what one has staged, or told git not to look at, neither counts nor is lost. They
are kept from git's collector by references below `refs/netra-loop/SESSION/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from netra_loop.errors import EnvironmentFailed, GitFailed
from netra_loop.workspace.base import SOURCES, Blamed, Change, CommitText, Kind, Made, NotKept, Tip, TurnedBack
from netra_loop.workspace.git import Git
from netra_loop.workspace.undoing import turned_back

DIFF_LIMIT = 200_000  # characters
TEXT_LIMIT = 2_000_000  # bytes of a file that is read as text
KEPT_LIMIT = 100_000_000  # bytes of all files that are new or changed: more is no fix
COUNT_LIMIT = 20_000  # such files
_PATCH = ("diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv")
_NOISE = tuple(f":(top,exclude,glob)**/{name}/**" for name in ("__pycache__", ".pytest_cache"))  # made by running
_HOW: Mapping[str, str] = {"A": "added", "D": "deleted", "M": "modified", "T": "retyped"}
_INDEX = "workspace.index"
_SHORTEST = 32  # bytes of an index of no file
_LOCKS = ("index.lock", "HEAD.lock")
_HALFWAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "sequencer", "BISECT_LOG")
_NAME, _EMAIL = "netra-loop", "netra-loop@localhost"


class Repository:
    """See `Workspace`. `home` is the top of the checkout whose paths it stands for."""

    def __init__(self, made: Made, home: Path, session: str, environ: Mapping[str, str]) -> None:
        self.made = made
        self.home = home
        self._refs = f"refs/netra-loop/{session}"
        self._branch = f"refs/heads/{made.branch}"
        self._git = Git(made.root, environ, alone=True)
        self._index = made.root.parent / _INDEX

    def place(self, path: Path) -> Path:
        """See `Workspace.place`."""
        resolved = path.resolve()
        home = self.home.resolve()
        return self.made.root / resolved.relative_to(home) if resolved.is_relative_to(home) else path

    async def head(self) -> str:
        """See `Workspace.head`."""
        return await self._git.text("rev-parse", "--verify", f"{self._branch}^{{commit}}")

    async def tip(self) -> Tip:
        """See `Workspace.tip`."""
        said = await self._git.text("log", "-1", "--no-show-signature", "--format=%H%n%P%n%T%n%B", self._branch, "--")
        commit, parents, tree, message = said.split("\n", 3)
        return Tip(commit, tuple(parents.split()), tree, message)

    async def tree_of(self, commit: str) -> str:
        """See `Workspace.tree_of`."""
        return await self._git.text("rev-parse", "--verify", f"{commit}^{{tree}}")

    async def holds(self, tree: str) -> bool:
        """See `Workspace.holds`."""
        return await self._git.maybe("cat-file", "-e", tree) is not None

    async def snapshot(self, name: str) -> str:
        """See `Workspace.snapshot`."""
        env = await self._own_index()
        told = await self._git.raw("ls-files", "-z", "-o", "-m", "--exclude-standard", "--", ":/", *_NOISE, env=env)
        changed = [path for path in dict.fromkeys(told.decode("utf-8", "surrogateescape").split("\0")) if path]
        if changed:
            await asyncio.to_thread(_check_size, self.made.root, changed)
            code, _, said = await self._git.ask("add", "--all", "--", ":/", *_NOISE, env=env)
            if code:
                raise NotKept(f"git cannot read it: {said.strip()[-500:]}", changed[:1])
        tree = await self._git.text("write-tree", env=env)
        await self._git.raw("update-ref", f"{self._refs}/{name}", tree)
        return tree

    async def mend(self) -> None:
        """Has the folder be this repository's working tree again, where a process has removed or replaced its `.git`.
        Raises EnvironmentFailed where that was the repository itself.
        """
        marker = self.made.root / ".git"
        if await asyncio.to_thread(_leads_back, marker, self.made.kind):
            await asyncio.to_thread(_mend_folder, self._folder(), self._branch)
            return
        if self.made.kind == "copy":
            raise EnvironmentFailed(
                f"{str(marker)!r} is gone, and the session's commits with it", hint="begin anew: netra-loop run"
            )
        await asyncio.to_thread(_take_off, marker)
        await Git(self.home, self._git.environ).raw("worktree", "repair")
        await asyncio.to_thread(_mend_folder, self._folder(), self._branch)

    async def restore(self, commit: str, tree: str) -> None:
        """See `Workspace.restore`."""
        await self.mend()
        await self._git.raw("update-ref", self._branch, commit)
        folder = await asyncio.to_thread(self._clear)
        await self._point_head()
        (folder / "index").unlink(missing_ok=True)  # it may say of files that they need not be looked at
        await self._git.raw("read-tree", "--reset", "-u", tree)
        await self._git.raw("clean", "--quiet", "-ffd", "--", ":/")
        await asyncio.to_thread(shutil.copy2, folder / "index", self._index)
        await self._git.raw("read-tree", "--reset", commit)  # what the tree has beyond the commit is uncommitted

    async def stand_on(self, commit: str) -> bool:
        """See `Workspace.stand_on`."""
        await self.mend()
        moved = await self._git.maybe("rev-parse", "--verify", f"{self._branch}^{{commit}}") != commit
        folder = await asyncio.to_thread(self._folder)
        halfway = any((folder / name).exists() for name in _HALFWAY)
        if not (moved or halfway or not self._is_on_branch(folder)):
            return False
        await asyncio.to_thread(self._clear)
        await self._git.raw("update-ref", self._branch, commit)
        await self._point_head()
        await self._git.raw("read-tree", "--reset", commit)
        return True

    async def changes(self, old: str, new: str) -> list[Change]:
        """See `Workspace.changes`."""
        if old == new:
            return []
        said = await self._git.raw("diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new)
        words = said.decode("utf-8", "surrogateescape").split("\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        return [Change(path, _HOW.get(how[:1], "modified")) for how, path in pairs if how]  # type: ignore[arg-type]

    async def edited(self, commit: str, paths: Sequence[str] = ()) -> list[str]:
        """See `Workspace.edited`."""
        env = await self._own_index()
        await self._git.ask("update-index", "-q", "--refresh", "--ignore-submodules", env=env)
        words = ("diff-index", "-z", "--name-only", "--no-renames", "--ignore-submodules", commit)
        said = await self._git.raw(*words, "--", *_literal(paths), env=env)
        return [path for path in said.decode("utf-8", "surrogateescape").split("\0") if path]

    async def diff(self, old: str, new: str, paths: Sequence[str] = ()) -> str:
        """See `Workspace.diff`."""
        said = await self._git.begin(4 * DIFF_LIMIT, *_PATCH, old, new, "--", *_literal(paths))
        text = said.decode("utf-8", "replace")
        return text if len(text) <= DIFF_LIMIT else f"{text[:DIFF_LIMIT]}\n… and more, which is not shown\n"

    async def commit(self, parent: str, tree: str, text: CommitText) -> str:
        """See `Workspace.commit`."""
        made = await self._commit_tree(parent, tree, text)
        if await self.head() != made:
            await self._git.raw("update-ref", "-m", "netra-loop: commit", self._branch, made, parent)
        await asyncio.to_thread(self._clear)
        await self._point_head()
        await self._git.raw("read-tree", "--reset", made)
        return made

    async def keep_aside(self, parent: str, tree: str, text: CommitText, name: str) -> str:
        """See `Workspace.keep_aside`."""
        made = await self._commit_tree(parent, tree, text)
        await self._git.raw("update-ref", f"{self._refs}/{name}", made)
        return made

    async def export(self, commit: str) -> Path:
        """See `Workspace.export`."""
        above = self.made.root.parent / SOURCES
        for number in count():
            folder = above / (f"{commit[:16]}-{number}" if number else commit[:16])
            state = await _state_of(folder, self._git.environ)
            if state == "changed":
                continue
            if state == "half":
                await asyncio.to_thread(remove, folder)
                await self._git.raw("worktree", "add", "--quiet", "--force", "--detach", str(folder), commit)
            return folder
        raise AssertionError  # counting has no end

    async def turns_back(self, parent: str, tree: str) -> TurnedBack | None:
        """See `Workspace.turns_back`."""
        return await turned_back(self._git, self.made.base, parent, tree)

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

    async def _commit_tree(self, parent: str, tree: str, text: CommitText) -> str:
        identity = {**_as_netra_loop(text.at), **await self._configured_identity()}
        message = text.message.encode("utf-8", "replace")
        return await self._git.text("commit-tree", tree, "-p", parent, "-F", "-", given=message, env=identity)

    async def _own_index(self) -> Mapping[str, str]:
        """What has git work on our index: a copy of its own as it was before any fixer, whose knowledge of files' times
        makes adding fast.
        """
        await asyncio.to_thread(self._begin_index)
        return {"GIT_INDEX_FILE": str(self._index)}

    def _begin_index(self) -> None:
        self._index.with_name(f"{_INDEX}.lock").unlink(missing_ok=True)
        if not self._index.exists():
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(self._folder() / "index", self._index)

    def _folder(self) -> Path:
        """Where git keeps what is this working tree's alone."""
        marker = self.made.root / ".git"
        if marker.is_dir():
            return marker
        return self.made.root / marker.read_text("utf-8").partition("gitdir:")[2].strip()

    def _is_on_branch(self, folder: Path) -> bool:
        return (folder / "HEAD").read_text("utf-8").strip() == f"ref: {self._branch}"

    async def _point_head(self) -> None:
        if not self._is_on_branch(self._folder()):
            await self._git.raw("symbolic-ref", "HEAD", self._branch)

    def _clear(self) -> Path:
        """Removes the locks that a killed git of ours, or of a fixer's that was ended, left behind, and whatever a
        fixer was in the midst of.
        """
        folder = self._folder()
        for name in (*_LOCKS, *_HALFWAY):
            left = folder / name
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
        return folder

    async def _configured_identity(self) -> dict[str, str]:
        """Who commits, where git is told: the person whose session it is."""
        said = await self._git.maybe("config", "--get-regexp", r"^user\.(name|email)$")
        told = dict(line.partition(" ")[::2] for line in (said or "").splitlines())
        name, email = told.get("user.name"), told.get("user.email")
        if not name or not email:
            return {}
        return {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": email,
        }


async def is_whole(folder: Path, environ: Mapping[str, str], branch: str) -> bool:
    """Whether the worktree at `folder` was made to its end, and is on `branch`; files may have been changed since."""
    if not (folder / ".git").exists():
        return False
    git = Git(folder, environ)
    if await git.maybe("symbolic-ref", "HEAD") != f"refs/heads/{branch}":
        return False
    return await git.maybe("diff-index", "--quiet", "HEAD", "--") is not None


async def _state_of(folder: Path, environ: Mapping[str, str]) -> str:
    """Of an export: `whole`, `changed` since by somebody, or `half`, where it was cut off or is not there."""
    if not (folder / ".git").exists():
        return "half"
    git = Git(folder, environ)
    index = await git.maybe("rev-parse", "--git-path", "index")
    if index is None or not (folder / index).exists():  # git writes it once it has written all files
        return "half"
    return "whole" if await git.maybe("diff-index", "--quiet", "HEAD", "--") is not None else "changed"


def _leads_back(marker: Path, kind: Kind) -> bool:
    """Whether this `.git` is the repository itself, as in a copy, or leads to one that knows it."""
    if marker.is_symlink():
        return False
    if kind == "copy":
        return (marker / "objects").is_dir()
    if not marker.is_file():
        return False
    target = marker.parent / marker.read_text("utf-8", "replace").partition("gitdir:")[2].strip()
    known = target / "gitdir"
    return known.is_file() and (target / known.read_text("utf-8", "replace").strip()).resolve() == marker.resolve()


def _mend_folder(folder: Path, branch: str) -> None:
    """Without a HEAD that it can read git takes the folder for no repository, and with a broken index it gives up."""
    head, index = folder / "HEAD", folder / "index"
    said = head.read_text("utf-8", "replace").strip() if head.is_file() and not head.is_symlink() else ""
    if not re.fullmatch(r"ref: refs/\S+|[0-9a-f]{40}|[0-9a-f]{64}", said):
        _take_off(head)
        head.write_text(f"ref: {branch}\n", "utf-8")
    if index.is_dir() or (index.is_file() and (index.stat().st_size < _SHORTEST or not _is_index(index))):
        _take_off(index)


def _is_index(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"DIRC"


def _take_off(marker: Path) -> None:
    if marker.is_dir() and not marker.is_symlink():
        shutil.rmtree(marker)
    else:
        marker.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, where it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def remove_index(root: Path) -> None:
    """Removes what an earlier workspace at `root` was known by."""
    root.with_name(_INDEX).unlink(missing_ok=True)


def _check_size(root: Path, changed: Sequence[str]) -> None:
    """Raises NotKept where what is new or changed is too much to be kept."""
    if len(changed) > COUNT_LIMIT:
        raise NotKept(f"{len(changed)} files are new or changed, more than {COUNT_LIMIT}", changed[:1])
    sizes = {path: _size(root / path) for path in changed}
    whole = sum(sizes.values())
    if whole > KEPT_LIMIT:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
        told = ", ".join(f"{path} {sizes[path] / 1e6:.0f} MB" for path in largest)
        limit = KEPT_LIMIT // 1_000_000
        raise NotKept(f"{whole / 1e6:.0f} MB are new or changed, more than {limit} MB: {told}", largest)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # deleted


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
