"""Who owns a session on this machine, and what had been acknowledged: one small file for each session.

`sessions/<id>.lock` is held with flock while a process owns the session; the kernel lets go when that process dies. Its
text (one JSON object, padded so that it is replaced in one write) names the owner, and the number and hash of the last
event whose commit was acknowledged. A store that holds less than that has lost something: a `-wal` file removed, a file
put back from an older copy. The file may lag behind the store by the commit that a kill interrupted, never run ahead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netra_loop.clock import Clock, SystemClock, from_rfc3339, rfc3339
from netra_loop.errors import SessionHeld, StoreError
from netra_loop.journal import reserve
from netra_loop.journal.base import Holder, check_id

_SIZE = 512  # bytes; one write, one disk block
_PROBES = 5  # tries to take a lock that somebody who merely looks may hold for a moment
_PROBE_PAUSE_S = 0.02


@dataclass(frozen=True)
class Acknowledged:
    """The last event that some owner was told is durable."""

    seq: int
    hash: str


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


def lock_path(folder: Path, session: str) -> Path:
    """The session's lock file. UsageError for an id that is no plain file name."""
    check_id(session)
    return folder / "sessions" / f"{session}.lock"


def acknowledged(path: Path) -> Acknowledged | None:
    """What the lock file at `path` says was durable; None where there is no such file or it says nothing of it."""
    said = _read(path)
    seq, digest = said.get("seq"), said.get("hash")
    return Acknowledged(seq, digest) if isinstance(seq, int) and isinstance(digest, str) else None


def all_acknowledged(folder: Path) -> dict[str, Acknowledged]:
    """What every lock file beside the store says was durable, by session."""
    found = {path.stem: acknowledged(path) for path in (folder / "sessions").glob("*.lock")}
    return {session: known for session, known in found.items() if known is not None}


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(_read(path))
    finally:
        os.close(descriptor)
    return None


class SessionLock:
    """One session's lock, taken and given back by one owner. Not safe between threads."""

    def __init__(self, folder: Path, session: str, clock: Clock) -> None:
        self.path = lock_path(folder, session)
        self._session = session
        self._clock = clock
        self._descriptor: int | None = None
        self._said: dict[str, Any] = {}
        self._forgotten = False

    def take(self, *, takeover: bool = False) -> None:
        """Takes it, or raises SessionHeld within a tenth of a second.

        With `takeover` a held one is replaced: a file of our own, locked already, is renamed into its place. Whoever
        held the one before goes on holding a file that is nobody's; the epoch stops him at his next write. To be
        `confirm`ed in the transaction that raises the epoch.
        """
        own_folder(self.path.parent)
        with self._errors():
            descriptor = self._taken()
            if descriptor is None and takeover:
                descriptor = self._replaced()
        if descriptor is None:
            raise self._held()
        self._descriptor = descriptor
        reserve.make(self.path.parent.parent)

    def acknowledged(self) -> Acknowledged | None:
        """What this or an earlier owner was told is durable."""
        return acknowledged(self.path)

    def confirm(self, _connection: object = None) -> None:
        """SessionHeld where another took the session over since `take`."""
        if self._descriptor is None or not _is_at(self._descriptor, self.path):
            raise self._held()

    def _taken(self) -> int | None:
        """The lock file's descriptor, locked; None where somebody else has it."""
        for attempt in range(_PROBES):
            if attempt:
                time.sleep(_PROBE_PAUSE_S)  # in the writer's own thread: nothing else waits
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            os.fchmod(descriptor, 0o600)  # whatever the umask
            try:
                if _flock(descriptor) and _is_at(descriptor, self.path):
                    self._introduce(descriptor)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # it is held, or was replaced between opening and locking
        return None

    def _replaced(self) -> int:
        """The descriptor of a new lock file, put in the place of the one that is held."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        draft.unlink(missing_ok=True)  # left by a process of the same number that was killed right here
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._introduce(descriptor)
            os.fsync(descriptor)  # what was acknowledged is carried over, whatever happens next
            draft.replace(self.path)
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return descriptor

    def _introduce(self, descriptor: int) -> None:
        """Writes who we are, and what the file in place says was acknowledged."""
        known = _read(self.path)
        self._said = {key: known[key] for key in ("seq", "hash") if key in known}
        self._said |= {"pid": os.getpid(), "host": socket.gethostname(), "since": rfc3339(self._clock.now())}
        _write(descriptor, self._said)

    def _held(self) -> SessionHeld:
        held_by = _holder(_read(self.path))
        return SessionHeld(self._session, str(held_by) if held_by else f"a process that has {self.path} locked")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the lock file {str(self.path)!r} cannot be used: {error.strerror}, expected a file of our own",
                hint=f"ls -l {self.path}",
            ) from error

    def acknowledge(self, seq: int, digest: str) -> None:
        """Notes that everything up to event `seq` is durable. Call it after the commit, before anybody is told."""
        if self._descriptor is not None:
            self._said |= {"seq": seq, "hash": digest}
            _write(self._descriptor, self._said)

    def restart(self, seq: int, digest: str) -> None:
        """Notes that the store was put back to where event `seq` was the last one; 0: it has no such session."""
        self._said = {key: value for key, value in self._said.items() if key not in {"seq", "hash"}}
        if seq:
            self._said |= {"seq": seq, "hash": digest}
        if self._descriptor is not None:
            _write(self._descriptor, self._said)

    def forget(self) -> None:
        """What was acknowledged counts no more, and the file goes with the lock: the session is about to be removed."""
        self.restart(0, "")
        self._forgotten = True

    def release(self) -> None:
        """Gives it back. Safe to repeat, and without having taken it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            if self._forgotten and _is_at(descriptor, self.path):
                self.path.unlink()
            _write(descriptor, {key: self._said[key] for key in ("seq", "hash") if key in self._said})
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def all_locked(folder: Path) -> Iterator[dict[str, SessionLock]]:
    """The lock of every session that has one, all of them taken while the block runs. SessionHeld where one is held."""
    with contextlib.ExitStack() as stack:
        locks: dict[str, SessionLock] = {}
        for path in sorted((folder / "sessions").glob("*.lock")):
            lock = SessionLock(folder, path.stem, SystemClock())
            lock.take()
            stack.callback(lock.release)
            locks[path.stem] = lock
        yield locks


def forget_unheld(folder: Path) -> None:
    """Removes the lock files that nobody holds: they speak of a store that is no more."""
    for path in (folder / "sessions").glob("*.lock"):
        if holder(path) is None:
            path.unlink(missing_ok=True)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # never written, or by a power cut half-written: it says nothing
        return {}
    return said if isinstance(said, dict) else {}


def _write(descriptor: int, said: dict[str, Any]) -> None:
    text = json.dumps(said, separators=(",", ":")).encode()
    os.pwrite(descriptor, text.ljust(_SIZE - 1) + b"\n", 0)


def _holder(said: dict[str, Any]) -> Holder | None:
    if isinstance(said.get("pid"), int) and isinstance(said.get("since"), str):
        return Holder(said["pid"], str(said.get("host")), from_rfc3339(said["since"]))
    return None
