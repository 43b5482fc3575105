"""What lies beside a SQLite store: drafts of processes that were killed, and traces of a store that is gone.

A draft is a file that gets its real name once it is whole. Whatever is still called one while nobody works on the store
is of no use to anybody.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from netra_loop.errors import StoreError
from netra_loop.journal import keeping, locks, snapshots, using

_SURELY_LEFT_S = 60.0  # a lock file or the reserve is made in milliseconds


def sweep(store: Path) -> None:
    """Removes drafts of killed processes; leaves them for the next time where somebody works on the store now."""
    keeping.clear_unless_busy(store)
    if next(_drafts(store), None) is None:
        return
    with contextlib.suppress(StoreError, OSError), using.alone(store, "clears up after a killed process in", 0.0):
        for draft in _drafts(store):
            draft.unlink(missing_ok=True)


def _drafts(store: Path) -> Iterator[Path]:
    folder = store.parent
    yield from folder.glob(f".{store.name}.*.new")  # made only while nobody else works on the store
    for small in (*folder.glob(".reserve.*.new"), *locks.lock_folder(folder, store.name).glob(".*.new")):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - small.lstat().st_mtime > _SURELY_LEFT_S:
                yield small


def never_made(store: Path) -> bool:
    """Whether there is no store at that path, and never was one."""
    return not os.path.lexists(store) and of_lost(store) is None


def of_lost(store: Path) -> str | None:
    """What lies beside the place of a store that is not there and says that there was one; None where nothing does."""
    if not store.parent.is_dir():
        return None
    sure = locks.all_acknowledged(store.parent, store.name)
    copies = snapshots.named(store)
    wal = store.with_name(f"{store.name}-wal")
    found = [
        f"{len(copies)} snapshot{'' if len(copies) == 1 else 's'} of it" if copies else "",
        f"what was acknowledged of {len(sure)} session{'' if len(sure) == 1 else 's'}" if sure else "",
        "its -wal" if wal.is_file() and wal.stat().st_size else "",
    ]
    return ", ".join(filter(None, found)) or None


def aside(store: Path) -> str:
    """The command that takes what `of_lost` found out of the way of a new store."""
    folder = store.parent
    places = (locks.lock_folder(folder, store.name).name, snapshots.FOLDER, f"{store.name}-wal", f"{store.name}-shm")
    there = [shlex.quote(str(folder / name)) for name in places if (folder / name).exists()]
    return f"mkdir {shlex.quote(str(folder / 'lost'))} && mv {' '.join(there)} {shlex.quote(str(folder / 'lost'))}"
