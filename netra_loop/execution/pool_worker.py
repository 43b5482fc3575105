"""One worker seen from outside: what it holds, how it is started, how it ended.

A forked worker is a child of the zygote, a spawned one is our own; once it is up, only `exit_code` tells them apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any

from netra_loop.cgroups import Group
from netra_loop.core.records import CollectedTest, Sources
from netra_loop.execution import pool_launch
from netra_loop.execution.base import PoolOptions
from netra_loop.execution.gathered import Gathered
from netra_loop.execution.pool_guardian import Guarded
from netra_loop.execution.pool_queue import Assignment
from netra_loop.execution.pool_result import Seen
from netra_loop.execution.pool_spare import AGENT
from netra_loop.execution.pool_spill import Spill
from netra_loop.execution.pool_wire import Channel, Message, Switchboard
from netra_loop.execution.pool_zygote import Zygote, dump_stacks, order
from netra_loop.processes import ProcessIdentity, command, end_tree, identify, same
from netra_loop.values import dataclass

_FORK_LIMIT_S = 30.0
_END_KNOWN_S = 10.0
_WAKE_S = 2.0
_LINGER_S = 2.0  # a process that ends closes its connection a moment before it is gone
_FILES = (".log", ".out", ".err", ".stacks", ".forks", ".page")

Index = dict[str, int]


class StartError(Exception):
    """A worker did not come up; the text says what is known."""


class RefusedError(StartError):
    """The system made no process for it (a limit on processes, or on memory); the zygote and its workers live on."""


def index_of(tests: list[CollectedTest]) -> Index:
    """Where each test stands. Ids are unique: the agent tells tests of one id apart."""
    return {test.id: position for position, test in enumerate(tests)}


@dataclass(eq=False)
class Worker:
    """`handle` gets (worker, message) for all it says about tests. `held` was sent to it and not begun yet."""

    name: str
    files: str
    handle: Callable[[Worker, Message], None]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    index: Index = field(default_factory=dict)
    sources: Sources | None = None
    who: ProcessIdentity | None = None
    channel: Channel | None = None
    process: Guarded | None = None
    zygote: Zygote | None = None
    group: Group | None = None
    astray: str = ""  # what became of a process that let go of its connection and lived on
    log_start: int = 0  # where the running test's own part of the log begins
    current: Assignment | None = None
    started_at: datetime | None = None
    began: float = 0.0
    called: Message | None = None
    seen: Seen = field(default_factory=Seen)
    held: deque[Assignment] = field(default_factory=deque)
    rested: bool = False
    stale: bool = False  # what it was given is renewed by now: it ends what it has
    condemned: bool = False
    mean_s: float | None = None
    over: Message | None = None
    ending: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    gathered: Gathered = field(default_factory=Gathered)

    def __post_init__(self) -> None:
        self._spawned = False
        self._order: Message = {}
        self._log = Spill(self.files + ".log")
        self._captured = (Spill(self.files + ".out"), Spill(self.files + ".err"))

    # ----------------------------------------------------------------------------------------- its process's messages

    def joined(self, channel: Channel, pid: int) -> None:
        """See `Guest`."""
        self.channel = channel
        if self.who is None or self.who.pid != pid:
            self.who = identify(pid)
        if self._spawned:
            channel.send(**self._order)

    def said(self, message: Message) -> None:
        """See `Guest`."""
        kind = message["is"]
        if kind in {"tests", "collected"}:
            self.gathered.take(message)
        elif kind == "ready":
            self.ready.set()
        elif kind == "over":
            self.over = message
        else:
            self.handle(self, message)

    def left(self) -> None:
        """See `Guest`."""
        self.lost.set()

    # --------------------------------------------------------------------------------------------------- its life

    async def fork(self, zygote: Zygote, board: Switchboard, options: PoolOptions, count: int) -> None:
        """Has the zygote fork it. Raises StartError, RefusedError or ConnectionError (the zygote is gone)."""
        self.zygote, self.sources = zygote, zygote.gathered.sources
        self._prepare(board, options, count)
        self.group = zygote.group and zygote.group.child(Path(self.files).name)
        place = self.group and str(self.group.path)
        told = {**self._order, "is": "fork", "token": self.token, "socket": board.path, "group": place}
        try:
            pid = await self._forked(zygote, zygote.fork(self.token, told))
        except BlockingIOError as error:
            raise RefusedError(f"worker {self.name} could not be forked: {error}") from error
        self.who = self.who or identify(pid)
        ended = zygote.ended(pid)
        if not await self._until_ready(_FORK_LIMIT_S, ended):
            raise StartError(f"worker {self.name} {self._how(ended)} before it was ready\n{self.words()}".rstrip())

    async def spawn(
        self,
        board: Switchboard,
        options: PoolOptions,
        count: int,
        known: list[CollectedTest],
        group: Group | None = None,
    ) -> None:
        """Starts an interpreter of its own, which collects for itself, in a group below `group`. Raises StartError."""
        self._prepare(board, options, count)
        self.group = group and group.child(Path(self.files).name)
        self._spawned = True
        log = Path(self.files + ".log")
        try:
            self.process = await pool_launch.start(
                options, board.path, self.token, log, group=self.group, join=self.group
            )
        except OSError as error:
            raise StartError(f"{options.python} could not be started: {error}") from error
        ended = self.process.ended(self.process.pid)
        if not await self._until_ready(options.collect_timeout_s, ended):
            stacks = "" if ended.done() or self.who is None else await dump_stacks(self.who, self.stacks_file)
            how = self._how(ended)
            raise StartError(f"worker {self.name} {how} before it was ready\n{stacks}{self.words()}".rstrip())
        if self.gathered.tests != known:
            self.index = index_of(self.gathered.tests)
        self.sources = self.gathered.sources
        self.gathered = Gathered()

    async def exit_code(self) -> int | None:
        """How it ended, once it has and nothing it started is left; None where nobody can tell.

        Asked when its connection is gone: a process that lives on without one is ended, `astray` then says so.
        """
        ended = self._ended()
        if ended is None:
            return None
        if await _within(ended, _LINGER_S) is None and self.who is not None:
            if same(self.who):
                self.astray = self.astray or _what_became(self.who.pid)
                await self.end()
            elif self.zygote is not None:
                self.zygote.wake()
        code = await _within(ended, _END_KNOWN_S)
        if self.process is not None:
            await self.process.end()
        elif self.zygote is not None and self.who is not None:
            self.zygote.forget(self.who.pid)
        if self.group is not None:
            await self.group.end()
        return code

    async def end(self) -> None:
        """Ends it and all it started, at once. Safe to repeat."""
        if self.process is not None:
            await self.process.end()
        if self.group is not None:
            await self.group.end()
        if self.who is not None and same(self.who):
            await end_tree(self.who.pid, term_grace_s=0)

    def interrupt(self) -> None:
        """SIGINT for its whole group, as a terminal's Ctrl-C; it is not to go on with anything after."""
        self.condemned = True
        if self.who is not None and same(self.who):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended at this very moment
                os.killpg(self.who.pid, signal.SIGINT)
        if self.channel is not None:
            self.channel.send(**{"is": "quit"})

    def send(self, **message: object) -> None:
        """Sends it a message."""
        if self.channel is not None:
            self.channel.send(**message)

    # ------------------------------------------------------------------------------------------------ what it left

    def words(self) -> str:
        """What it printed and pytest had not reported yet, and what went past pytest."""
        parts = (
            ("Captured stdout", pool_launch.excerpt(Path(self.files + ".out"))),
            ("Captured stderr", pool_launch.excerpt(Path(self.files + ".err"))),
            ("process output", pool_launch.excerpt(Path(self.files + ".log"), start=self.log_start)),
        )
        return "".join(f"---- {name} ----\n" + text.removesuffix("\n") + "\n" for name, text in parts if text)

    def stacks(self) -> str:
        """What was dumped of its threads, on demand or by a fatal signal."""
        return pool_launch.excerpt(self.stacks_file)

    @property
    def orphaned(self) -> bool:
        """Whether it is given nothing more: its zygote is dead, or another has taken its place. It ends what it has,
        and the next one is forked of a zygote that lives.
        """
        return self.stale or (self.zygote is not None and self.zygote.lost.is_set())

    @property
    def stacks_file(self) -> Path:
        """Where that is written."""
        return Path(self.files + ".stacks")

    def look(self) -> None:
        """Takes up what its test told without a message: for a test that will not tell more."""
        self.called = self.seen.read_page() or self.called

    def trim(self) -> None:
        """Gives back the disk that a flood of output took. Call often."""
        self._log.trim(self.log_start)
        for spill in self._captured:
            spill.trim()

    def tidy(self) -> None:
        """Removes its files."""
        for ending in _FILES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.files + ending)  # noqa: PTH108 - hundreds at one moment, each a quarter of Path's time

    # ------------------------------------------------------------------------------------------------------- inside

    def _prepare(self, board: Switchboard, options: PoolOptions, count: int) -> None:
        more = {"name": self.name, "count": options.first + count, "uid": options.testrun_uid}
        self._order = order(options, "worker", self.files, **more)
        board.expect(self.token, self)

    async def _forked(self, zygote: Zygote, asked: asyncio.Future[int]) -> int:
        """The pid. A zygote that a test has stopped is woken, one that does not answer at all is ended."""
        for limit_s, remedy in ((_WAKE_S, zygote.wake), (_FORK_LIMIT_S, zygote.kill)):
            await asyncio.wait({asked}, timeout=limit_s)
            if asked.done():
                return asked.result()
            remedy()
        raise ConnectionError(f"the zygote did not fork within {_FORK_LIMIT_S:g} s, and was ended")

    def _ended(self) -> asyncio.Future[int | None] | None:
        if self.process is not None:
            return self.process.ended(self.process.pid)
        if self.zygote is None or self.who is None:
            return None
        return self.zygote.ended(self.who.pid)

    async def _until_ready(self, limit_s: float, ended: asyncio.Future[int | None]) -> bool:
        ready = asyncio.ensure_future(self.ready.wait())
        ends: set[asyncio.Future[Any]] = {ready, ended}
        try:
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        return self.ready.is_set()

    def _how(self, ended: asyncio.Future[int | None]) -> str:
        if not ended.done():
            return "did not answer in time"
        return pool_launch.ending(ended.result())


async def _within(ended: asyncio.Future[int | None], limit_s: float) -> int | None:
    await asyncio.wait({ended}, timeout=limit_s)
    return ended.result() if ended.done() else None


def _what_became(pid: int) -> str:
    words = command(pid)
    if words and AGENT not in words:
        return f"its process became another program: {' '.join(words)[:200]!r}"
    return "its process closed the connection that it reports through"
