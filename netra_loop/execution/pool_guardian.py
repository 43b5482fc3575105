"""A process of tests and its guardian (`agent.guardian`), seen from outside.

The guardian is a small process of our own interpreter between us and the tests'. However we end, it ends the tests'
process and all that this left behind; while we live, it tells how each ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import netra_loop.agent
from netra_loop.cgroups import Group
from netra_loop.processes import end_tree, identify, send, stopped

AGENT = str(Path(netra_loop.agent.__file__).parent)
_START_LIMIT_S = 30.0
_END_LIMIT_S = 35.0

# The agent is loaded by name from its own folder; the entry that `python -c` adds to the path is taken away.
LOAD = """\
import sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
import importlib.util, os
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "netra_loop_agent", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
module = sys.modules["netra_loop_agent"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
_GUARD = LOAD + "from netra_loop_agent.guardian import main\nmain()\n"


class Guarded:
    """One process below a guardian. `pid` is the process's own; `start` makes one."""

    def __init__(
        self,
        guardian: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._guardian = guardian
        self._who = identify(guardian.pid)
        self._reader = reader
        self._writer = writer
        self._ends: dict[int, asyncio.Future[int | None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.pid = 0

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: int,
        group: Group | None = None,
        join: Group | None = None,
        heirs: bool = False,
        launched: Callable[[], None] | None = None,
    ) -> Guarded:
        """Starts `argv` in a session of its own, its output going to the descriptor `output`, itself put in `join`.

        `group` is ended and removed with it; with `heirs`, its own children live on when it dies. `launched` is
        called once it comes up without any more from us. Raises OSError with the reason where it cannot be started.
        Cancelled, nothing is left.
        """
        told = {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "heirs": heirs}
        places = {"group": group and str(group.path), "join": join and str(join.path)}
        guarded = await cls._guard(output)
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await guarded._begin(json.dumps(told | places).encode() + b"\n", launched)  # noqa: SLF001 - its own
        except BaseException:
            await guarded.end()
            raise
        return guarded

    async def _begin(self, order: bytes, launched: Callable[[], None] | None) -> None:
        self._writer.write(order)
        if launched is not None:
            launched()
        answer = (await self._reader.readline()).decode("utf-8", "replace").strip()
        word, _, rest = answer.partition(" ")
        if word != "started":
            raise OSError(rest or "its guardian ended at once")
        self.pid = int(rest)
        self._ends[self.pid] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def _guard(cls, output: int) -> Guarded:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                guardian = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", "-c", _GUARD, AGENT,
                    stdin=theirs.fileno(), stdout=output, stderr=output, start_new_session=True,
                )  # fmt: skip
            except BaseException:
                writer.close()
                raise
        return cls(guardian, reader, writer)

    def ended(self, pid: int) -> asyncio.Future[int | None]:
        """How the process ended (`pid` its own), or an heir of it that outlived it: its exit code, a signal's number
        negated, None where nobody can tell.
        """
        future = self._ends.get(pid)
        if future is None:
            future = self._ends[pid] = asyncio.get_running_loop().create_future()
            if self._listening is None or self._listening.done():
                future.set_result(None)
        return future

    async def wait(self) -> int | None:
        """Waits for the process to end; what it left may still be about to be killed. See `ended`."""
        return await asyncio.shield(self.ended(self.pid))

    def wake(self) -> None:
        """Lets the guardian go on, where a test whose parent it had become has stopped it."""
        # not `self._guardian.send_signal`: that may reap it before asyncio does, which then knows of no exit code
        if self._who is not None and hasattr(signal, "SIGCONT") and stopped(self._who):
            send(self._who, signal.SIGCONT)

    async def end(self) -> None:
        """Ends the process and all that it left behind, and waits until nothing is left. Safe to repeat."""
        with contextlib.suppress(OSError, RuntimeError):  # it is gone already, or this was done before
            self._writer.write_eof()
        self.wake()
        try:
            await asyncio.wait_for(asyncio.shield(self._gone()), _END_LIMIT_S)
        except TimeoutError:
            await end_tree(self._guardian.pid, term_grace_s=0)
        if self._listening is not None:
            await self._listening
        self._writer.close()

    async def _gone(self) -> None:
        await self._guardian.wait()

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                pid, code = map(int, line.split())
                future = self.ended(pid)
                if not future.done():
                    future.set_result(code)
        except ConnectionError:
            pass  # the same as its end
        finally:
            for future in self._ends.values():
                if not future.done():
                    future.set_result(None)
