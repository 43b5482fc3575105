"""Room on the disk that is kept for the one thing that must still be stored once it is full: that the session stopped.

The file `reserve` beside the store takes real blocks. It is removed when a write finds the disk full, and made again by
the next owner of a session.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SIZE = 1024 * 1024  # bytes; an event and the end of a session take some 50 KB with their pages
_NAME = "reserve"


def make(folder: Path) -> None:
    """Makes it where it is missing. Without effect where the disk has no room for it: the next write will say so."""
    path = folder / _NAME
    with contextlib.suppress(OSError):
        if path.lstat().st_blocks * 512 >= SIZE:
            return
    draft = folder / f".{_NAME}.{os.getpid()}.new"
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        try:
            _fill(descriptor)
            draft.replace(path)
        finally:
            os.close(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def give_back(folder: Path) -> None:
    """Removes it, where it is there."""
    with contextlib.suppress(OSError):
        (folder / _NAME).unlink(missing_ok=True)


def _fill(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, SIZE)
    else:  # macOS
        os.write(descriptor, bytes(SIZE))
        os.fsync(descriptor)
