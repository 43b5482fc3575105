"""How the owner of a session is asked to pause it, from any terminal of the machine: a small file beside its lock.

`<id>@<owner>.stop` is meant for the one owner that it names, so one that comes too late asks nobody, and goes when the
next one takes the session. Nothing is signalled, so no other process can be hit, whatever became of the owner's pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
from pathlib import Path

from netra_loop.errors import StoreError

PACE_S = 0.1


def ask(lock: Path, owner: str) -> None:
    """Asks that owner of the session whose lock file is at `lock`. Safe to repeat. StoreError where the folder cannot
    be written.
    """
    path = _path(lock, owner)
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        os.close(descriptor)
        made.replace(path)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise StoreError(
            f"the request to stop could not be left at {str(path)!r}: {error.strerror}",
            hint=f"ls -ld {shlex.quote(str(path.parent))}",
        ) from error


async def asked(lock: Path, owner: str) -> None:
    """Returns once that owner was asked, 0.1 s after it; takes the request away. Safe to cancel."""
    path = _path(lock, owner)
    while not path.exists():  # noqa: ASYNC110 - what changes is a file, and another process writes it
        await asyncio.sleep(PACE_S)
    with contextlib.suppress(OSError):  # it asks nobody any more
        path.unlink()


def clear(lock: Path, owner: str | None = None) -> None:
    """Removes what was left to earlier owners of the session; all of it where there is no `owner` now."""
    kept = None if owner is None else _path(lock, owner).name
    older = f"{lock.stem}.stop"  # as an earlier version named it, with a number in it that may come again
    for path in (*lock.parent.glob(f"{lock.stem}@*.stop"), lock.with_name(older)):  # no id holds what glob obeys
        if path.name != kept:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _path(lock: Path, owner: str) -> Path:
    return lock.with_name(f"{lock.stem}@{owner}.stop")
