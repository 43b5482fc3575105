"""How the owner of a session is asked to pause it, from any terminal of the machine: a small file beside its lock.

`sessions/<id>.stop` names the epoch it is meant for, so one that comes too late asks nobody. Nothing is signalled, so
no other process can be hit, whatever became of the owner's pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

import sqlalchemy as sa

from netra_loop.errors import StoreError
from netra_loop.journal import tables as t
from netra_loop.journal.ownership import lock_path

PACE_S = 0.1


def epoch_of(connection: sa.Connection, session: str) -> int:
    """Of whoever owns the session, or owned it last. StoreError where there is no such session."""
    found: int | None = connection.execute(sa.select(t.sessions.c.epoch).where(t.sessions.c.id == session)).scalar()
    if found is None:
        raise StoreError(f"session {session!r} is not in the store", hint="netra-loop list")
    return found


def ask(folder: Path, session: str, epoch: int) -> None:
    """Asks the session's owner of that epoch. Safe to repeat. StoreError where the folder cannot be written."""
    path = _path(folder, session)
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(str(epoch))
        made.replace(path)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise StoreError(
            f"the request to stop could not be left at {str(path)!r}: {error.strerror}", hint=f"ls -ld {path.parent}"
        ) from error


async def asked(folder: Path, session: str, epoch: int) -> None:
    """Returns once the owner of that epoch was asked, 0.1 s after it; takes the request away. Safe to cancel."""
    path = _path(folder, session)
    while _said(path) != str(epoch):  # noqa: ASYNC110 - what changes is a file, and another process writes it
        await asyncio.sleep(PACE_S)
    with contextlib.suppress(OSError):  # it asks nobody any more
        path.unlink()


def _path(folder: Path, session: str) -> Path:
    return lock_path(folder, session).with_suffix(".stop")


def _said(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
