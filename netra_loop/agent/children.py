"""Sees the programs that a test starts, and has the forks of its process go on observing.

A program started anew is known by its name and the moment alone: what it does is its own. It may carry on the test's
trace, which `TRACEPARENT` hands it.
"""

from __future__ import annotations

import contextvars
import os
from typing import Any

from . import evidence
from .wrapping import quietly, wrap

_told: contextvars.ContextVar[bool] = contextvars.ContextVar("netra_loop_child_told", default=False)


def install() -> None:
    """Wraps what `os` offers to start programs, and follows forks."""
    for name in ("posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            wrap(os, name, _starting)
    wrap(os, "system", _running_command)
    for name in ("execv", "execve"):
        wrap(os, name, _becoming)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=evidence.note_fork, after_in_child=_in_fork)


def install_subprocess(module: Any) -> None:
    """`subprocess.Popen`, which carries asyncio's too."""

    def make(original: Any) -> Any:
        def _execute_child(self: Any, args: Any, executable: Any, *more: Any, **kwargs: Any) -> Any:
            quietly(_started_by_popen, args, executable)
            token = _told.set(True)  # it may go on through os.posix_spawn
            try:
                return original(self, args, executable, *more, **kwargs)
            finally:
                _told.reset(token)

        return _execute_child

    wrap(module.Popen, "_execute_child", make)


def install_multiprocessing(module: Any) -> None:
    """Processes of multiprocessing that begin in an interpreter of their own, and the servers that fork them."""
    wrap(module, "spawnv_passfds", _starting)


def install_uvloop(module: Any) -> None:
    """Wraps how uvloop starts programs: on its own."""

    def shell(original: Any) -> Any:
        async def subprocess_shell(self: Any, factory: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            quietly(_started_command, command)
            return await original(self, factory, command, *args, **kwargs)

        return subprocess_shell

    def direct(original: Any) -> Any:
        async def subprocess_exec(self: Any, factory: Any, program: Any, *args: Any, **kwargs: Any) -> Any:
            quietly(_started, program)
            return await original(self, factory, program, *args, **kwargs)

        return subprocess_exec

    wrap(module.Loop, "subprocess_shell", shell)
    wrap(module.Loop, "subprocess_exec", direct)


def _starting(original: Any) -> Any:
    def start(path: Any, *args: Any, **kwargs: Any) -> Any:
        quietly(_started, path)
        return original(path, *args, **kwargs)

    return start


def _running_command(original: Any) -> Any:
    def system(command: Any) -> Any:
        quietly(_started_command, command)
        return original(command)

    return system


def _becoming(original: Any) -> Any:
    def execute(path: Any, *args: Any, **kwargs: Any) -> Any:
        if os.path.exists(path):  # else it fails: the search along PATH tries one folder after the other
            quietly(_started, path)
            quietly(evidence.flush)
        return original(path, *args, **kwargs)

    return execute


def _started(program: Any) -> None:
    if not _told.get():
        evidence.child(os.path.basename(os.fsdecode(program)))


def _started_command(command: Any) -> None:
    # the shell is not what was meant: its first word that is no assignment names the program
    words = os.fsdecode(command).split()
    _started(next((word for word in words if "=" not in word), "sh"))


def _started_by_popen(args: Any, executable: Any) -> None:
    if isinstance(args, (str, bytes)) or hasattr(args, "__fspath__"):
        _started_command(args) if isinstance(args, (str, bytes)) else _started(args)
        return
    words = list(args)
    if len(words) == 3 and words[1] == "-c" and os.path.basename(os.fsdecode(words[0])) == "sh":
        _started_command(words[2])
    else:
        _started(executable or words[0])


def _in_fork() -> None:
    evidence.continue_in_fork()
    if evidence.running():
        os._exit = _leaving(os._exit)  # how forks of Python's own making end: past every other hook


def _leaving(original: Any) -> Any:
    def _exit(status: int) -> Any:
        quietly(evidence.flush)
        return original(status)

    return _exit
