"""Who owns a session on this machine, and what had been acknowledged: one small file for each session.

`sessions/<id>.lock` is held with flock while a process owns the session; the kernel lets go when that process dies. Its
text (one JSON object, padded so that it is replaced in one write) names the owner, and the number and hash of the last
event whose commit was acknowledged. A store that holds less than that has lost something: a `-wal` file removed, a file
put back from an older copy. The file may lag behind the store by the commit that a kill interrupted, never run ahead.

Each store has files of its own, `sessions` being the folder of one of the default name and `<store>.sessions` that of
any other, so that two in one folder know nothing of each other. An older version had them all in `sessions`, and did
not write down whose they were: there a file counts where only one store can be meant.
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
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from netra_loop.clock import Clock, from_rfc3339, rfc3339
from netra_loop.errors import DiskFull, SessionHeld, StoreError
from netra_loop.journal import reserve, stopping, using
from netra_loop.journal.base import Holder, check_id
from netra_loop.journal.neighbours import stores_in
from netra_loop.settings import STORE_FILE
from netra_loop.values import dataclass

_SIZE = 512  # bytes; one write, one disk block
_PROBES = 5  # tries to take a lock that somebody who merely looks may hold for a moment
_PROBE_PAUSE_S = 0.02
_TURN_S = 10.0  # how long others may take to take a session, or all of them
_KEPT = ("seq", "hash", "store", "epoch")  # what a lock file says once nobody owns the session


@dataclass(frozen=True)
class Acknowledged:
    """The last event that some owner was told is durable. `store` is the name of the store's file, where it is said."""

    seq: int
    hash: str
    store: str | None = field(default=None, compare=False)


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
    except OSError as error:
        raise unusable(path, error) from error


def unusable(folder: Path, error: OSError) -> StoreError:
    """What an error of the system means where something of ours was to be made in that folder, or it itself."""
    where = shlex.quote(str(folder.parent))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"the disk is full: {str(folder)!r} takes nothing more",
            hint=f"make room on the disk of {where}, then resume",
        )
    return StoreError(f"{str(folder)!r} cannot be written: {error.strerror or error}", hint=f"ls -ld {where}")


# ---------------------------------------------------------------------------------------------------- what files say


def lock_folder(folder: Path, store: str | None = None) -> Path:
    """Where the lock files of the store of that name lie, which is in `folder` itself; None: of the default name."""
    return folder / ("sessions" if store in {None, STORE_FILE} else f"{store}.sessions")


def lock_path(folder: Path, session: str, store: str | None = None) -> Path:
    """The session's lock file. UsageError for an id that is no plain file name."""
    check_id(session)
    return lock_folder(folder, store) / f"{session}.lock"


def acknowledged(path: Path, store: str | None = None) -> Acknowledged | None:
    """What the lock file at `path` says was durable in the store of that name (None: in any); None where there is no
    such file or it says nothing of it.
    """
    return _acknowledged(_of(_read(path), store, partial(_is_alone, path.parent.parent, store)))


def all_acknowledged(folder: Path, store: str | None = None) -> dict[str, Acknowledged]:
    """What every lock file beside the store of that name (None: of the default name) says was durable in it, by
    session.
    """
    found = {path.stem: _acknowledged(said) for path, said in _files(folder, store)}
    return {session: known for session, known in found.items() if known is not None}


def _files(folder: Path, store: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The store's lock files, and what they say; one of an older version only where there is none of this one's."""
    seen: set[str] = set()
    alone = cache(partial(_is_alone, folder, store))
    for place in dict.fromkeys((lock_folder(folder, store), lock_folder(folder))):
        for path in sorted(place.glob("[!.]*.lock")):
            said = _read(path)
            if path.stem not in seen and (place == lock_folder(folder, store) or "store" not in said):
                seen.add(path.stem)
                yield path, _of(said, store, alone)


def _of(said: dict[str, Any], store: str | None, alone: Callable[[], bool]) -> dict[str, Any]:
    """What was said, where it is said of that store: an older version did not say of which, so `alone` decides."""
    if store is None or said.get("store") == store:
        return said
    return said if said and "store" not in said and alone() else {}


def _acknowledged(said: Mapping[str, Any]) -> Acknowledged | None:
    seq, digest, where = said.get("seq"), said.get("hash"), said.get("store")
    if not isinstance(seq, int) or not isinstance(digest, str):
        return None
    return Acknowledged(seq, digest, where if isinstance(where, str) else None)


def _is_alone(folder: Path, store: str | None) -> bool:
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
    for attempt in range(_PROBES):
        if attempt:
            time.sleep(_PROBE_PAUSE_S)
        found = _holder(_read(path))
        if found is not None:
            return found
    return Holder(0, socket.gethostname(), datetime.now(UTC))


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
        return _acknowledged(self._known())

    def epoch(self) -> int:
        """The highest epoch that is known beside the store, which may be put back to an earlier time; 0: none."""
        found = self._known().get("epoch")
        return found if isinstance(found, int) else 0

    def _known(self) -> dict[str, Any]:
        """What the files in place say that outlives an owner."""
        alone = partial(_is_alone, self._folder, self._store)
        said, older = _of(_read(self.path), self._store, alone), lock_path(self._folder, self._session)
        if not said and older != self.path:
            said = _of(_read(older), self._store, alone)
        return {key: said[key] for key in _KEPT if key in said}

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
        held_by = _holder(_read(self.path))
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
                _write(descriptor, {key: self._said[key] for key in _KEPT if key in self._said})
        finally:
            if descriptor is not None:
                os.close(descriptor)
            self._turn.close()

    def _forget_older(self) -> None:
        """Removes what an older version wrote of the session, where it is said of this store."""
        older = lock_path(self._folder, self._session)
        if older != self.path and _of(_read(older), self._store, partial(_is_alone, self._folder, self._store)):
            older.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------- all of them


class Unowned:
    """The lock file of a session that nobody owns, nor can own, for now."""

    def __init__(self, path: Path, said: dict[str, Any], store: str | None) -> None:
        self._path = path
        self._said = {key: said[key] for key in _KEPT if key in said}
        self._store = store

    def acknowledged(self) -> Acknowledged | None:
        """What an owner was told is durable."""
        return _acknowledged(self._said)

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
        found = {path.stem: Unowned(path, said, store) for path, said in _files(folder, store) if _unheld(path)}
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
            if path.stem not in sessions and "seq" not in _read(path) and holder(path) is None:
                path.unlink(missing_ok=True)
        for path in place.glob("*@*.stop"):
            lock = path.with_name(f"{path.name.partition('@')[0]}.lock")
            if not lock.exists():
                stopping.clear(lock)


def _unheld(path: Path) -> bool:
    for attempt in range(_PROBES):
        if attempt:
            time.sleep(_PROBE_PAUSE_S)
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
            time.sleep(_PROBE_PAUSE_S)
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


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # never written, or by a power cut half-written: it says nothing
        return {}
    return said if isinstance(said, dict) else {}


def _write(descriptor: int, said: Mapping[str, Any]) -> None:
    text = json.dumps(said, separators=(",", ":")).encode()
    os.pwrite(descriptor, text.ljust(_SIZE - 1) + b"\n", 0)


def _holder(said: Mapping[str, Any]) -> Holder | None:
    if isinstance(said.get("pid"), int) and isinstance(said.get("since"), str):
        return Holder(said["pid"], str(said.get("host")), from_rfc3339(said["since"]), str(said.get("owner") or ""))
    return None
