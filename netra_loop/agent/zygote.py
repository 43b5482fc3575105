"""The process that collected once: forks a worker for each command, tells how each ended, keeps no orphan alive.

A fork takes milliseconds and shares all that was imported. The zygote and every worker are subreapers: while a worker
lives, nothing it started can leave it; once it is dead, what it left is killed here before its end is told: by its
cgroup where it has one, and as the children that orphans become. Workers outlive a zygote that a test killed; its
guardian has them then.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from typing import Any

from . import private, system
from .wire import Line, Message, monotonic
from .worker import Worker

_SWEEP_LIMIT_S = 5.0
_PAUSE_S = 0.001
_AGAIN_MS = 100
_IN_A_ROW = 4  # forks between two looks around: after each fork, every page that is written to is copied anew
_LIVES = -1 << 16  # stands for the code of a worker that has not ended


class Zygote:
    """Serves one orchestrator until it says quit or goes away."""

    def __init__(self, line: Line, session: Any) -> None:
        self._line = line
        self._session = session
        self._workers: dict[int, int] = {}  # pid and its handle (pidfd), -1 where the system gives none
        self._pids: dict[int, int] = {}  # the same the other way round
        self._blind: set[int] = set()  # those without a handle
        self._due: set[int] = set()  # those that may have ended
        self._poll = select.poll()
        self._poll.register(line.fileno(), select.POLLIN)
        self._groups: dict[int, str] = {}
        self._news: list[Message] = []  # of forks, not told yet
        self._unswept = False
        self._kept = system.children()  # what conftest files started stays

    def serve(self) -> Worker | None:
        """None when told to quit; in each fork, the worker it is to be."""
        system.adopt_orphans()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a group's SIGINT is for tests
        self._basetemp()
        self._worker = Worker(self._session)
        private.release_garbage()
        gc.freeze()  # a fork's collector leaves alone what it inherits: no page is copied, none looked through again
        try:
            while True:
                for _ in range(_IN_A_ROW if self._ready() else 0):
                    message = self._line.receive()
                    if message is None or message["is"] == "quit":
                        self._end_all()
                        return None
                    worker = self._fork(message)
                    if worker is not None:
                        return worker
                    if not self._line.buffered():
                        break
                self._tell()
                self._reap()
        finally:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)

    def _ready(self) -> bool:
        """Whether there is a message. Waits for one, or for a worker's end."""
        buffered = self._line.buffered()
        again = _AGAIN_MS if self._blind or self._unswept else None
        ready = {handle for handle, _ in self._poll.poll(0 if buffered else again)}
        self._due = self._blind | {self._pids[handle] for handle in ready if handle in self._pids}
        return buffered or self._line.fileno() in ready

    def _fork(self, order: Message) -> Worker | None:
        group = order.get("group")
        try:
            pid = os.fork()
        except OSError as error:  # a limit on processes, or on memory: those that run go on, and make room as they end
            self._news.append({"is": "refused", "token": order["token"], "text": str(error)})
            return None
        if pid == 0:
            system.join(group)
            os.setsid()
            system.adopt_orphans()
            self._line.close()
            for handle in self._workers.values():
                if handle >= 0:
                    os.close(handle)
            self._worker.become(Line(order["socket"]), order, forked=True)
            return self._worker
        try:
            handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        except OSError:
            handle = -1
        self._workers[pid] = handle
        if handle >= 0:
            self._pids[handle] = pid
            self._poll.register(handle, select.POLLIN)
        else:
            self._blind.add(pid)
        if group is not None:
            self._groups[pid] = group
        self._news.append({"is": "forked", "token": order["token"], "pid": pid})
        return None

    def _tell(self) -> None:
        if self._news:
            news, self._news = self._news, []
            self._line.send(*news)

    def _reap(self) -> None:
        ended = []
        for pid in self._due:
            code = _ended(pid)
            if code is _LIVES:
                continue
            self._let_go(pid)
            system.kill_group(self._groups.pop(pid, None))
            ended.append((pid, code))
        if ended or self._unswept:
            self._sweep()
        for pid, code in ended:
            self._line.send({"is": "gone", "pid": pid, "code": code})

    def _sweep(self) -> None:
        """Kills orphans and what they leave in turn. Those that take longer are come back to."""
        end = monotonic() + _SWEEP_LIMIT_S
        self._unswept = True
        while monotonic() < end:
            orphans = system.children() - set(self._workers) - self._kept
            if not orphans:
                self._unswept = False
                return
            ended = [self._end_orphan(pid) for pid in orphans]
            if not any(ended):
                select.select((), (), (), _PAUSE_S)

    def _end_orphan(self, pid: int) -> bool:
        """Whether it is gone now."""
        try:
            os.kill(pid, signal.SIGKILL)
            return os.waitpid(pid, os.WNOHANG)[0] != 0
        except (ProcessLookupError, ChildProcessError, PermissionError):
            self._kept.add(pid)
            return True

    def _end_all(self) -> None:
        for pid in list(self._workers):
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self._let_go(pid)
            system.kill_group(self._groups.pop(pid, None))
        self._sweep()

    def _let_go(self, pid: int) -> None:
        self._blind.discard(pid)
        handle = self._workers.pop(pid)
        if handle >= 0:
            del self._pids[handle]
            self._poll.unregister(handle)
            os.close(handle)

    def _basetemp(self) -> None:
        # made before the first fork, so that all workers' folders lie in one, as with pytest-xdist
        factory = getattr(self._session.config, "_tmp_path_factory", None)
        try:
            if factory is not None:
                factory.getbasetemp()
        except (AttributeError, OSError):
            pass  # a pytest of another make; or a disk, or a folder of another user's, that tests will tell of


def _ended(pid: int) -> int | None:
    """The exit code of a child, a signal's number negated; None where the system keeps none, `_LIVES` while it runs."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else has waited for it: a conftest that ignores SIGCHLD, a thread of one
        return None
    if found == 0:
        return _LIVES
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
