"""Starts the tests' interpreter with the agent in it, in a way that the tests do not notice.

`sys.path` is what plain `pytest` would have: the agent is loaded from its own folder by name, and the empty entry that
`python -c` adds is taken away.
"""

from __future__ import annotations

import signal
from pathlib import Path

from netra_loop.cgroups import Group
from netra_loop.execution.options import PoolOptions
from netra_loop.execution.pool_guardian import Guarded
from netra_loop.execution.pool_spare import interpreter

DUMP_SIGNAL = int(signal.SIGRTMAX) - 3 if hasattr(signal, "SIGRTMAX") else int(signal.SIGUSR2)
_SIDE = 64 * 1024


async def start(
    options: PoolOptions,
    socket: str,
    token: str,
    log: Path,
    *,
    group: Group | None = None,
    join: Group | None = None,
    heirs: bool = False,
) -> Guarded:
    """The interpreter, in a session of its own, its output going to `log`; it ends with us. Raises OSError.

    What tests print may hold anything: `log` is for our eyes alone. For the rest see `Guarded.start`.
    """
    argv = interpreter(options.python, socket, token)
    return await Guarded.start(argv, env=options.env, cwd=options.root, output=log, group=group, join=join, heirs=heirs)


def excerpt(path: Path, side: int = _SIDE, start: int = 0) -> str:
    """What a file holds from byte `start` on, its middle left out and counted where it is long; empty where there is
    no such file.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            head = file.read(2 * side)
            size = file.seek(0, 2) - start
            if size <= len(head):
                return head.decode("utf-8", "replace")
            file.seek(start + max(size - side, side))
            tail = file.read(side)
    except OSError:
        return ""
    left = size - side - len(tail)
    gap = f"\n[... {left} of {size} bytes left out ...]\n" if left > 0 else ""
    return head[:side].decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")


def ending(code: int | None) -> str:
    """How a process ended, in words: `killed by SIGSEGV`, `exited with code 3`."""
    if code is None:
        return "ended in an unknown way"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
