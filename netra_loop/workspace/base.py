"""What a workspace is: where a session's fixers work, what they changed there, and the commits made of it.

Trees and commits are named by git's ids (40 or 64 hexadecimal digits), paths are relative to the workspace's top,
with `/`. Every method is safe to repeat; what a crash in its midst leaves is said where it is something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from netra_loop.errors import EnvironmentFailed

Kind = Literal["copy", "worktree"]
SOURCES = "sources"  # the folder, beside a workspace, that holds what revisions are made from


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs: `added`, `modified`, `deleted` or `retyped` (a link became a file, or the other way)."""

    path: str
    how: Literal["added", "modified", "deleted", "retyped"]


@dataclass(frozen=True, slots=True)
class Made:
    """A workspace as it was begun: on `branch`, whose first commit is `base`. `left_out` counts what the checkout holds
    beyond it, uncommitted: a worktree has what HEAD has.
    """

    kind: Kind
    root: Path
    branch: str
    base: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class CommitText:
    """What a commit says: `message` whole, trailers included, and when the commit was meant, which is its date."""

    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Blamed:
    """Who touched a line last: the commit's id, its author's name, when, and its first line. `ours`: this session."""

    commit: str
    author: str
    at: datetime
    subject: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest commit of a branch: what it stands on, what it holds, and its whole message."""

    commit: str
    parents: tuple[str, ...]
    tree: str
    message: str


@dataclass(frozen=True, slots=True)
class TurnedBack:
    """`takes_back` is an earlier commit whose change is undone; `like` the one whose content would be there again, None
    where just that change is undone.
    """

    takes_back: str
    like: str | None


class NotKept(EnvironmentFailed):
    """What lies in the workspace cannot be kept as a tree: `paths` are too large, or cannot be read, as `why` says."""

    def __init__(self, why: str, paths: Sequence[str]) -> None:
        super().__init__(
            f"what lies in the workspace cannot be kept: {why}",
            hint="remove it there, or have git ignore it, then resume",
        )
        self.why, self.paths = why, tuple(paths)


def inner_path(source: Path, top: Path) -> Path:
    """Where a service's source lies within any folder that holds a revision's, `top` being what is kept as a whole."""
    return source.relative_to(top) if source != top and source.is_relative_to(top) else Path("source")


class Workspace(Protocol):
    """A place of the session's own. Nothing in it touches the user's checkout, nor its branch, index and stash."""

    made: Made
    home: Path
    """The top of the checkout that it stands for."""

    def place(self, path: Path) -> Path:
        """Where an absolute path of the checkout lies in the workspace; one outside the checkout is given back."""
        ...

    async def head(self) -> str:
        """The newest commit of the session's branch: the base, or the last one made here."""
        ...

    async def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        ...

    async def snapshot(self, name: str) -> str:
        """The tree of all that is there now and not ignored, kept under `name` until the workspace is removed. Raises
        NotKept where that is more than a fix can be, or cannot be read.
        """
        ...

    async def holds(self, tree: str) -> bool:
        """Whether this repository has that tree or commit."""
        ...

    async def stand_on(self, commit: str) -> bool:
        """Has the branch and HEAD stand on `commit` again, where a process has moved them or left a merge or rebase in
        its midst; the files stay as they are. True where there was anything to do.
        """
        ...

    async def restore(self, commit: str, tree: str) -> None:
        """Back to `tree` on top of `commit`, whatever a process left: other files go (ignored ones stay), and so do
        commits and branches that somebody else made here. Killed halfway, it is to be called again.
        """
        ...

    async def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two trees or commits, in the order of the paths; a renamed file is one deleted and one
        added.
        """
        ...

    async def edited(self, commit: str, paths: Sequence[str] = ()) -> list[str]:
        """The files of `commit`, below `paths` where any are given, that are not as it has them on the disk; whatever
        git was told of them.
        """
        ...

    async def diff(self, old: str, new: str, paths: Sequence[str] = ()) -> str:
        """The same as a unified diff, of `paths` alone where any are given; at most `DIFF_LIMIT` characters, then how
        much was left out. Binary files are named only.
        """
        ...

    async def tip(self) -> Tip:
        """The newest commit of the session's branch."""
        ...

    async def commit(self, parent: str, tree: str, text: CommitText) -> str:
        """One commit on `parent` that holds `tree`; its id. The branch moves from `parent` to it or, where it is there
        already, stays; the files stay as they are.

        The same content, text and parent make the same id, so a repeat after a crash changes nothing. Raises GitFailed
        where the branch is at neither.
        """
        ...

    async def keep_aside(self, parent: str, tree: str, text: CommitText, name: str) -> str:
        """The same commit, on no branch: kept under `name` for whoever wants to look at it."""
        ...

    async def export(self, commit: str) -> Path:
        """The top of a folder that holds `commit`, whole and alone: what is built and started from it is that commit's,
        whatever becomes of the workspace. Made once; one that a kill cut off is made anew, and beside one in which
        somebody has changed a file since another is made.
        """
        ...

    async def turns_back(self, parent: str, tree: str) -> TurnedBack | None:
        """What a commit of `tree` on `parent` would take back of the commits since the workspace's base; None where it
        takes none back wholly.
        """
        ...

    async def text(self, commit: str, path: str) -> str | None:
        """A file's text as it was committed; None where it was not there or is no text."""
        ...

    async def blame(self, commit: str, path: str, line: int) -> Blamed | None:
        """Who touched `line` (from 1) last, seen from `commit`; None where git cannot tell."""
        ...
