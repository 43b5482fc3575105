"""Memory of an instance: what its process and those it started take, and the end of one that takes too much.

Counted is what a container is charged for and cannot give back: anonymous and shared memory, in proportion where
processes share it. Where the system does not tell (no `/proc`), nothing is counted and nobody is ended.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

_LOOK_S = 0.2
_CHARGED = ("Pss_Anon:", "Pss_Shmem:")


async def until_over(pid: int, limit: int) -> int:
    """The bytes in use, once they are more than `limit`; waits for ever where they never are. Safe to cancel."""
    while True:
        used = sum(_charged(each) for each in _tree(pid))
        if used > limit:
            return used
        await asyncio.sleep(_LOOK_S)


def _tree(pid: int) -> list[int]:
    """The process and its descendants, as far as they are not somebody else's children by now."""
    found = [pid]
    for each in found:
        try:
            tasks = list(Path(f"/proc/{each}/task").iterdir())
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue  # it ended meanwhile, or the system does not tell
    return found


def _charged(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_CHARGED))
