"""What a pool leaves to be found by, should we die before we can end it: its folder, its processes, its cgroup.

Each pool has a folder under the system's temporary one, and a lock in it that the kernel frees when its owner dies.
A record there, and beside the session's own files, says whose it is and what its processes carry in their environment.
`clear` ends and removes what dead processes left. A folder with a strange record or none, of another user, or whose
lock is held is let be, but for one that nobody has owned for a minute; so are the processes of another pid namespace: a
container cannot know which of its neighbour's live.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from netra_loop import cgroups
from netra_loop.errors import EnvironmentFailed
from netra_loop.processes import ProcessIdentity, carrying, end_known, identify, same, space

PREFIX = "netra-loop-pool-"
MARK = "NETRA_LOOP_POOL"
_OWNER = "owner.json"
_POOL = "pool.json"
_LOCK = "lock"
_YOUNG_S = 60.0  # a folder that has no owner yet may get one
SOCKET = "pool"  # the name of a pool's socket in its folder
_SHORT = Path("/tmp")  # noqa: S108 - where the temporary folder's name is too long; what is made there is ours alone
_LONGEST = 100  # bytes of a unix socket's path that every system takes
_FILES = ("gw*", "zygote-*")  # processes' files among a session's own
_NAME = re.compile(re.escape(PREFIX) + r"\w{8,}")


class Record(NamedTuple):
    """Whose a pool is; `mark` is the value of `NETRA_LOOP_POOL` in its processes, `group` its cgroup's folder, `space`
    the pid namespace that the owner's pid is of (`processes.space`).
    """

    owner: ProcessIdentity
    mark: str
    group: str | None
    space: int | None

    @classmethod
    def new(cls, mark: str, group: cgroups.Group | None) -> Record:
        """Ours."""
        own = identify(os.getpid())
        assert own is not None
        return cls(own, mark, None if group is None else str(group.path), space())

    @classmethod
    def read(cls, file: Path) -> Record | None:
        """None where there is none, or one that is being written or of another making."""
        try:
            row = json.loads(file.read_text())
            owner, mark, group, where = ProcessIdentity(**row["owner"]), row["mark"], row["group"], row["space"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if not isinstance(mark, str) or not _NAME.fullmatch(mark) or not isinstance(group, str | None):
            return None
        return cls(owner, mark, group, where)

    def write(self, folder: Path, scratch: Path | None = None) -> None:
        """Into the pool's folder, and into the session's, where there is one."""
        text = json.dumps(self.row())
        (folder / _OWNER).write_text(text)
        if scratch is not None:
            (scratch / _POOL).write_text(text)

    def row(self) -> dict[str, Any]:
        """As it is written."""
        return {**self._asdict(), "owner": self.owner._asdict()}

    @property
    def near(self) -> bool:
        """Whether it is of our own pid namespace: only there can we tell who lives."""
        return self.space == space()

    def is_left(self) -> bool:
        """Whether its owner is known to be dead."""
        return self.near and not same(self.owner)

    async def end(self) -> None:
        """Ends all that its processes left running, wherever it put itself; nothing of another pid namespace."""
        if not self.near:
            return
        if self.group is not None:
            await cgroups.sweep(self.group)
        for stray in carrying(MARK, self.mark):
            await end_known(stray, term_grace_s=0)


class Folder:
    """A new folder that nobody else may enter, under the temporary one; short enough for a socket's path.

    It is known to be in use while this object is open, and for as long as this process lives. Raises EnvironmentFailed
    where none can be made.
    """

    def __init__(self) -> None:
        self.path = _make()
        self._lock: int | None = _hold(self.path / _LOCK)

    def close(self) -> None:
        """Removes it. Safe to repeat."""
        import shutil  # here, since a run's tests must not wait for it

        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _make() -> Path:
    wanted = _temporary()
    parent = _SHORT if _is_long(wanted) else wanted
    made = parent / (PREFIX + os.urandom(4).hex())
    try:
        made.mkdir(0o700)
    except OSError as error:
        instead = f" ({str(wanted)!r} is too long for a socket's path)" if parent != wanted else ""
        raise EnvironmentFailed(
            f"no folder for sockets can be made in {str(parent)!r}{instead}: {error.strerror or error}",
            hint="set TMPDIR to a folder that can be written to and whose name is short, such as /tmp",
        ) from error
    return made


def _temporary() -> Path:
    """The system's folder for temporary files, as `tempfile` has it: asked only where what is usual cannot be used, for
    importing it takes as long as all that a run does before its tests' interpreter starts.
    """
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    usual = os.path.abspath(next(filter(None, named), _SHORT))  # noqa: PTH100 - `resolve` follows links, and may be longer
    if _takes(usual):
        return Path(usual)
    import tempfile

    return Path(tempfile.gettempdir())


def _takes(folder: str) -> bool:
    """Whether a file can be written there, tried as `tempfile` does: a full disk may be told by nothing else."""
    trial = os.path.join(folder, PREFIX + os.urandom(4).hex())  # noqa: PTH118 - asked before it is known to be one
    try:
        number = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(number, b"?")
        finally:
            os.close(number)
            os.unlink(trial)  # noqa: PTH108
    except OSError:
        return False
    return True


def _is_long(folder: Path) -> bool:
    return len(os.fsencode(folder / f"{PREFIX}12345678" / "pool")) > _LONGEST


def _hold(file: Path) -> int | None:
    """Locks it for as long as the descriptor is open; None, and no file, where the file system has no such locks."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if _take(lock):
        return lock
    os.close(lock)
    file.unlink()
    return None


@contextlib.contextmanager
def _left(folder: Path, record: Record) -> Iterator[bool]:
    """Whether its owner is dead; while it is looked at, nobody else takes it for left."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:  # no locks there
        yield record.is_left()
        return
    try:
        yield _take(lock) and (not record.near or record.is_left())
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def clear(scratch: Path, parent: Path | None = None, *, taken: bool = False) -> None:
    """Ends and removes what pools of dead processes left: the session's in `scratch`, and all others that can be found
    in `parent` (None: the system's temporary folder). Called before anything of a session runs. `taken`: the session's
    is ended though its owner lives, for the session was taken from him.
    """
    import shutil

    await cgroups.sweep()
    record = Record.read(scratch / _POOL)
    if record is not None and (taken or record.is_left()):
        await record.end()
        _tidy(scratch)
        (scratch / _POOL).unlink(missing_ok=True)
    wanted = parent or _temporary()
    parents = {wanted, _SHORT} if _is_long(wanted) else {wanted}
    for folder in (folder for parent in parents for folder in parent.glob(PREFIX + "*")):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look into
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            record = Record.read(folder / _OWNER)
            if record is None:
                if time.time() - found.st_mtime > _YOUNG_S:
                    _remove_unowned(folder)
                continue
            with _left(folder, record) as left:
                if left:
                    await record.end()
                    shutil.rmtree(folder, ignore_errors=True)


def _remove_unowned(folder: Path) -> None:
    """Removes what was left by one who was killed before he said whose it is, and so before anything ran: where nobody
    holds its lock. OSError where it has none, which is let be.
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _take(lock) and not os.path.lexists(folder / _OWNER):
            (folder / SOCKET).unlink(missing_ok=True)
            (folder / _LOCK).unlink()
            folder.rmdir()  # refused where it holds more than that
    finally:
        os.close(lock)


def _tidy(scratch: Path) -> None:
    """Removes what dead processes wrote beside the session's own files."""
    for file in (file for pattern in _FILES for file in scratch.glob(pattern) if file.is_file()):
        file.unlink(missing_ok=True)


def forget(scratch: Path) -> None:
    """The session's pool has ended well. What another owner's pool wrote there since is let be."""
    record = Record.read(scratch / _POOL)
    if record is None or record.owner == identify(os.getpid()):
        (scratch / _POOL).unlink(missing_ok=True)
