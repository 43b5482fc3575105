"""The zygote seen from outside: starts it, takes its collection, has it fork, knows when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netra_loop.cgroups import Group
from netra_loop.execution import pool_launch
from netra_loop.execution.options import PoolOptions
from netra_loop.execution.pool_guardian import Guarded
from netra_loop.execution.pool_spill import Spill
from netra_loop.execution.pool_wire import Channel, Message, Switchboard
from netra_loop.processes import ProcessIdentity, identify, send, stopped

if TYPE_CHECKING:  # once it has been started there is time for what is made of its answers
    from netra_loop.execution.base import Collection
    from netra_loop.execution.gathered import Gathered
    from netra_loop.execution.pool_begun import Begun

_STACKS_S = 0.5
_TRIM_S = 0.1
_QUIT_S = 5.0
_TELLING = re.compile(r"(?:E\s+)?(?:ERROR\b|\w*(?:Error|Exception)\b)")  # the line of a report that says why


class Zygote:
    """One interpreter that collects. Its end is told by `lost`; the ends of its forks by `ended`.

    One that was begun before all of its options are known is taken by `adopt`; they are settled by `settle`, and only
    then is anything of the project's imported.
    """

    def __init__(self, options: PoolOptions, board: Switchboard, scratch: Path, group: Group | None = None) -> None:
        self._options = options
        self._board = board
        self._token = os.urandom(16).hex()
        self._files = str(scratch / f"zygote-{self._token[:8]}")
        self.group = None if group is None else group.child(f"zygote-{self._token[:8]}")
        self._process: Guarded | None = None
        self._early = False  # started before its options were settled
        self._settled = True
        self._who: ProcessIdentity | None = None
        self._channel: Channel | None = None
        self._complete = asyncio.Event()
        self._over: Message | None = None
        self._pids: dict[str, asyncio.Future[int]] = {}
        self._ends: dict[int, asyncio.Future[int | None]] = {}
        self.lost = asyncio.Event()

    @cached_property
    def gathered(self) -> Gathered:
        """What it has told of its collection so far."""
        from netra_loop.execution.gathered import Gathered

        return Gathered()

    # ------------------------------------------------------------------------------------------- what it is asked

    async def start(self) -> None:
        """Starts the interpreter. Raises OSError."""
        self._board.expect(self._token, self)
        try:
            self._process = await pool_launch.start(
                self._options,
                self._board.path,
                self._token,
                Path(self._files + ".log"),
                group=self.group,
                join=self.group and self.group.child("zygote"),
                heirs=True,
            )
        except OSError:
            self._board.forget(self._token)
            raise

    async def adopt(self, begun: Begun) -> None:
        """Takes an interpreter that was begun early: it has imported pytest, and waits for `settle`. Raises OSError
        where it could not be started.
        """
        self._token, self._files, self.group = begun.token, begun.files, begun.own_group
        self._early, self._settled = True, False
        self._board.expect(self._token, self)
        try:
            self._process = await Guarded.of(begun.guardian)
        except OSError:
            self._board.forget(self._token)
            raise

    def settle(self, options: PoolOptions) -> None:
        """What it is to collect, once that is known; it must have been started early, for such options."""
        self._options, self._settled = options, True
        if self._channel is not None:
            self._order(self._channel)

    async def collect(self) -> Collection:
        """Waits for its collection, having started it where that was not done before; whatever goes wrong is in
        `fatal`, and the process is ended then.
        """
        from netra_loop.execution.base import Collection

        log = Path(self._files + ".log")
        try:
            if self._process is None:
                await self.start()
        except OSError as error:
            return Collection((), fatal=f"{self._options.python} could not be started in {self._options.root}: {error}")
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        complete = asyncio.create_task(self._complete.wait())
        trimming = asyncio.create_task(self._trim())
        try:
            await asyncio.wait(
                {ended, complete},
                timeout=self._options.collect_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if complete.done():
                return self.gathered.collection()
            fatal = await self._why_not(log, ended)
        finally:
            ended.cancel()
            complete.cancel()
            trimming.cancel()
        await self.end(quit_s=0)
        return Collection((), self.gathered.errors, fatal=fatal)

    def fork(self, token: str, order: Message) -> asyncio.Future[int]:
        """Asks for a worker; the future brings its pid, ConnectionError where the zygote goes away first,
        BlockingIOError where the system makes no more processes.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._channel is None or self.lost.is_set():
            future.set_exception(ConnectionError("the zygote is gone"))
            return future
        self._pids[token] = future
        self._channel.send(**order)
        return future

    def ended(self, pid: int) -> asyncio.Future[int | None]:
        """How fork `pid` ended: its exit code, a signal's number negated, or None where nobody can tell any more."""
        future = self._ends.get(pid)
        if future is None:
            future = self._ends[pid] = asyncio.get_running_loop().create_future()
            if self.lost.is_set():
                self._inherit(pid, future)
        return future

    def wake(self) -> None:
        """Lets it go on, and its guardian, where a test has stopped it."""
        if self._who is not None and hasattr(signal, "SIGCONT"):
            send(self._who, signal.SIGCONT)
        if self._process is not None:
            self._process.wake()

    def kill(self) -> None:
        """Ends it alone; its forks live on under its guardian. For one that does not answer."""
        if self._who is not None:
            send(self._who, signal.SIGKILL)

    async def end(self, quit_s: float = _QUIT_S) -> None:
        """Lets it finish its session within `quit_s` seconds, then ends it and all it started. Safe to repeat."""
        process, self._process = self._process, None
        if process is None:
            return
        if quit_s and self._channel is not None and not self.lost.is_set():
            self._channel.send(**{"is": "quit"})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), quit_s)
        await process.end()
        self._board.forget(self._token)
        for ending in (".log", ".out", ".err", ".stacks"):
            Path(self._files + ending).unlink(missing_ok=True)  # noqa: ASYNC240 - a local file of ours

    # --------------------------------------------------------------------------------------------- what it tells us

    def joined(self, channel: Channel, pid: int) -> None:
        """See `Guest`."""
        self._who = identify(pid)
        self._channel = channel
        if self._settled:
            self._order(channel)

    def _order(self, channel: Channel) -> None:
        env = dict(self._options.env) if self._early else None
        channel.send(**order(self._options, "zygote", self._files, env=env))

    def said(self, message: Message) -> None:
        """See `Guest`."""
        kind = message["is"]
        if kind == "forked":
            future = self._pids.pop(message["token"], None)
            if future is not None and not future.done():
                future.set_result(message["pid"])
        elif kind == "refused":
            future = self._pids.pop(message["token"], None)
            if future is not None and not future.done():
                future.set_exception(BlockingIOError(message["text"]))
        elif kind == "gone":
            ended = self.ended(message["pid"])
            if not ended.done():
                ended.set_result(message["code"])
        elif kind == "over":
            self._over = message
        elif self.gathered.take(message):
            self._complete.set()

    def left(self) -> None:
        """See `Guest`."""
        self.lost.set()
        for asked in self._pids.values():
            if not asked.done():
                asked.set_exception(ConnectionError("the zygote is gone"))
        for pid, end in self._ends.items():
            self._inherit(pid, end)

    def forget(self, pid: int) -> None:
        """Nobody asks for the end of `pid` any more."""
        self._ends.pop(pid, None)

    # ------------------------------------------------------------------------------------------------------- inside

    async def _trim(self) -> None:
        spills = [Spill(self._files + ending) for ending in (".log", ".out", ".err")]
        while True:
            for spill in spills:
                spill.trim()
            await asyncio.sleep(_TRIM_S)

    def _inherit(self, pid: int, end: asyncio.Future[int | None]) -> None:
        """Once it is gone, its guardian has its forks and tells of their ends."""

        def pass_on(told: asyncio.Future[int | None]) -> None:
            if not end.done():
                end.set_result(told.result())

        if self._process is not None:
            self._process.ended(pid).add_done_callback(pass_on)
        elif not end.done():
            end.set_result(None)

    async def _why_not(self, log: Path, ended: asyncio.Task[int | None]) -> str:
        if not ended.done():
            still = self._who is not None and stopped(self._who)  # before a signal for its stacks wakes it up
            stacks = "" if self._who is None else await dump_stacks(self._who, Path(self._files + ".stacks"))
            return _overdue(self._options.collect_timeout_s, stacks, still=still)
        words = (self._over or {}).get("text") or pool_launch.excerpt(log)
        if ended.result() is None and self._over is None:
            unguarded = "pytest was ended before its collection was complete: its guardian was killed from outside"
            return f"{unguarded}\n{words}".rstrip()
        told = next((line.strip() for line in reversed(words.splitlines()) if _TELLING.match(line.strip())), "")
        why = f": {told}" if told else ""
        how = pool_launch.ending(ended.result())
        return f"pytest {how} before its collection was complete{why}\n{words}".rstrip()


def order(options: PoolOptions, role: str, files: str, **more: Any) -> Message:
    """What a process that said hello is told."""
    args = [*options.args, *options.paths]
    told = {"is": "begin", "role": role, "args": args, "evidence": options.evidence, "files": files, "env": None}
    return {**told, **more}


async def dump_stacks(who: ProcessIdentity, file: Path) -> str:
    """All threads' stacks of a process of ours, written by itself; empty where it does not within half a second."""
    frozen = stopped(who)
    if not send(who, pool_launch.DUMP_SIGNAL):
        return ""
    if frozen:  # it cannot write; once woken, that is the first thing it does
        send(who, signal.SIGCONT)
    loop = asyncio.get_running_loop()
    end = loop.time() + _STACKS_S
    size = 0
    while loop.time() < end:
        await asyncio.sleep(0.03)
        now = _size(file)
        if now and now == size:
            break
        size = now
    return pool_launch.excerpt(file)


def _overdue(limit_s: float, stacks: str, *, still: bool) -> str:
    """Why a collection that was given so many seconds is none; its first line says it by itself."""
    where = "; its process stood still, stopped by a signal" if still else ""
    said = f"collection did not end within {limit_s:g} s{where}"
    if not stacks.strip():
        return f"{said}; no stacks could be had of its process"
    return f"{said}\nstacks:\n{stacks}".rstrip()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
