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


def main(socket_path: str, token: str) -> None:
    """Runs one process of the pool to its end; does not return."""
    line = Line(socket_path)
    line.send({"is": "hello", "token": token, "pid": os.getpid()})
    order = line.receive()
    if order is None:
        os._exit(0)
    private.listen_for_dumps(order["files"])
    sys.argv = [os.path.join(os.path.dirname(sys.executable), "pytest"), *order["args"]]
    try:
        import pytest

        from .plugin import Plugin
    except ImportError:
        line.send({"is": "over", "code": 4, "text": traceback.format_exc()})
        os._exit(4)
    if order["evidence"]:
        observers.install()
    plugin = Plugin(line, order)
    code = pytest.main(list(order["args"]), plugins=[plugin])
    _end(plugin, int(code))


def _end(plugin: Any, code: int) -> None:
    # A fork comes back out of pytest.main by itself: its session fixtures were torn down on the way. Exit handlers that
    # the zygote registered were forgotten at the fork; what the worker registered itself is due.
    goodbye: Message = {"is": "over", "code": code, "text": ""}
    try:
        atexit._run_exitfuncs()  # noqa: SLF001
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except Exception:
        goodbye["text"] = traceback.format_exc()
    with contextlib.suppress(OSError):
        plugin.line.send(goodbye)
    os._exit(0 if plugin.ran else code)
