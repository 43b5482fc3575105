"""Sees the programs that a test starts, and has the forks of its process go on observing.

A program started anew is known by its name and the moment alone: what it does is its own. It may carry on the test's
trace, which `TRACEPARENT` hands it.
"""

from __future__ import annotations

import contextvars
import os
import sys
from typing import Any

from . import evidence, system
from .wire import Real, wall
from .wrapping import quietly, wrap

_told: contextvars.ContextVar[bool] = contextvars.ContextVar("netra_loop_child_told", default=False)
_programs: dict[int, tuple[str, float]] = {}  # by pid: its name and since when, of those that may still run
_started_any = False
_owner = -1  # the process whose children they are
# taken hold of at import: tests may put another file system in place of these
_OPEN, _READ, _CLOSE = os.open, os.read, os.close


def install() -> None:
    """Wraps what `os` offers to start programs, and follows forks."""
    for name in ("posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            wrap(os, name, _starting)
    wrap(os, "system", _running_command)
    for name in ("execv", "execve"):
        wrap(os, name, _becoming)
    evidence.list_with(running)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=evidence.note_fork, after_in_child=_in_fork)


def install_subprocess(module: Any) -> None:
    """`subprocess.Popen`, which carries asyncio's too."""

    def make(original: Any) -> Any:
        def _execute_child(self: Any, args: Any, executable: Any, *more: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            name = quietly(_started_by_popen, args, executable)
            token = _told.set(True)  # it may go on through os.posix_spawn
            try:
                return original(self, args, executable, *more, **kwargs)
            finally:
                _told.reset(token)
                quietly(_runs, getattr(self, "pid", None), name)

        return _execute_child

    wrap(module.Popen, "_execute_child", make)


def install_multiprocessing(module: Any) -> None:
    """Processes of multiprocessing that begin in an interpreter of their own, and the servers that fork them."""
    wrap(module, "spawnv_passfds", _starting)


def install_uvloop(module: Any) -> None:
    """Wraps how uvloop starts programs: on its own."""

    def shell(original: Any) -> Any:
        async def subprocess_shell(self: Any, factory: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            name = quietly(_started_command, command)
            made = await original(self, factory, command, *args, **kwargs)
            quietly(_runs_on_loop, made, name)
            return made

        return subprocess_shell

    def direct(original: Any) -> Any:
        async def subprocess_exec(self: Any, factory: Any, program: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            name = quietly(_started, program)
            made = await original(self, factory, program, *args, **kwargs)
            quietly(_runs_on_loop, made, name)
            return made

        return subprocess_exec

    wrap(module.Loop, "subprocess_shell", shell)
    wrap(module.Loop, "subprocess_exec", direct)


def running() -> list[tuple[str, float]]:
    """The programs that this process started, and that still run: by name, and since when. Programs that one of them
    left behind are among them where orphans become ours.
    """
    if not _started_any or _owner != Real.getpid():
        return []
    alive = system.children() - {_tracker()}
    for pid in [pid for pid in _programs if pid not in alive]:
        del _programs[pid]
    for pid in alive:
        if pid not in _programs:
            _programs[pid] = (_adopted(pid), wall())
    return [(name, at) for pid, (name, at) in _programs.items() if name and not _ended(pid)]


def _tracker() -> int | None:
    # it watches over shared memory for as long as the process lives, and talks to nobody
    module = sys.modules.get("multiprocessing.resource_tracker")
    return getattr(getattr(module, "_resource_tracker", None), "_pid", None)


def _adopted(pid: int) -> str:
    """The name of a program that we did not start ourselves; empty for a fork, which is observed itself."""
    try:
        words, own = (_words(one) for one in (pid, Real.getpid()))
    except OSError:
        return ""
    return "" if words in (own, b"") else os.path.basename(os.fsdecode(words.split(b"\0")[0]))


def _words(pid: int) -> bytes:
    number = _OPEN(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _READ(number, 4096)
    finally:
        _CLOSE(number)


def _ended(pid: int) -> bool:
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except OSError:
        return True


def _runs(pid: Any, name: str | None) -> None:
    if name is not None and isinstance(pid, int) and not _told.get():
        _left_behind()
        _programs[pid] = (name, wall())


def _runs_on_loop(made: Any, name: str | None) -> None:
    _runs(made[0].get_pid(), name)


def _starting(original: Any) -> Any:
    def start(path: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        name = quietly(_started, path)
        pid = original(path, *args, **kwargs)
        quietly(_runs, pid, name)
        return pid

    return start


def _running_command(original: Any) -> Any:
    def run(command: Any) -> Any:
        __tracebackhide__ = True
        quietly(_started_command, command)
        status = original(command)
        quietly(_left_behind)
        return status

    return run


def _left_behind() -> None:
    # a shell that ended may have left a program: it is listed where it became a child of ours
    global _started_any, _owner
    if _owner != Real.getpid():
        _programs.clear()
        _owner = Real.getpid()
    _started_any = True


def _becoming(original: Any) -> Any:
    def execute(path: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if os.path.exists(path):  # else it fails: the search along PATH tries one folder after the other
            quietly(_started, path)
            quietly(evidence.flush)
        return original(path, *args, **kwargs)

    return execute


def _started(program: Any) -> str:
    name = os.path.basename(os.fsdecode(program))
    if not _told.get():
        evidence.child(name)
    return name


def _started_command(command: Any) -> str:
    # the shell is not what was meant: its first word that is no assignment names the program
    words = os.fsdecode(command).split()
    return _started(next((word for word in words if "=" not in word), "sh"))


def _started_by_popen(args: Any, executable: Any) -> str:
    if isinstance(args, (str, bytes)) or hasattr(args, "__fspath__"):
        return _started_command(args) if isinstance(args, (str, bytes)) else _started(args)
    words = list(args)
    if len(words) == 3 and words[1] == "-c" and os.path.basename(os.fsdecode(words[0])) == "sh":
        return _started_command(words[2])
    return _started(executable or words[0])


def _in_fork() -> None:
    evidence.continue_in_fork()
    if evidence.running():
        wrap(os, "_exit", _leaving)  # how forks of Python's own making end: past every other hook


def _leaving(original: Any) -> Any:
    def _exit(status: int) -> Any:
        __tracebackhide__ = True
        quietly(evidence.flush)
        return original(status)

    return _exit
