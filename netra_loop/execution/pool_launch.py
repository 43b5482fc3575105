"""Starts the tests' interpreter with the agent in it, in a way that the tests do not notice.

`sys.path` is what plain `pytest` would have: the agent is loaded from its own folder by name, and the empty entry that
`python -c` adds is taken away.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import netra_loop.agent
from netra_loop.execution.base import PoolOptions
from netra_loop.processes import die_with_parent

AGENT = str(Path(netra_loop.agent.__file__).parent)
DUMP_SIGNAL = int(signal.SIGRTMAX) - 3 if hasattr(signal, "SIGRTMAX") else int(signal.SIGUSR2)
_SIDE = 64 * 1024

_BOOTSTRAP = """\
import sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
import importlib.util, os
folder, path, token = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "netra_loop_agent", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
module = sys.modules["netra_loop_agent"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from netra_loop_agent.main import main
main(path, token)
"""


async def start(options: PoolOptions, socket: str, token: str, log: Path) -> asyncio.subprocess.Process:
    """The interpreter, in a session of its own, its output going to `log`; it dies with us. Raises OSError."""
    # Opened without waiting: a local file in our own folder. What tests print may hold anything: for our eyes alone.
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return await asyncio.create_subprocess_exec(
            str(options.python),
            "-c",
            _BOOTSTRAP,
            AGENT,
            socket,
            token,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=options.root,
            env=dict(options.env),
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )


def excerpt(path: Path, side: int = _SIDE) -> str:
    """What a file holds, its middle left out and counted where it is long; empty where there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(2 * side)
            size = file.seek(0, 2)
            if size <= len(head):
                return head.decode("utf-8", "replace")
            file.seek(max(size - side, side))
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
