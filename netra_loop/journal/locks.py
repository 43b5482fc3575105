"""What is known beside a SQLite store of who owns a session and what was acknowledged: one small file for each session,
for whoever reads it.

`sessions/<id>.lock` is held with flock while a process owns the session; the kernel lets go when that process dies. Its
text (one JSON object, padded so that it is replaced in one write) names the owner, and the number and hash of the last
event whose commit was acknowledged. A store that holds less than that has lost something: a `-wal` file removed, a file
put back from an older copy. The file may lag behind the store by the commit that a kill interrupted, never run ahead.

Each store has files of its own, `sessions` being the folder of one of the default name and `<store>.sessions` that of
any other, so that two in one folder know nothing of each other. An older version had them all in `sessions`, and did
not write down whose they were: there a file counts where only one store can be meant.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from netra_loop.clock import from_rfc3339
from netra_loop.journal.base import Holder, check_id
from netra_loop.journal.neighbours import stores_in
from netra_loop.settings import STORE_FILE
from netra_loop.values import dataclass

PROBES = 5  # tries to take a lock that somebody who merely looks may hold for a moment
PROBE_PAUSE_S = 0.02
KEPT = ("seq", "hash", "store", "epoch")  # what a lock file says once nobody owns the session


@dataclass(frozen=True)
class Acknowledged:
    """The last event that some owner was told is durable. `store` is the name of the store's file, where it is said."""

    seq: int
    hash: str
    store: str | None = field(default=None, compare=False)


def lock_folder(folder: Path, store: str | None = None) -> Path:
    """Where the lock files of the store of that name lie, which is in `folder` itself; None: of the default name."""
    return folder / ("sessions" if store in {None, STORE_FILE} else f"{store}.sessions")


def lock_path(folder: Path, session: str, store: str | None = None) -> Path:
    """The session's lock file. UsageError for an id that is no plain file name."""
    check_id(session)
    return lock_folder(folder, store) / f"{session}.lock"


def known(folder: Path, session: str, store: str | None = None) -> dict[str, Any]:
    """What the lock files in place say of that store's session that outlives an owner."""
    path, older, alone = lock_path(folder, session, store), lock_path(folder, session), partial(is_alone, folder, store)
    said = of_store(read(path), store, alone)
    if not said and older != path:
        said = of_store(read(older), store, alone)
    return {key: said[key] for key in KEPT if key in said}


def acknowledged(folder: Path, session: str, store: str | None = None) -> Acknowledged | None:
    """What an owner of that store's session was told is durable."""
    return told_acknowledged(known(folder, session, store))


def all_acknowledged(folder: Path, store: str | None = None) -> dict[str, Acknowledged]:
    """What every lock file beside the store of that name (None: of the default name) says was durable in it, by
    session.
    """
    found = {path.stem: told_acknowledged(said) for path, said in files(folder, store)}
    return {session: known for session, known in found.items() if known is not None}


def files(folder: Path, store: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The store's lock files, and what they say; one of an older version only where there is none of this one's."""
    seen: set[str] = set()
    alone = cache(partial(is_alone, folder, store))
    for place in dict.fromkeys((lock_folder(folder, store), lock_folder(folder))):
        for path in sorted(place.glob("[!.]*.lock")):
            said = read(path)
            if path.stem not in seen and (place == lock_folder(folder, store) or "store" not in said):
                seen.add(path.stem)
                yield path, of_store(said, store, alone)


def of_store(said: dict[str, Any], store: str | None, alone: Callable[[], bool]) -> dict[str, Any]:
    """What was said, where it is said of that store: an older version did not say of which, so `alone` decides."""
    if store is None or said.get("store") == store:
        return said
    return said if said and "store" not in said and alone() else {}


def told_acknowledged(said: Mapping[str, Any]) -> Acknowledged | None:
    """What a file's text says was durable."""
    seq, digest, where = said.get("seq"), said.get("hash"), said.get("store")
    if not isinstance(seq, int) or not isinstance(digest, str):
        return None
    return Acknowledged(seq, digest, where if isinstance(where, str) else None)


def is_alone(folder: Path, store: str | None) -> bool:
    """Whether no other store lies in the folder, but what was set aside."""
    return all(path.name == store for path in stores_in(folder))


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(path)
    finally:
        os.close(descriptor)
    return None


def _named(path: Path) -> Holder:
    """Whoever holds the lock at `path`: it says so as soon as it has it. One that does not is held all the same."""
    for attempt in range(PROBES):
        if attempt:
            time.sleep(PROBE_PAUSE_S)
        found = told_holder(read(path))
        if found is not None:
            return found
    return Holder(0, socket.gethostname(), datetime.now(UTC))


def read(path: Path) -> dict[str, Any]:
    """What the lock file at the path says; empty where it says nothing, or is not there."""
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # never written, or by a power cut half-written: it says nothing
        return {}
    return said if isinstance(said, dict) else {}


def told_holder(said: Mapping[str, Any]) -> Holder | None:
    """The owner that a file's text names; None where it names none."""
    if isinstance(said.get("pid"), int) and isinstance(said.get("since"), str):
        return Holder(said["pid"], str(said.get("host")), from_rfc3339(said["since"]), str(said.get("owner") or ""))
    return None
