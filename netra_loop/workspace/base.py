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

Kind = Literal["copy", "worktree"]


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
        """The tree of all that is there now and not ignored, kept under `name` until the workspace is removed."""
        ...

    async def restore(self, commit: str, tree: str) -> None:
        """Back to `tree` on top of `commit`, whatever a process left: other files go (ignored ones stay), and so do
        commits and branches that somebody else made here. Killed halfway, it is to be called again.
        """
        ...

    async def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two trees, in the order of the paths; a renamed file is one deleted and one added."""
        ...

    async def diff(self, old: str, new: str, paths: Sequence[str] = ()) -> str:
        """The same as a unified diff, of `paths` alone where any are given; at most `DIFF_LIMIT` characters, then how
        much was left out. Binary files are named only.
        """
        ...

    async def commit(self, parent: str, paths: Sequence[str], text: CommitText) -> str | None:
        """One commit on `parent` with what `paths` (files or folders) hold now; None where that is what it held.

        The same content, text and parent make the same id, so a repeat after a crash changes nothing. The branch moves
        from `parent` to it or, where it is there already, stays. Raises GitFailed where it is neither.
        """
        ...

    async def export(self, commit: str) -> Path:
        """The top of a folder that holds `commit`, whole and alone: what is built and started from it is that commit's,
        whatever becomes of the workspace. Nothing in it is to be changed. Made once; one that a kill cut off is made
        anew.
        """
        ...

    async def reverts(self, commit: str, since: str) -> str | None:
        """The commit after `since` whose change `commit` takes back, wholly; None where there is none."""
        ...

    async def text(self, commit: str, path: str) -> str | None:
        """A file's text as it was committed; None where it was not there or is no text."""
        ...

    async def blame(self, commit: str, path: str, line: int) -> Blamed | None:
        """Who touched `line` (from 1) last, seen from `commit`; None where git cannot tell."""
        ...
