"""Who writes to a SQLite store, and who changes it as a whole (makes, migrates or replaces it): never both at once.

A flock on `.<store>.lock` beside the store: shared by each process that writes, from its first write until it closes
the store; exclusive for whoever changes it as a whole. The kernel lets go when a process dies. The file itself says
nothing that counts, and stays.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from netra_loop.errors import DiskFull, StoreError

WITHIN_S = 10.0  # how long whoever comes second waits
_PAUSE_S = 0.02


class Use:
    """One process's use of the store for writing. For one thread alone."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._descriptor: int | None = None

    def begin(self, within_s: float = WITHIN_S) -> None:
        """Returns once nobody changes the store as a whole, and keeps it so until `end`. Safe to repeat. StoreError
        names who changes it, where that takes longer than `within_s`.
        """
        if self._descriptor is None:
            self._descriptor = _locked(self._store, fcntl.LOCK_SH, within_s)

    def end(self) -> None:
        """Safe to repeat, and without having begun."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


@contextlib.contextmanager
def alone(store: Path, doing: str, within_s: float = WITHIN_S) -> Iterator[None]:
    """Nobody writes to the store, or changes it as a whole, while the block runs. StoreError names the process that
    does, where that takes longer than `within_s`. `doing` is what others are told: "restores", say.
    """
    descriptor = _locked(store, fcntl.LOCK_EX, within_s)
    try:
        text = f"{os.getpid()} {doing}\n".encode()
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: it is merely not told
            os.pwrite(descriptor, text, 0)
        yield
    finally:
        os.close(descriptor)


def holders(path: Path) -> list[int]:
    """The processes that have a lock, of whatever kind, on the file at `path`, as far as the kernel says."""
    try:
        found = path.stat()
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux, or it is gone
        return []
    return sorted({int(pid) for words in map(str.split, locks) if (pid := _of(words, found)) and int(pid) > 0})


def _of(words: list[str], found: os.stat_result) -> str | None:
    """The process of a line of `/proc/locks`, such as `7: FLOCK ADVISORY WRITE 12 fd:00:34 0 EOF`, if it is a lock on
    that file.

    Some file systems have a device of their own making for each part, which the kernel's list does not know.
    """
    if len(words) < 6 or words[1] == "->":  # one that waits
        return None
    major, minor, inode = words[5].split(":")
    device = os.makedev(int(major, 16), int(minor, 16))
    made_up = not os.major(found.st_dev) and not int(major, 16)
    return words[4] if int(inode) == found.st_ino and (device == found.st_dev or made_up) else None


def lock_of(store: Path) -> Path:
    """The file that is locked."""
    return store.with_name(f".{store.name}.lock")


def _locked(store: Path, how: int, within_s: float) -> int:
    path, until = lock_of(store), time.monotonic() + within_s
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.fchmod(descriptor, 0o600)  # whatever the umask
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass  # held, or removed by somebody at this moment
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if time.monotonic() >= until:
                raise _held(store, path, how, within_s)
            time.sleep(_PAUSE_S)
    except OSError as error:
        kind = DiskFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
        raise kind(
            f"the lock file {str(path)!r} cannot be used: {error.strerror}, expected a file of our own",
            hint=f"ls -ld {path.parent} {path}",
        ) from error


def _held(store: Path, path: Path, how: int, within_s: float) -> StoreError:
    pids = [pid for pid in holders(path) if pid != os.getpid()]
    who = "process " + ", ".join(map(str, pids)) if pids else "another process"
    doing = "writes to"
    if how == fcntl.LOCK_SH or len(pids) == 1:
        doing = _doing(path, pids) or doing
    return StoreError(
        f"{who} {doing} the store {str(store)!r}; waited {within_s:g} s for it",
        hint=f"wait for it to end, or end it{': kill ' + ' '.join(map(str, pids)) if pids else ''}; "
        "then type the same again",
    )


def _doing(path: Path, pids: list[int]) -> str | None:
    """What whoever has it alone says it does, where that one wrote it."""
    with contextlib.suppress(OSError, ValueError):
        pid, _, doing = path.read_text().strip().partition(" ")
        if int(pid) in pids and doing:
            return doing
    return None
