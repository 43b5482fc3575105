"""One worker seen from outside: what it holds, how it is started, how it ended.

A forked worker is a child of the zygote, a spawned one is our own; once it is up, only `exit_code` tells them apart.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from netra_loop.core.records import CollectedTest
from netra_loop.execution import pool_launch
from netra_loop.execution.base import PoolOptions
from netra_loop.execution.pool_queue import Assignment
from netra_loop.execution.pool_result import Seen
from netra_loop.execution.pool_wire import Channel, Message, Switchboard
from netra_loop.execution.pool_zygote import Gathered, Zygote, order
from netra_loop.processes import ProcessIdentity, end_tree, identify, same

_FORK_LIMIT_S = 30.0
_END_KNOWN_S = 10.0
_FILES = (".log", ".out", ".err", ".stacks")

Index = dict[tuple[str, int], int]


class StartError(Exception):
    """A worker did not come up; the text says what is known."""


def index_of(tests: list[CollectedTest]) -> Index:
    """Where each test stands: by its id, and its number among those of one id."""
    seen: Counter[str] = Counter()
    index: Index = {}
    for position, test in enumerate(tests):
        index[test.id, seen[test.id]] = position
        seen[test.id] += 1
    return index


@dataclass(eq=False)
class Worker:
    """`handle` gets (worker, message) for all it says about tests. `held` was sent to it and not begun yet."""

    name: str
    files: str
    handle: Callable[[Worker, Message], None]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    index: Index = field(default_factory=dict)
    who: ProcessIdentity | None = None
    channel: Channel | None = None
    process: asyncio.subprocess.Process | None = None
    zygote: Zygote | None = None
    current: Assignment | None = None
    started_at: datetime | None = None
    began: float = 0.0
    called: Message | None = None
    seen: Seen = field(default_factory=Seen)
    held: deque[Assignment] = field(default_factory=deque)
    rested: bool = False
    condemned: bool = False
    mean_s: float | None = None
    over: Message | None = None
    ending: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    gathered: Gathered = field(default_factory=Gathered)

    # ----------------------------------------------------------------------------------------- its process's messages

    def joined(self, channel: Channel, pid: int) -> None:
        """See `Guest`."""
        self.channel = channel
        self.who = identify(pid)
        if self.process is not None:
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
        """Has the zygote fork it. Raises StartError or ConnectionError (the zygote is gone)."""
        self.zygote = zygote
        self._prepare(board, options, count)
        asked = zygote.fork(self.token, {**self._order, "is": "fork", "token": self.token, "socket": board.path})
        try:
            pid = await asyncio.wait_for(asked, _FORK_LIMIT_S)
        except TimeoutError:
            raise StartError(f"worker {self.name} was not forked within {_FORK_LIMIT_S:g} s") from None
        ended = zygote.ended(pid)
        if not await self._until_ready(_FORK_LIMIT_S, ended):
            raise StartError(f"worker {self.name} {self._how(ended)} before it was ready\n{self.words()}".rstrip())
        self.who = self.who or identify(pid)

    async def spawn(self, board: Switchboard, options: PoolOptions, count: int, known: list[CollectedTest]) -> None:
        """Starts an interpreter of its own, which collects for itself. Raises StartError."""
        self._prepare(board, options, count)
        try:
            self.process = await pool_launch.start(options, board.path, self.token, Path(self.files + ".log"))
        except OSError as error:
            raise StartError(f"{options.python} could not be started: {error}") from error
        ended = asyncio.ensure_future(self.process.wait())
        try:
            ready = await self._until_ready(options.collect_timeout_s, ended)
        finally:
            ended.cancel()
        if not ready:
            raise StartError(f"worker {self.name} {self._how(ended)} before it was ready\n{self.words()}".rstrip())
        if self.gathered.tests != known:
            self.index = index_of(self.gathered.tests)
        self.gathered = Gathered()

    async def exit_code(self) -> int | None:
        """How it ended, once it has and nothing it started is left; None where nobody can tell."""
        if self.process is not None:
            await end_tree(self.process.pid, term_grace_s=0)
            return await self.process.wait()
        if self.zygote is None or self.who is None:
            return None
        try:
            return await asyncio.wait_for(self.zygote.ended(self.who.pid), _END_KNOWN_S)
        except TimeoutError:
            return None
        finally:
            self.zygote.forget(self.who.pid)

    async def end(self) -> None:
        """Ends it and all it started, at once. Safe to repeat."""
        if self.who is not None and same(self.who):
            await end_tree(self.who.pid, term_grace_s=0)
        elif self.process is not None:
            await end_tree(self.process.pid, term_grace_s=0)

    def interrupt(self) -> None:
        """SIGINT for its whole group, as a terminal's Ctrl-C; it is not to go on with anything after."""
        self.condemned = True
        if self.who is not None and same(self.who):
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
            ("process output", pool_launch.excerpt(Path(self.files + ".log"))),
        )
        return "".join(f"---- {name} ----\n" + text.removesuffix("\n") + "\n" for name, text in parts if text)

    def stacks(self) -> str:
        """What was dumped of its threads, on demand or by a fatal signal."""
        return pool_launch.excerpt(Path(self.files + ".stacks"))

    def tidy(self) -> None:
        """Removes its files."""
        for ending in _FILES:
            Path(self.files + ending).unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------------------- inside

    def _prepare(self, board: Switchboard, options: PoolOptions, count: int) -> None:
        more = {"name": self.name, "count": count, "uid": options.testrun_uid}
        self._order = order(options, "worker", self.files, **more)
        board.expect(self.token, self)

    async def _until_ready(self, limit_s: float, ended: asyncio.Future[int] | asyncio.Future[int | None]) -> bool:
        ready = asyncio.ensure_future(self.ready.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        return self.ready.is_set()

    def _how(self, ended: asyncio.Future[int] | asyncio.Future[int | None]) -> str:
        if not ended.done():
            return "did not answer in time"
        return pool_launch.ending(ended.result())
