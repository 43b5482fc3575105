"""Whose a session's folder is. What a session keeps outside its store (workspace, local cloud) lies below the project's
`sessions/<id>`, whichever store knows the session: so each folder says, in the file `store`, which one does. And how a
folder of our own is made.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
from pathlib import Path

from netra_loop.errors import DiskFull, StoreError
from netra_loop.journal import neighbours
from netra_loop.journal.base import StoreIdentity
from netra_loop.settings import STORE_FILE, is_server

MARK = "store"


def own_folder(path: Path) -> None:
    """Makes the folder at `path`, for nobody but us whatever the umask, where it is missing; its parent is there.
    StoreError where something else is in its place, such as a link that leads elsewhere.
    """
    try:
        path.mkdir(mode=0o700)
        path.chmod(0o700)
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            kind = "a link" if path.is_symlink() else "no folder"
            raise StoreError(
                f"{str(path)!r} is {kind}, expected a folder of our own", hint=f"ls -ld {shlex.quote(str(path))}"
            ) from None
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(folder: Path, error: OSError) -> StoreError:
    """What an error of the system means where something of ours was to be made in that folder, or it itself."""
    where = shlex.quote(str(folder.parent))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"the disk is full: {str(folder)!r} takes nothing more",
            hint=f"make room on the disk of {where}, then resume",
        )
    return StoreError(f"{str(folder)!r} cannot be written: {error.strerror or error}", hint=f"ls -ld {where}")


def claim(folder: Path, ours: StoreIdentity) -> None:
    """Says in the session's folder that it is of that store. StoreError where it is another store's, which is there."""
    session, other = folder.name, whose(folder, ours)
    if other is not None:
        raise StoreError(
            f"folder {str(folder)!r} is that of session {session!r} of another store, {other!r}; "
            f"two sessions of one name cannot share it",
            hint=f"give the new one another --session-name; or, if that store is no more: mv {_quoted(folder)} "
            f"{_quoted(folder.with_name(f'{session}.before'))}",
        )
    if _said(folder) == ours:
        return
    draft = folder / f".{MARK}.{os.getpid()}.new"
    try:
        _write(draft, ours)
        draft.replace(folder / MARK)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unusable(folder, error) from error


def _write(draft: Path, ours: StoreIdentity) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask
        json.dump({"id": ours.id, "at": ours.at}, file)


def whose(folder: Path, ours: StoreIdentity) -> str | None:
    """Which other store the session's folder is of; None where it is ours, or nobody's. A store that cannot be read, or
    is on a server, is taken to be there still.
    """
    said = _said(folder)
    if said is None:
        return _older(folder, ours)
    if said.at == ours.at:  # it may be of one before, in whose place ours is
        return None
    if is_server(said.at):
        return None if said.id == ours.id else said.at
    with contextlib.suppress(OSError):
        if neighbours.identity_at(Path(said.at)) != said.id:
            return None  # moved, and ours; or no more
    return said.at


def _older(folder: Path, ours: StoreIdentity) -> str | None:
    """An older version did not say; it kept sessions in the store beside, unless it was given another."""
    beside = folder.parent.parent / STORE_FILE
    if str(beside) == ours.at:
        return None
    with contextlib.suppress(OSError):
        if not neighbours.knows(beside, folder.name):
            return None
    return str(beside)


def _said(folder: Path) -> StoreIdentity | None:
    try:
        said = json.loads((folder / MARK).read_bytes())
        return StoreIdentity(str(said["id"]), str(said["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
