"""Groups of processes that the kernel itself keeps together (cgroup v2), where we may make some.

Whatever a process in a group starts is in it, too, and cannot leave it by changing its session or its parent; all of
it can be killed at one instant, however fast it forks. Groups are made below the one we are in and nowhere else: where
that is not ours to write (no cgroup v2, a container's read-only one, a system's own), `make` answers None.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from netra_loop.processes import ProcessIdentity, identify, space

_PREFIX = "netra-loop-"
_NAME = re.compile(_PREFIX + r"(?P<pid>\d+)-(?P<ticks>\d+)-(?P<boot>[0-9a-f]{8})-(?P<space>\d+)-\d+")
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05
_EMPTY_LIMIT_S = 10.0  # a process in uninterruptible sleep does not die before its device answers
_numbers = itertools.count()


class Group(NamedTuple):
    """One group, by its folder. Everything here is safe to repeat, also once the group is gone."""

    path: Path

    def child(self, name: str) -> Group | None:
        """A group inside this one, None where the system makes no more."""
        made = Group(self.path / name)
        try:
            made.path.mkdir(exist_ok=True)
        except OSError:
            return None
        return made

    def kill(self) -> None:
        """SIGKILL for all that is in it and below. Does not wait."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")

    def populated(self) -> bool:
        """Whether anything in it still runs; zombies do not."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except OSError:
            return False

    async def end(self) -> bool:
        """Kills, waits until nothing runs, removes it; False where something would not die within 10 s."""
        import asyncio  # here, since what is done first of all must not wait for it

        limit = time.monotonic() + _EMPTY_LIMIT_S
        pause_s = _FIRST_PAUSE_S
        while self.populated():
            self.kill()
            if time.monotonic() > limit:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self.remove()
        return True

    def remove(self) -> None:
        """Takes the folder away, with those below it; one that is populated stays."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def make() -> Group | None:
    """A new group below our own, named after us; None where it cannot be had."""
    base, own = _base(), identify(os.getpid())
    if base is None or own is None:
        return None
    return base.child(f"{_PREFIX}{own.pid}-{_ticks(own)}-{own.boot_id[:8]}-{space() or 0}-{next(_numbers)}")


def available() -> bool:
    """Whether `make` can make one."""
    return _base() is not None


async def sweep(*paths: str) -> None:
    """Ends the groups that dead processes left below our own one, and those at `paths` that bear such a name, too.

    Those made in another pid namespace (another container's, whose processes we cannot know) are let be.
    """
    base = _base()
    found = {Path(path) for path in paths} | set(base.path.glob(_PREFIX + "*") if base is not None else ())
    for path in found:
        if _is_left(path.name):
            await Group(path).end()


def _is_left(name: str) -> bool:
    told = _NAME.fullmatch(name)
    if told is None or int(told["space"]) != (space() or 0):
        return False
    owner = identify(int(told["pid"]))
    return owner is None or str(_ticks(owner)) != told["ticks"] or not owner.boot_id.startswith(told["boot"])


def _ticks(owner: ProcessIdentity) -> int:
    return round(owner.started * 100)


@cache
def _base() -> Group | None:
    """The group we are in, where groups can be made in it and killed; tried once, by making one."""
    folder = _own_folder()
    if folder is None:
        return None
    trial = folder / f"{_PREFIX}trial-{os.getpid()}"
    try:
        trial.mkdir(exist_ok=True)
    except OSError:
        return None
    try:
        joinable = os.access(folder / "cgroup.procs", os.W_OK) and (trial / "cgroup.type").read_text() == "domain\n"
        usable = joinable and (trial / "cgroup.kill").exists()
    except OSError:
        usable = False
    with contextlib.suppress(OSError):
        trial.rmdir()
    return Group(folder) if usable else None


def _own_folder() -> Path | None:
    """Where our group's folder is: our place in the hierarchy, below where that is mounted."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    place = next((line[3:] for line in lines if line.startswith("0::")), None)
    for fields in (line.split() for line in mounts):
        if place is not None and "cgroup2" in fields[fields.index("-") :]:
            root, point = fields[3], fields[4]
            with contextlib.suppress(ValueError):  # a mount of another part of the hierarchy
                return Path(point) / Path(place).relative_to(root)
    return None
