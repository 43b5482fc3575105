"""What a fixer may not change: the tests that judge it, and the loop that it runs in.

Paths are relative to one top folder (the workspace's, or the folder that tests run in), with `/`. A rule seals a file
whether it is changed, removed or added: a conftest.py that appears above the tests reaches into all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from netra_loop.core.selection import path_matches

_CONFTEST = "conftest.py"


@dataclass(frozen=True)
class Seal:
    """`files` are sealed themselves, and all below them where they are folders; `globs` seal what they match
    (`selection.path_matches`). Without either nothing is sealed.
    """

    files: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    conftests: tuple[str, ...] = ()

    def broken_by(self, changed: Iterable[str]) -> list[str]:
        """Those of `changed` that are sealed, in their order."""
        return [path for path in changed if self.holds(path)]

    def holds(self, path: str) -> bool:
        """Whether this file is sealed."""
        below = any(path == sealed or path.startswith(f"{sealed}/") or sealed == "." for sealed in self.files)
        return below or path in self.conftests or any(path_matches(glob, path) for glob in self.globs)


def default_seal(tests: Sequence[str], loop: str | None) -> Seal:
    """The tests' files and folders, every conftest.py that reaches into them, and the loop file; `None`, which it is
    where that lies outside, seals nothing.
    """
    files = [path.partition("::")[0] for path in tests]
    above: dict[str, None] = {}
    for file in files:
        for folder in (PurePosixPath(file), *PurePosixPath(file).parents):
            above[str(folder / _CONFTEST)] = None
    return Seal(files=(*dict.fromkeys(files), *([] if loop is None else [loop])), conftests=tuple(above))


def allowed(path: str, folders: Sequence[str]) -> bool:
    """Whether `path` is one of `folders` or lies below one; everything does where none is named."""
    return not folders or any(path == one or path.startswith(f"{one}/") or one in {".", ""} for one in folders)
