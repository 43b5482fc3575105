"""A snapshot put in the place of a damaged store, which is kept under another name.

Nobody writes to the store meanwhile, and none of its sessions can begin. There is always a store at its path, and never
one beside the `-wal` of another. What fails is undone. Killed in between, what stands there is still known to be
damaged, and the same command puts the snapshot in place.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from netra_loop.errors import StoreError
from netra_loop.journal import leftovers, ownership, snapshots, using
from netra_loop.journal.ownership import Unowned
from netra_loop.journal.snapshots import Snapshot, sync_folder


@dataclass(frozen=True)
class Restored:
    """What was put in place, and under which name the store before is kept (None: there was none). `lost` has, of each
    session of which less is there now, the events that were acknowledged and those that are left.
    """

    snapshot: Snapshot
    aside: Path | None
    lost: Mapping[str, tuple[int, int]]


def restore(store: Path, snapshot: Path, within_s: float = using.WITHIN_S) -> Restored:
    """Puts a copy of `snapshot` in the place of the store at `store`.

    StoreDamaged where the snapshot is not whole, SessionHeld where a session of the store runs, StoreError where
    another process has it open for longer than `within_s`, or where the folder is not to be written; all is as before
    then.
    """
    found = snapshots.read(snapshot)
    leftovers.sweep(store)
    try:
        with ownership.all_locked(store.parent, store.name) as locks, using.alone(store, "restores", within_s):
            _check_unused(store)
            known = {session: lock.acknowledged() for session, lock in locks.items()}
            with contextlib.ExitStack() as undo:
                draft = _copied(snapshot, store, undo)
                snapshots.read(draft)  # what was read above may have been changed meanwhile
                aside = _set_aside(store, undo)
                _put_in_place(draft, store, aside, undo)
                for session, lock in locks.items():
                    _restart(lock, found.ends.get(session, (0, "")), undo)
                sync_folder(store.parent)
                undo.pop_all()
    except OSError as error:
        raise StoreError(
            f"{str(snapshot)!r} could not be put in the place of {str(store)!r}, all is as before: "
            f"{error.strerror or error}",
            hint=f"ls -ld {shlex.quote(str(store.parent))}; df {shlex.quote(str(store.parent))}",
        ) from error
    left = {session: found.ends.get(session, (0, ""))[0] for session in known}
    lost = {session: (end.seq, left[session]) for session, end in known.items() if end and end.seq > left[session]}
    return Restored(found, aside, lost)


def _check_unused(store: Path) -> None:
    """StoreError where a process, be it an older netra-loop or another program, has the store open."""
    parts = (store, *(Path(f"{store}{part}") for part in ("-wal", "-shm")))
    pids = sorted({pid for part in parts for pid in using.holders(part)} - {os.getpid()})
    if pids:
        named = " ".join(map(str, pids))
        raise StoreError(
            f"process {named.replace(' ', ', ')} has the store {str(store)!r} open, and would go on with the old file",
            hint=f"ps {named}; end it, then type the same again",
        )


def _copied(snapshot: Path, store: Path, undo: contextlib.ExitStack) -> Path:
    draft = store.with_name(f".{store.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    undo.callback(draft.unlink, missing_ok=True)
    with snapshot.open("rb") as source, draft.open("xb") as target:
        os.fchmod(target.fileno(), 0o600)
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
    return draft


def _set_aside(store: Path, undo: contextlib.ExitStack) -> Path | None:
    """Gives what is there another name as well, and takes its `-wal` and `-shm` away: without, it stays damaged."""
    aside = store.with_name(f"{store.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z")
    if store.is_symlink():
        raise StoreError(f"{str(store)!r} is a symbolic link, expected the file itself", hint=f"rm {store}")
    there = os.path.lexists(store)
    if there:
        os.link(store, aside)
        undo.callback(aside.unlink, missing_ok=True)
        aside.chmod(0o600)
    for suffix in ("-wal", "-shm"):
        part, kept = Path(f"{store}{suffix}"), Path(f"{aside}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            part.rename(kept)
            undo.callback(kept.rename, part)
            kept.chmod(0o600)
    return aside if there else None


def _put_in_place(draft: Path, store: Path, aside: Path | None, undo: contextlib.ExitStack) -> None:
    draft.rename(store)
    if aside is None:
        undo.callback(store.unlink)
    else:
        undo.callback(aside.rename, store)


def _restart(lock: Unowned, end: tuple[int, str], undo: contextlib.ExitStack) -> None:
    known = lock.acknowledged()
    undo.callback(lock.restart, *((known.seq, known.hash) if known else (0, "")))
    lock.restart(*end)
