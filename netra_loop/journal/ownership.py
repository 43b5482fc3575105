"""Owning a session on this machine: its lock is taken, taken over, written and given back. What lock files say, and to
whom, is told in `locks`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shlex
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from netra_loop.clock import Clock, rfc3339
from netra_loop.errors import DiskFull, SessionHeld, StoreError
from netra_loop.journal import reserve, stopping, using
from netra_loop.journal.folders import own_folder
from netra_loop.journal.locks import (
    KEPT,
    PROBE_PAUSE_S,
    PROBES,
    Acknowledged,
    acknowledged,
    files,
    holder,
    is_alone,
    known,
    lock_folder,
    lock_path,
    of_store,
    read,
    told_acknowledged,
    told_holder,
)

_SIZE = 512  # bytes; one write, one disk block
_TURN_S = 10.0  # how long others may take to take a session, or all of them


# ---------------------------------------------------------------------------------------------------- one session


class SessionLock:
    """One session's lock, taken and given back by one owner, who names itself `owner`. `store` is the name of the
    store's file, which lies in `folder`. Not safe between threads.
    """

    def __init__(self, folder: Path, session: str, clock: Clock, store: str | None = None) -> None:
        self.path = lock_path(folder, session, store)
        self.owner = secrets.token_hex(8)
        self._folder = folder
        self._session = session
        self._store = store
        self._clock = clock
        self._descriptor: int | None = None
        self._turn = contextlib.ExitStack()
        self._draft: Path | None = None
        self._said: dict[str, Any] = {}
        self._forgotten = False

    def take(self, *, takeover: bool = False) -> None:
        """Takes it, or raises SessionHeld within a tenth of a second; nobody else takes one until `seat` or `release`.

        With `takeover` a held one is left to its owner until `seat`: whatever fails before, he is still the owner, and
        has his lock.
        """
        own_folder(self.path.parent)
        with self._errors():
            self._turn.enter_context(_in_turn(self.path.parent))
            self._descriptor = self._taken()
            if self._descriptor is None and takeover:
                self._descriptor = self._drafted()
        if self._descriptor is None:
            self._turn.close()
            raise self._held()
        reserve.make(self._folder)

    def confirm(self, _connection: object = None) -> None:
        """SessionHeld where another took the session over since `take`: one of an older version, that waits for no
        turn.
        """
        if self._descriptor is None or (self._draft is None and not _is_at(self._descriptor, self.path)):
            raise self._held()

    def seat(self, epoch: int) -> None:
        """The epoch was raised: a lock that is taken over comes to its place. Whoever held the one before goes on
        holding a file that is nobody's; the epoch stops him at his next write. Killed before, he keeps the lock until
        then. What others were asked is forgotten.
        """
        assert self._descriptor is not None
        with self._errors():
            if self._draft is not None:
                self._said |= self._known()  # the owner before may have written until now
            self._said |= {"epoch": epoch}
            _write(self._descriptor, self._said)
            if self._draft is not None:
                os.fsync(self._descriptor)  # what was acknowledged is carried over, whatever happens next
                self._draft.replace(self.path)
                self._draft = None
            stopping.clear(self.path, self.owner)
        self._turn.close()

    def acknowledged(self) -> Acknowledged | None:
        """What this or an earlier owner was told is durable."""
        return acknowledged(self._folder, self._session, self._store)

    def epoch(self) -> int:
        """The highest epoch that is known beside the store, which may be put back to an earlier time; 0: none."""
        found = self._known().get("epoch")
        return found if isinstance(found, int) else 0

    def _known(self) -> dict[str, Any]:
        return known(self._folder, self._session, self._store)

    def _taken(self) -> int | None:
        """The lock file's descriptor, locked; None where somebody else has it."""
        for attempt in range(PROBES):
            if attempt:
                time.sleep(PROBE_PAUSE_S)  # in the writer's own thread: nothing else waits
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

    def _drafted(self) -> int:
        """The descriptor of a new lock file, to be put in the place of the one that is held."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        draft.unlink(missing_ok=True)  # left by a process of the same number that was killed right here
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._draft = draft
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._introduce(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _introduce(self, descriptor: int) -> None:
        """Writes who we are, and what the file in place says was acknowledged."""
        self._said = self._known()
        self._said |= {} if self._store is None else {"store": self._store}
        self._said |= {"pid": os.getpid(), "host": socket.gethostname(), "since": rfc3339(self._clock.now())}
        self._said |= {"owner": self.owner}
        _write(descriptor, self._said)

    def _held(self) -> SessionHeld:
        held_by = told_holder(read(self.path))
        return SessionHeld(self._session, str(held_by) if held_by else f"a process that has {self.path} locked")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = DiskFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
            raise kind(
                f"the lock file {str(self.path)!r} cannot be used: {error.strerror}, expected a file of our own",
                hint=f"ls -l {shlex.quote(str(self.path))}",
            ) from error

    def acknowledge(self, seq: int, digest: str) -> None:
        """Notes that everything up to event `seq` is durable. Call it after the commit, before anybody is told."""
        if self._descriptor is not None:
            self._said |= {"seq": seq, "hash": digest}
            _write(self._descriptor, self._said)

    def forget(self) -> None:
        """What was acknowledged counts no more, and the file goes with the lock: the session is about to be removed."""
        if self._descriptor is not None:
            _write(self._descriptor, {key: self._said[key] for key in self._said if key not in {"seq", "hash"}})
        self._forgotten = True

    def remember(self) -> None:
        """It was not removed: what was acknowledged counts again."""
        if self._descriptor is not None:
            _write(self._descriptor, self._said)
        self._forgotten = False

    def release(self) -> None:
        """Gives it back, and what `take` began and nothing came of. Safe to repeat, and without having taken it."""
        descriptor, self._descriptor = self._descriptor, None
        draft, self._draft = self._draft, None
        try:
            if draft is not None:
                draft.unlink(missing_ok=True)
            elif descriptor is not None:
                if self._forgotten:
                    self._forget_older()
                if _is_at(descriptor, self.path) and (self._forgotten or "seq" not in self._said):
                    stopping.clear(self.path)
                    self.path.unlink()
                _write(descriptor, {key: self._said[key] for key in KEPT if key in self._said})
        finally:
            if descriptor is not None:
                os.close(descriptor)
            self._turn.close()

    def _forget_older(self) -> None:
        """Removes what an older version wrote of the session, where it is said of this store."""
        older = lock_path(self._folder, self._session)
        if older != self.path and of_store(read(older), self._store, partial(is_alone, self._folder, self._store)):
            older.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------- all of them


class Unowned:
    """The lock file of a session that nobody owns, nor can own, for now."""

    def __init__(self, path: Path, said: dict[str, Any], store: str | None) -> None:
        self._path = path
        self._said = {key: said[key] for key in KEPT if key in said}
        self._store = store

    def acknowledged(self) -> Acknowledged | None:
        """What an owner was told is durable."""
        return told_acknowledged(self._said)

    def restart(self, seq: int, digest: str) -> None:
        """Notes that the store was put back to where event `seq` was the last one; 0: it has no such session."""
        self._said = {key: value for key, value in self._said.items() if key not in {"seq", "hash"}}
        self._said |= {"seq": seq, "hash": digest} if seq else {}
        self._said |= {} if self._store is None else {"store": self._store}
        descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            _write(descriptor, self._said)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def all_locked(folder: Path, store: str | None = None, within_s: float = _TURN_S) -> Iterator[dict[str, Unowned]]:
    """The lock file of every session of the store of that name (None: of the default name); none of them is held, or
    can be taken, while the block runs. SessionHeld where one is held. However many there are, two files are open.
    """
    own_folder(lock_folder(folder, store))
    with _in_turn(lock_folder(folder, store), within_s):
        found = {path.stem: Unowned(path, said, store) for path, said in files(folder, store) if _unheld(path)}
        yield found


def sweep(folder: Path, store: str, sessions: Collection[str]) -> None:
    """Removes the lock files and requests of all but these sessions, where nobody owns one, or was told of an event of
    it: processes left them that were killed.
    """
    place = lock_folder(folder, store)
    if not place.is_dir():
        return
    with _in_turn(place):
        for path in place.glob("[!.]*.lock"):
            if path.stem not in sessions and "seq" not in read(path) and holder(path) is None:
                path.unlink(missing_ok=True)
        for path in place.glob("*@*.stop"):
            lock = path.with_name(f"{path.name.partition('@')[0]}.lock")
            if not lock.exists():
                stopping.clear(lock)


def _unheld(path: Path) -> bool:
    for attempt in range(PROBES):
        if attempt:
            time.sleep(PROBE_PAUSE_S)
        found = holder(path)
        if found is None:
            return True
    raise SessionHeld(path.stem, str(found))


@contextlib.contextmanager
def _in_turn(folder: Path, within_s: float = _TURN_S) -> Iterator[None]:
    """Nobody else takes a session whose lock lies in the folder while the block runs: taking one is more than one step.
    The kernel lets the next one in when a process dies.
    """
    until = time.monotonic() + within_s
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        while not _flock(descriptor):
            if time.monotonic() >= until:
                pids = " ".join(map(str, using.holders(folder)))
                raise StoreError(
                    f"{'process ' + pids if pids else 'another process'} takes a session, restores or migrates the "
                    f"store of {str(folder)!r}; waited {within_s:g} s for it",
                    hint="wait for it to end, or see whether it is suspended: "
                    + (f"ps {pids}" if pids else f"fuser -v {shlex.quote(str(folder))}"),
                )
            time.sleep(PROBE_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


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


def _write(descriptor: int, said: Mapping[str, Any]) -> None:
    text = json.dumps(said, separators=(",", ":")).encode()
    os.pwrite(descriptor, text.ljust(_SIZE - 1) + b"\n", 0)
