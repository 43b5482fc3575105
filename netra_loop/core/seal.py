"""What a fixer may not change: the tests that judge it, and the loop that it runs in.

Paths are relative to one top folder (the workspace's, or the folder that tests run in), with `/`. A rule seals a file
whether it is changed, removed or added: a conftest.py that appears above the tests reaches into all of them.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from netra_loop.core.selection import path_matches
from netra_loop.values import dataclass

_WHOLE = ("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")
_PARTLY = ("pyproject.toml", "tox.ini", "setup.cfg")  # they say much else, too


@dataclass(frozen=True)
class Seal:
    """`files` are sealed themselves, and all below them where they are folders; `globs` seal what they match
    (`selection.path_matches`); `beside` are single files that reach into the tests, and of `settings` only what they
    tell pytest is sealed, see `pytest_part`. Without any of them nothing is sealed.
    """

    files: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def broken_by(self, changed: Iterable[str]) -> list[str]:
        """Those of `changed` that are sealed, in their order."""
        return [path for path in changed if self.holds(path)]

    def holds(self, path: str) -> bool:
        """Whether this file is sealed as a whole."""
        below = any(path == sealed or path.startswith(f"{sealed}/") or sealed == "." for sealed in self.files)
        return below or path in self.beside or any(path_matches(glob, path) for glob in self.globs)


def default_seal(tests: Sequence[str], loop: str | None) -> Seal:
    """The tests' files and folders, every conftest.py and all settings of pytest's that reach into them, and the loop
    file; `None`, which it is where that lies outside, seals nothing.
    """
    files = [path.partition("::")[0] for path in tests]
    folders = dict.fromkeys(folder for file in files for folder in (PurePosixPath(file), *PurePosixPath(file).parents))
    return Seal(
        files=(*dict.fromkeys(files), *([] if loop is None else [loop])),
        beside=tuple(str(folder / name) for folder in folders for name in _WHOLE),
        settings=tuple(str(folder / name) for folder in folders for name in _PARTLY),
    )


def pytest_part(path: str, text: str) -> str:
    """What one of a seal's `settings` tells pytest, as a text to compare: "" where it tells nothing; all of it where it
    cannot be read.
    """
    try:
        if path.endswith(".toml"):
            import tomllib  # only where something was changed

            told = tomllib.loads(text).get("tool", {}).get("pytest")
            return "" if told is None else json.dumps(told, sort_keys=True, default=str)
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
    except (ValueError, configparser.Error):  # a TOML error is a ValueError
        return text
    section = "tool:pytest" if path.endswith(".cfg") else "pytest"
    return json.dumps(sorted(parser.items(section))) if parser.has_section(section) else ""


def allowed(path: str, folders: Sequence[str]) -> bool:
    """Whether `path` is one of `folders` or lies below one; everything does where none is named."""
    return not folders or any(path == one or path.startswith(f"{one}/") or one in {".", ""} for one in folders)
