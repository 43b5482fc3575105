"""A service's source copied aside, where the loop has no workspace: what was deployed stays as it was deployed.

Whoever edits the original works on the next revision then, and an instance of an earlier one that starts later runs
what that was. What the copy is for is running, so it has all that the original has but for what nothing runs: git's own
folder, ours, and tools' caches. What tools install (`.venv`, `node_modules`) is large and not edited: it is linked, and
so is what lies beside the source, up to the loop's own root.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from netra_loop.errors import EnvironmentFailed
from netra_loop.workspace.base import inner_path

LINKED = frozenset({".venv", "venv", "node_modules"})
LEFT_OUT = frozenset({".git", ".netra-loop", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"})
_UNTOLD = frozenset({"__pycache__"})  # copied, since it saves time, but no change of the source
_FICLONE = 0x40049409  # on a file system that can, both share their blocks until one is changed
_TRIES = 5


def copy_aside(source: Path, root: Path, inside: Path, name: str) -> Path:
    """A folder below `inside` that holds what `source` (absolute) holds now; the one made before where nothing has
    changed since. `name` begins its name. `root` is the folder up to which what lies beside the source is linked.

    Appears whole or not at all; where there is no folder `source`, it is given back for whoever starts it to tell.
    Raises EnvironmentFailed where it never stands still.
    """
    if not source.is_dir():
        return source
    inner = inner_path(source, root)
    for _ in range(_TRIES):
        known = _digest(source)
        above, is_made = _place(inside, f"{name}-{known[:16]}", inner)
        if is_made:
            return above / inner
        draft = inside / f"{name}.draft"
        _remove(draft)
        for depth in range(len(inner.parts)):
            _make_folder(draft / Path(*inner.parts[:depth]))
        _copy(source, draft / inner)
        if source != root and source.is_relative_to(root):
            _link_beside(root, draft, inner)
        if _digest(source) == known:
            _seal_of(above).touch()
            _seal_of(above).chmod(0o600)
            _seal_of(above).write_text(_digest(draft / inner), "ascii")
            draft.rename(above)
            return above / inner
    raise EnvironmentFailed(
        f"the files in {str(source)!r} changed while they were copied, {_TRIES} times in a row",
        hint="end what writes there, or keep it out of the service's source, then resume",
    )


def _place(inside: Path, name: str, inner: Path) -> tuple[Path, bool]:
    """Where the copy is, or is to be made: one in which somebody has changed a file since is left to what runs there,
    and another made beside it.
    """
    for number in count():
        above = inside / (f"{name}-{number}" if number else name)
        if not (above / inner).is_dir():
            return above, False
        if _seal_of(above).read_text("ascii") == _digest(above / inner):
            return above, True
    raise AssertionError  # counting has no end


def _seal_of(above: Path) -> Path:
    return above.with_name(f"{above.name}.seal")


def _digest(source: Path) -> str:
    """What tells this state of the files from every other, by what the file system knows of them."""
    told = hashlib.sha256()
    for entry in _walk(source, LEFT_OUT | LINKED | _UNTOLD):
        with contextlib.suppress(FileNotFoundError):
            found = entry.stat(follow_symlinks=False)
            words: tuple[object, ...] = (os.path.relpath(entry.path, source), found.st_mode)
            if not stat.S_ISDIR(found.st_mode):  # what a folder holds is told by its entries
                words += (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            told.update(repr(words).encode("utf-8", "surrogateescape"))
    return told.hexdigest()


def _walk(folder: Path | str, without: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    """All that lies in a folder, folders before what they hold, in the order of the names; links are not followed."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if entry.name not in without), key=lambda one: one.name)
    except (FileNotFoundError, PermissionError):
        return  # gone meanwhile, or not readable, to a service as little as to us
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, without)


def _copy(source: Path, target: Path) -> None:
    _make_folder(target)
    for entry in _walk(source, LEFT_OUT | LINKED):
        place = target / os.path.relpath(entry.path, source)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            kind = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(kind):
                _make_folder(place)
                _link_installed(Path(entry.path), place)
            elif stat.S_ISLNK(kind):
                place.symlink_to(Path(entry.path).readlink())
            elif stat.S_ISREG(kind):
                _copy_file(entry.path, place)
    _link_installed(source, target)


def _make_folder(path: Path) -> None:
    """For nobody but us, whatever the umask."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)


def _copy_file(source: str, target: Path) -> None:
    with open(source, "rb") as given, target.open("xb") as made:  # noqa: PTH123 - a name as the system gives it
        try:
            fcntl.ioctl(made.fileno(), _FICLONE, given.fileno())
        except OSError:  # as most file systems say
            shutil.copyfileobj(given, made, 1 << 20)
    shutil.copystat(source, target)


def _link_installed(source: Path, target: Path) -> None:
    for name in LINKED:
        if (source / name).is_dir() or (source / name).is_symlink():
            (target / name).symlink_to((source / name).resolve())


def _link_beside(root: Path, draft: Path, inner: Path) -> None:
    """Links what lies beside the source and beside each folder above it, so that `../shared` leads where it led."""
    for depth in range(len(inner.parts)):
        here = Path(*inner.parts[:depth])
        with os.scandir(root / here) as found:
            for entry in found:
                if entry.name != inner.parts[depth] and entry.name not in LEFT_OUT:
                    (draft / here / entry.name).symlink_to(root / here / entry.name)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
