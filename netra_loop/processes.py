"""Processes of this machine: who one is, how to end it with all it started, how to tie it to our own life.

A pid alone names nobody for long; `ProcessIdentity` does. What is ended here is ended by identity: a process is
signalled only after it was seen to belong to the tree, through a handle (pidfd) that cannot come to mean another one.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal as signals
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1
_KILL_LIMIT_S = 10.0  # a process in uninterruptible sleep does not die before its device answers


class ProcessIdentity(NamedTuple):
    """One process, for good. `started` is seconds since boot on Linux (the wall clock may step), else since 1970."""

    pid: int
    started: float
    boot_id: str


class _Row(NamedTuple):
    pid: int
    parent: int
    session: int
    started: float
    zombie: bool
    stopped: bool = False


def identify(pid: int) -> ProcessIdentity | None:
    """Who has `pid` now; None where nobody has, or only a zombie."""
    row = _row(pid)
    return None if row is None or row.zombie else ProcessIdentity(pid, row.started, _boot_id())


def same(identity: ProcessIdentity) -> bool:
    """Whether that very process still lives: not another one with its pid, not one from before a reboot, no zombie."""
    return identify(identity.pid) == identity


def send(identity: ProcessIdentity, signal: int) -> bool:
    """Signals that very process; False where it is gone. Never reaches another process that got its pid."""
    if not hasattr(os, "pidfd_open"):
        return same(identity) and _kill(identity.pid, signal)
    try:
        handle = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        if not same(identity):
            return False
        signals.pidfd_send_signal(handle, signal)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(handle)
    return True


async def end_tree(
    pid: int, *, term_grace_s: float, first_signal: int = signals.SIGTERM
) -> tuple[ProcessIdentity, ...]:
    """Ends `pid` and all it started, those in sessions of their own included; returns who would not die: nobody.

    Everyone found gets `first_signal` once; after `term_grace_s` seconds (0: at once, and no first signal) whoever is
    left or has come meanwhile gets SIGKILL, sweep after sweep. Descendants orphaned before the call are found only by
    the session that `pid` led; that works when `pid` itself is gone, too. Cancelling leaves what is not dead yet alive.
    The caller reaps `pid` itself; adopted orphans (see `set_subreaper`) are reaped here. Raises ValueError for our own
    pid, and for init's.
    """
    return await _end(_Tree(_checked(pid)), term_grace_s, first_signal)


async def end_known(
    identity: ProcessIdentity, *, term_grace_s: float, first_signal: int = signals.SIGTERM
) -> tuple[ProcessIdentity, ...]:
    """`end_tree` for a process remembered from an earlier life of ours, also where it is gone and its session is not.

    Does nothing where its pid now names another process, or the machine was restarted since.
    """
    row = _row(identity.pid)
    if identity.boot_id != _boot_id() or (row is not None and row.started != identity.started):
        return ()
    return await _end(_Tree(_checked(identity.pid)), term_grace_s, first_signal)


def space() -> int | None:
    """The pid namespace that pids mean something in for us: another container's numbers name others. None where the
    system has none, or does not tell.
    """
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None


def carrying(variable: str, value: str) -> list[ProcessIdentity]:
    """Our own user's processes that were started with that environment variable; not we ourselves nor our ancestors.

    Finds what neither parent nor session tells: a daemon that a child of a dead child left behind. Empty without /proc.
    """
    wanted = f"{variable}={value}".encode()
    found, ours = [], _ancestors()
    for row in _rows() if _has_proc() else ():
        try:
            environment = Path(f"/proc/{row.pid}/environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile, or somebody else's
            continue
        if wanted in environment and row.pid not in ours:
            found.append(ProcessIdentity(row.pid, row.started, _boot_id()))
    return found


async def end_carriers(variable: str, value: str) -> None:
    """Ends whatever `carrying` finds, with all it started, at once: what a killed process of ours left running."""
    for stray in carrying(variable, value):
        await end_known(stray, term_grace_s=0)


def kill_descendants() -> None:
    """SIGKILL for all that this process has started, however deep; waits for none of them. Orphans are nobody's."""
    below: dict[int, list[_Row]] = {}
    for row in _rows():
        below.setdefault(row.parent, []).append(row)
    parents = [os.getpid()]
    for parent in parents:
        for row in below.get(parent, ()):
            parents.append(row.pid)  # whose own children are looked at in turn
            send(ProcessIdentity(row.pid, row.started, _boot_id()), signals.SIGKILL)


def command(pid: int) -> tuple[str, ...]:
    """The words that `pid` was started with, as it shows them now; empty where nobody can tell."""
    psutil = _psutil()
    try:
        return tuple(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return ()


def stopped(identity: ProcessIdentity) -> bool:
    """Whether that process stands still because a signal (SIGSTOP, SIGTSTP) or a debugger told it to."""
    row = _row(identity.pid)
    return row is not None and row.started == identity.started and row.stopped and same(identity)


def set_subreaper() -> bool:
    """Makes orphans among our descendants our children instead of init's; False where the system cannot (not Linux)."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal: int = signals.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the child gets `signal` when the thread that started it ends, however it ends.

    Made before the fork, so that the child only makes system calls. Does nothing where the system cannot. The tie does
    not pass to the child's own children.
    """
    call = _libc_prctl()
    parent = os.getpid()

    def tie() -> None:
        if call is None:
            return
        call(_PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the call
            os.kill(os.getpid(), signal)

    return tie


class _Tree:
    """The members seen so far. A member stays one when its parent dies and it is handed to somebody else."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.members: dict[int, float] = {}
        self.sessions: dict[int, float] = {}
        row = _row(root)
        if row is not None:
            self._add(row)
        else:  # the number cannot be given to another process while a session of its own still has members
            self.sessions[root] = math.nan

    def alive(self) -> list[ProcessIdentity]:
        """Looks through the whole machine once; reaps what became ours; everyone who still runs."""
        rows = {row.pid: row for row in _rows()}
        for session, started in list(self.sessions.items()):
            leader = rows.get(session)
            if leader is not None and leader.started != started:
                del self.sessions[session]
        while new := [row for row in rows.values() if self._belongs(row, rows)]:
            for row in new:
                self._add(row)
        living = []
        for pid, started in list(self.members.items()):
            now = rows.get(pid)
            if now is None or now.started != started:
                del self.members[pid]
            elif now.zombie:
                self._reap(now)
            else:
                living.append(ProcessIdentity(pid, started, _boot_id()))
        return living

    def _belongs(self, row: _Row, rows: dict[int, _Row]) -> bool:
        if row.pid == os.getpid() or self.members.get(row.pid) == row.started:
            return False
        parent = rows.get(row.parent)
        child = parent is not None and self.members.get(parent.pid) == parent.started
        return child or row.session in self.sessions

    def _add(self, row: _Row) -> None:
        self.members[row.pid] = row.started
        if row.session == row.pid:
            self.sessions[row.session] = row.started

    def _reap(self, row: _Row) -> None:
        if row.pid != self.root and row.parent == os.getpid():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(row.pid, os.WNOHANG)


async def _end(tree: _Tree, term_grace_s: float, first_signal: int) -> tuple[ProcessIdentity, ...]:
    living = tree.alive()
    if term_grace_s > 0:
        for member in living:
            send(member, first_signal)
        living = await _until_gone(tree, term_grace_s, lambda _member: None)
    if living:
        living = await _until_gone(tree, _KILL_LIMIT_S, lambda member: send(member, signals.SIGKILL))
    return tuple(living)


async def _until_gone(tree: _Tree, limit_s: float, each: Callable[[ProcessIdentity], object]) -> list[ProcessIdentity]:
    import asyncio  # here, since what is done first of all must not wait for it

    end = time.monotonic() + limit_s
    pause_s = _FIRST_PAUSE_S
    while living := tree.alive():
        for member in living:
            each(member)
        left_s = end - time.monotonic()
        if left_s <= 0:
            break
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return living


def _ancestors() -> set[int]:
    """Our own pid and those above it."""
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        row = _row(pid)
        pid = 0 if row is None else row.parent
    return found


def _checked(pid: int) -> int:
    if pid <= 1 or pid == os.getpid():
        raise ValueError(f"pid {pid} is not a child's, expected one greater than 1 that is not our own")
    return pid


def _kill(pid: int, signal: int) -> bool:
    try:
        os.kill(pid, signal)
    except (ProcessLookupError, PermissionError):
        return False
    return True


# ------------------------------------------------------------------------------------------- what the system knows


def _rows() -> Iterator[_Row]:
    pids = (
        (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        if _has_proc()
        else iter(_psutil().pids())
    )
    for pid in pids:
        row = _row(pid)
        if row is not None:
            yield row


def _row(pid: int) -> _Row | None:
    return _row_from_proc(pid) if _has_proc() else _row_from_psutil(pid)


def _row_from_proc(pid: int) -> _Row | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            raise  # we cannot look: that is no word on whether it lives
        return None
    # the second field is the name in brackets, which may hold anything; field 3 comes after the last bracket
    fields = text[text.rindex(b")") + 2 :].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return _Row(pid, int(fields[1]), int(fields[3]), started, fields[0] in {b"Z", b"X"}, fields[0] in {b"T", b"t"})


def _row_from_psutil(pid: int) -> _Row | None:
    psutil = _psutil()
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            status = process.status()
            still = status in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
            started, zombie = process.create_time(), status == psutil.STATUS_ZOMBIE
            return _Row(pid, process.ppid(), os.getsid(pid), started, zombie, still)
    except (psutil.Error, OSError):
        return None


def _psutil() -> ModuleType:
    """Asked for where there is no /proc; importing it takes as long as a process's start."""
    import psutil

    return psutil


@cache
def _has_proc() -> bool:
    return sys.platform == "linux" and Path("/proc/self/stat").exists()


def give_back_memory() -> None:
    """What this process has freed and the C library still holds goes back to the system. Takes milliseconds; where the
    library cannot (it is not glibc), nothing happens.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@cache
def _boot_id() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else str(int(_psutil().boot_time()))


@cache
def _libc_prctl() -> Callable[[int, int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)  # what this process has loaded: its C library among it
    call: Callable[[int, int, int, int, int], int] = library.prctl
    return call


def _prctl(option: int, value: int) -> bool:
    call = _libc_prctl()
    return call is not None and call(option, value, 0, 0, 0) == 0
