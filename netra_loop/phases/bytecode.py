"""What interpreters keep of the tests' files beside them: used instead of a file where it says that it was made of it.

It says so itself, and whoever writes it may let it say anything: a test that was never touched would run as something
else. So it goes wherever it lies beside sealed files, before tests are collected from these again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from netra_loop.core.seal import Seal
from netra_loop.errors import EnvironmentFailed

_CACHE = "__pycache__"
_NOT_LOOKED_AT = frozenset({".git", ".netra-loop", ".venv", "node_modules"})


def forget(above: Path, seal: Seal) -> None:
    """Removes it below `above`, the folder that the seal's paths are relative to. Safe to repeat; raises
    EnvironmentFailed where it cannot be removed.
    """
    for place in _kept(above, seal):
        try:
            if place.is_dir() and not place.is_symlink():
                place.chmod(0o700)
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
        except OSError as error:
            raise EnvironmentFailed(
                f"{str(place)!r} cannot be removed, and what it holds may stand for other tests: {error.strerror}",
                hint="remove it, then resume",
            ) from error


def _kept(above: Path, seal: Seal) -> Iterator[Path]:
    if seal.globs or "." in seal.files:
        yield from _caches(above)
        return
    for path in dict.fromkeys(seal.files):
        beside = (above / path).parent / _CACHE
        if (above / path).is_dir():
            yield from _caches(above / path)
        elif beside.is_dir():
            yield from beside.glob(f"{Path(path).stem}.*")
    for path in seal.beside:
        if path.endswith(".py"):
            yield from ((above / path).parent / _CACHE).glob(f"{Path(path).stem}.*")


def _caches(folder: Path) -> Iterator[Path]:
    """Links are not followed, but for the folder's own."""
    for at, folders, files in os.walk(folder):
        yield from (Path(at) / name for name in (*folders, *files) if name == _CACHE)
        folders[:] = [name for name in folders if name != _CACHE and name not in _NOT_LOOKED_AT]
