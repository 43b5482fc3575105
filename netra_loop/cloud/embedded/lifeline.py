"""The server's tie to its owner: a pipe that ends when the owner does, however it does.

The owner may write a number before it closes the pipe: the seconds that instances have between SIGTERM and SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time

_ABRUPT_GRACE_S = 1.0
_OVERTIME_S = 3.0


class Ending:
    """Whether the server was asked to end, and how long its instances then have. The first asking counts."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.grace_s = _ABRUPT_GRACE_S

    def ask(self, grace_s: float) -> None:
        """Asks it to end."""
        if not self.asked.is_set():
            self.grace_s = grace_s
            self.asked.set()


def watch_lifeline(descriptor: int, ending: Ending) -> None:
    """Asks for the end when the pipe ends. A thread does it, which also ends the process where its loop hangs: the
    instances are tied to it and go, too."""
    os.set_inheritable(descriptor, False)
    loop = asyncio.get_running_loop()

    def watch() -> None:
        said = b""
        while data := os.read(descriptor, 64):
            said += data
        grace_s = _grace_of(said)
        loop.call_soon_threadsafe(ending.ask, grace_s)
        time.sleep(grace_s + _OVERTIME_S)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _grace_of(said: bytes) -> float:
    try:
        return min(10.0, max(0.0, float(said)))
    except ValueError:
        return _ABRUPT_GRACE_S
