"""Where a tests' process begins: say hello, take the order, hand over to pytest, say how it ended."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import traceback
from typing import Any

from . import observers, private
from .wire import Line, Message


def main(socket_path: str, token: str, ahead: str = "") -> None:
    """Runs one process of the pool to its end; does not return.

    A zygote may be started ahead of its order, to be ready when that comes; `ahead` is then the order's `files`.
    """
    line = Line(socket_path)
    line.send({"is": "hello", "token": token, "pid": os.getpid()})
    if ahead:
        _prepare(ahead)
    order = line.receive()
    if order is None:
        os._exit(0)
    if order["env"] is not None:
        _take_on(order["env"])
    if not ahead:
        private.listen_for_dumps(order["files"])
    if order["role"] == "zygote":
        private.hold_garbage()
    try:
        import pytest

        from .plugin import Plugin

        _pass_for_pytest(pytest.__file__, order["args"])
    except ImportError:
        line.send({"is": "over", "code": 4, "text": traceback.format_exc()})
        os._exit(4)
    if order["evidence"]:
        observers.install()
    plugin = Plugin(line, order)
    code, text = 1, ""
    try:
        code = int(pytest.main(list(order["args"]), plugins=[plugin]))
    except BaseException:  # of a fixture or a plugin, when the session ended
        if not plugin.ran:
            raise  # while it collected: told as the interpreter tells it, with the exit code that was meant
        text = traceback.format_exc()
    _end(plugin, code, text)


def _prepare(files: str) -> None:
    """What is the same for whatever will be collected: nothing of the project's, no plugin."""
    private.listen_for_dumps(files)
    private.hold_garbage()
    with contextlib.suppress(ImportError):  # told when it is tried again, as the answer to the order
        from . import plugin  # noqa: F401


def _take_on(environ: dict[str, str]) -> None:
    """What was not known of the environment when this process was started."""
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _pass_for_pytest(package: str, args: list[str]) -> None:
    """What tests find in `sys.argv` and `__main__`, and what `multiprocessing` runs again in a process it spawns: the
    script `pytest`, or where there is none what `python -m pytest` runs.
    """
    script = os.path.join(os.path.dirname(sys.executable), "pytest")
    if not os.path.isfile(script):
        script = os.path.join(os.path.dirname(package), "__main__.py")
    sys.argv = [script, *args]
    sys.modules["__main__"].__file__ = script


def _end(plugin: Any, code: int, text: str) -> None:
    # A fork comes back out of pytest.main by itself: its session fixtures were torn down on the way. Exit handlers that
    # the zygote registered were forgotten at the fork; what the worker registered itself is due.
    goodbye: Message = {"is": "over", "code": code, "text": text}
    try:
        atexit._run_exitfuncs()  # noqa: SLF001
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except Exception:
        goodbye["text"] += traceback.format_exc()
    with contextlib.suppress(OSError):
        plugin.line.send(goodbye)
    os._exit(0 if plugin.ran else code)
