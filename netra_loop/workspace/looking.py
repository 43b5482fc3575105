"""Commits that somebody else makes: looked at, while nothing is changed in the repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netra_loop.workspace.git import Git

_MOST = 50  # commits whose messages are read
DETACHED = "HEAD"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came between two commits: the first line of the newest one, all messages (the newest first), the paths that
    differ between the two, and by whom the newest is.
    """

    subject: str
    author: str
    messages: tuple[str, ...]
    paths: tuple[str, ...]


class Branch:
    """One branch of the repository that `folder` lies in, by the name that a person types; it need not exist yet. What
    is no branch's name may be that of a tag or a commit.
    """

    def __init__(self, name: str, folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self._git = Git(folder, environ)

    async def newest(self) -> str | None:
        """Its newest commit; None where there is none."""
        for name in (f"refs/heads/{self.name}", self.name):
            words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            found = await self._git.maybe(*words)
            if found is not None:
                return found
        return None

    async def holds(self, commit: str, other: str) -> bool:
        """Whether `other` is `commit`, or one that it builds on; not where either is unknown here."""
        if commit == other:
            return True
        code, _, _ = await self._git.ask("merge-base", "--is-ancestor", other, commit)
        return code == 0

    async def seen(self, known: str, commit: str) -> Seen:
        """What `commit` brings that `known` has not; `known` "": the commit alone."""
        only = [f"{known}..{commit}"] if known else ["-1", commit]
        said = await self._git.text("log", f"--max-count={_MOST}", "--format=%B%x00", *only, "--")
        subject, _, author = (await self._git.text("log", "-1", "--format=%s%x00%an", commit, "--")).partition("\0")
        paths = ""
        if known:
            paths = await self._git.text("diff-tree", "-r", "-z", "--name-only", "--no-renames", known, commit)
        messages = tuple(text.strip() for text in said.split("\0") if text.strip())
        return Seen(subject, author, messages, tuple(path for path in paths.split("\0") if path))


async def branch_at(folder: Path, environ: Mapping[str, str]) -> str | None:
    """The branch that is checked out where `folder` lies, `HEAD` where none is; None where that is no repository."""
    git = Git(folder, environ)
    if await git.maybe("rev-parse", "--git-dir") is None:
        return None
    return await git.maybe("symbolic-ref", "--quiet", "--short", "HEAD") or DETACHED
