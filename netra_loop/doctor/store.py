"""The store: whether it can be opened, who may read it, how much room there is, and who is at work in it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from netra_loop.doctor.base import Line, Subject, fail, ok, warn
from netra_loop.errors import StoreError, UsageError
from netra_loop.settings import STORE_FILE, is_server

_LITTLE = 200 << 20  # a night of a thousand tests, with evidence and logs
_TOO_LITTLE = 20 << 20


async def store(subject: Subject) -> AsyncIterator[Line]:
    """Looks into it where there is one, and makes none where there is not."""
    settings = subject.settings
    near = None if subject.loop is None else subject.loop.spec.base_dir
    folder = settings.state_dir(near)
    url = settings.store or f"sqlite:///{folder / STORE_FILE}"
    path = _file(url)
    if is_server(url):
        async for line in _on_server(url):
            yield line
        return
    if path is None:
        yield await _opened(url, url.partition("://")[0])
        return
    made = _to_be_made(path)
    if made is None:
        yield await _opened(url, str(path))
        if path.exists():
            yield _modes(path)
    else:
        yield made
    yield _room(path)


async def _on_server(url: str) -> AsyncIterator[Line]:
    from netra_loop.doctor.postgres import lines  # of use here alone

    shown, found, there = await lines(url)
    if there:
        yield await _opened(url, shown)
    for line in found:
        yield line


def _file(url: str) -> Path | None:
    """The SQLite file that a store's URL names; None where it names something else."""
    from netra_loop.journal.sqlite import path_of  # not for a server

    try:
        return path_of(url)
    except UsageError:  # opening it says why
        return None


async def _opened(url: str, shown: str) -> Line:
    from netra_loop.core.state import Status
    from netra_loop.journal.store import open_store  # only where there is a store

    try:
        journal = open_store(url, make=False)
    except (StoreError, UsageError) as error:
        return fail("store", str(error), error.hint or "")
    try:
        heads = await journal.sessions()
        going = [head for head in heads if not Status(head.state).is_final]
        held = [(head.id, found) for head in going if (found := await journal.holder(head.id)) is not None]
    except (StoreError, UsageError) as error:
        return fail("store", str(error), error.hint or "")
    finally:
        await journal.close()
    told = f"{shown}: {len(heads)} session{'' if len(heads) == 1 else 's'}, {len(going)} unfinished"
    return ok("store", told + "".join(f"; {session} is held by {who}" for session, who in held))


def _modes(path: Path) -> Line:
    folder, file = path.parent, path
    open_to = [
        f"{one} (mode {mode:04o})" for one in (folder, file) if (mode := stat.S_IMODE(one.stat().st_mode)) & 0o077
    ]
    if open_to:
        what = "others may read what is kept: " + " and ".join(open_to)
        return warn("store's modes", what, f"chmod 700 {folder} && chmod 600 {file}")
    if not os.access(file, os.W_OK) or not os.access(folder, os.W_OK):
        return fail("store's modes", f"{file} may not be written by us", f"chown it: ls -la {folder}")
    return ok("store's modes", "nobody else may read it")


def _to_be_made(path: Path) -> Line | None:
    """None where there is one."""
    from netra_loop.journal.leftovers import never_made

    if not never_made(path):  # or it is missing, which opening it says
        return None
    above = _existing(path)
    if not os.access(above, os.W_OK | os.X_OK):
        return fail("store", f"{path} cannot be made: {above} may not be written by us", "give another as --store")
    return ok("store", f"none yet; it will be made at {path}")


def _room(path: Path) -> Line:
    free = shutil.disk_usage(_existing(path)).free
    told = f"{free / (1 << 30):.1f} GiB free at {_existing(path)}"
    if free < _TOO_LITTLE:
        return fail("disk space", told, "make room: a session pauses when the disk is full")
    if free < _LITTLE:
        return warn("disk space", told, "make room: a session pauses when the disk is full")
    return ok("disk space", told)


def _existing(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())
