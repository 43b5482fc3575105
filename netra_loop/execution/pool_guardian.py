"""A process of tests and its guardian (`agent.guardian`), seen from outside.

The guardian is a small process of our own interpreter between us and the tests'. However we end, it ends the tests'
process and all that this left behind; while we live, it tells how each ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from netra_loop.cgroups import Group
from netra_loop.execution import pool_spare
from netra_loop.processes import end_tree, identify, send, stopped

_START_LIMIT_S = 30.0
_END_LIMIT_S = 35.0


class Guarded:
    """One process below a guardian. `pid` is the process's own; `start` makes one."""

    def __init__(
        self,
        guardian: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._guardian = guardian
        self._who = identify(guardian)
        self._reader = reader
        self._writer = writer
        self._ends: dict[int, asyncio.Future[int | None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._gone_by: asyncio.Task[None] | None = None
        self.pid = 0

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: Path,
        group: Group | None = None,
        join: Group | None = None,
        heirs: bool = False,
    ) -> Guarded:
        """Starts `argv` in a session of its own, its output added to the file `output`, itself put in `join`.

        `group` is ended and removed with it; with `heirs`, its own children live on when it dies. Raises OSError with
        the reason where it cannot be started. Cancelled, nothing is left.
        """
        order = pool_spare.order(argv, env=env, cwd=cwd, output=output, group=group, join=join, heirs=heirs)
        return await cls.of(pool_spare.take(), order)

    @classmethod
    async def of(cls, launched: pool_spare.Launched, order: bytes = b"") -> Guarded:
        """The same with a guardian that was launched, and given its order unless that is given here."""
        try:
            reader, writer = await asyncio.open_connection(sock=launched.line)
        except BaseException:
            launched.line.close()
            raise
        guarded = cls(launched.pid, reader, writer)
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await guarded._begin(order)
        except BaseException:
            await guarded.end()
            raise
        return guarded

    async def _begin(self, order: bytes) -> None:
        self._writer.write(order)
        answer = (await self._reader.readline()).decode("utf-8", "replace").strip()
        word, _, rest = answer.partition(" ")
        if word != "started":
            raise OSError(rest or "its guardian ended at once")
        self.pid = int(rest)
        self._ends[self.pid] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())

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
            await end_tree(self._guardian, term_grace_s=0)
        if self._listening is not None:
            await self._listening
        self._writer.close()

    async def _gone(self) -> None:
        """Returns once the guardian has ended, having reaped it. Safe to repeat."""
        if self._gone_by is None:
            self._gone_by = asyncio.create_task(reaped(self._guardian))
        await asyncio.shield(self._gone_by)

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


async def reaped(pid: int) -> None:
    """Waits for a child of ours to end."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:  # somebody else has reaped it
        return
    except (AttributeError, OSError):  # a system without, or no descriptor to be had
        with contextlib.suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, pid, 0)
        return
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
