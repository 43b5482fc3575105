"""System calls that the standard library does not offer: ties between a process and its parent, and its orphans.

Imports little, for the sake of `guardian`.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PDEATHSIG = 1
_SUBREAPER = 36


def _find() -> Any | None:
    # looked up in the zygote, so that a fork only makes system calls
    try:
        import ctypes

        return ctypes.CDLL(None, use_errno=True).prctl
    except Exception:
        return None


_prctl = _find()


def adopt_orphans() -> None:
    """Descendants whose parents die become ours instead of init's: none of them gets out of sight."""
    if _prctl is not None:
        _prctl(_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """SIGKILL for us once `parent` is gone, at once if it already is."""
    if _prctl is not None:
        _prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def children() -> set[int]:
    """The pids of our children; empty where the system does not tell."""
    found: set[int] = set()
    try:
        for task in os.listdir("/proc/self/task"):
            with open("/proc/self/task/" + task + "/children", "rb") as file:
                found.update(int(pid) for pid in file.read().split())
    except OSError:
        return _scan()
    return found


def _scan() -> set[int]:
    me = os.getpid()
    found: set[int] = set()
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for name in names:
        try:
            with open("/proc/" + name + "/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue
        if int(text[text.rindex(b")") + 2 :].split()[1]) == me:
            found.add(int(name))
    return found


def join(group: str | None) -> None:
    """Puts this very process into a cgroup, before it starts anything; stays where it is if that is refused."""
    if group is None:
        return
    _write(group + "/cgroup.procs", b"0")  # where that is refused, sweeps of orphans are what ends it


def kill_group(group: str | None) -> None:
    """SIGKILL for all that is in a cgroup and below, at one instant: nothing in it can fork on."""
    if group is None:
        return
    _write(group + "/cgroup.kill", b"1")  # refused where it is gone already


def _write(path: str, text: bytes) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(number, text)
        finally:
            os.close(number)
    except OSError:
        return  # what is refused, and what is gone already, is for other means to see to


def remove_group(group: str | None) -> None:
    """Takes an empty cgroup away, with those below it; one that still holds a process stays."""
    if group is None:
        return
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            continue
