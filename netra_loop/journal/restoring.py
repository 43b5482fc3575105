"""A snapshot put in the place of a damaged store, which is kept under another name.

There is always a store at its path, and never one beside the `-wal` of another. Killed in between, what stands there is
still known to be damaged, and the same command puts the snapshot in place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from netra_loop.errors import StoreError
from netra_loop.journal import ownership, snapshots
from netra_loop.journal.snapshots import Snapshot, sync_folder


@dataclass(frozen=True)
class Restored:
    """What was put in place, and under which name the store before is kept (None: there was none). `lost` has, of each
    session of which less is there now, the events that were acknowledged and those that are left.
    """

    snapshot: Snapshot
    aside: Path | None
    lost: Mapping[str, tuple[int, int]]


def restore(store: Path, snapshot: Path) -> Restored:
    """Puts a copy of `snapshot` in the place of the store at `store`.

    StoreDamaged where the snapshot is not whole, SessionHeld where a session of the store runs, StoreError where the
    folder is not to be written; nothing has happened then.
    """
    found = snapshots.read(snapshot)
    try:
        with ownership.all_locked(store.parent) as locks:
            draft = _copied(snapshot, store)
            aside = _set_aside(store)
            draft.rename(store)
            sync_folder(store.parent)
            known = {session: lock.acknowledged() for session, lock in locks.items()}
            for session, lock in locks.items():
                lock.restart(*found.ends.get(session, (0, "")))
    except OSError as error:
        raise StoreError(
            f"{str(snapshot)!r} could not be put in the place of {str(store)!r}: {error.strerror or error}",
            hint=f"ls -ld {store.parent}; df {store.parent}",
        ) from error
    left = {session: found.ends.get(session, (0, ""))[0] for session in known}
    lost = {session: (end.seq, left[session]) for session, end in known.items() if end and end.seq > left[session]}
    return Restored(found, aside, lost)


def _copied(snapshot: Path, store: Path) -> Path:
    draft = store.with_name(f".{store.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        with snapshot.open("rb") as source, draft.open("xb") as target:
            os.fchmod(target.fileno(), 0o600)
            shutil.copyfileobj(source, target, 1 << 20)
            os.fsync(target.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _set_aside(store: Path) -> Path | None:
    """Gives what is there another name as well, and takes its `-wal` and `-shm` away: without, it stays damaged."""
    if not os.path.lexists(store):
        return None
    aside = store.with_name(f"{store.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z")
    if store.is_symlink():
        raise StoreError(f"{str(store)!r} is a symbolic link, expected the file itself", hint=f"rm {store}")
    os.link(store, aside)
    for part in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{store}{part}").rename(f"{aside}{part}")
    return aside
