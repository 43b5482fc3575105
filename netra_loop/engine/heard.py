"""Signals that ask this process to end, heard from its first moment to its last.

Handlers of Python's own, not an event loop's: those come with the loop, and once they are taken off again a signal
means what it means to any process, its end. What is heard is kept until somebody has an answer to it. Imports next to
nothing, since it is there before everything else.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_S = 0.2  # a terminal and a wrapper in it may pass the same Ctrl-C on, each of them


class Ears:
    """Hears SIGINT, SIGTERM and SIGHUP. Whoever can answer says how it is to be told (`tell`), and looks at `first`; a
    second signal ends everything at once. The same one twice within 0.2 s is one.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._at = 0.0
        self.told: Callable[[], None] | None = None
        self._kill: Callable[[], None] = _quit
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def open(self) -> bool:
        """Whether it hears anything."""
        return bool(self._before)

    def listen(self) -> None:
        """Begins. A SIGHUP that whoever started us ignores (`nohup`) goes on being ignored. Safe to repeat."""
        for kind in KINDS:
            ignored = kind is signal.SIGHUP and signal.getsignal(kind) is signal.SIG_IGN
            if kind not in self._before and not ignored:
                self._before[kind] = signal.signal(kind, self._received)

    def close(self) -> None:
        """Signals mean what they meant before `listen`, and what was heard is forgotten."""
        while self._before:
            signal.signal(*self._before.popitem())
        self.first, self.told, self._kill = None, None, _quit

    def tell(self, told: Callable[[], None] | None, kill: Callable[[], None] | None = None) -> None:
        """From now on `told` is called once the first signal is there, between any two steps of the main thread: it may
        do no more than wake an event loop. None: nobody has an answer any more, and a single signal changes nothing.
        `kill` is what a second one does; it does not return.
        """
        self.told, self._kill = told, kill or self._kill

    def _received(self, number: int, _frame: FrameType | None) -> None:
        kind, now = signal.Signals(number), time.monotonic()
        if self.first is None:
            self.first, self._at = kind, now
            if self.told is None:
                _say(f"{kind.name}: heard\n")
            else:
                self.told()
        elif kind is not self.first or now - self._at > _SAME_S:
            self._kill()


def _say(text: str) -> None:
    """Past Python's own streams, which may be in the middle of a line."""
    try:
        os.write(2, text.encode())
    except OSError:  # nobody reads it
        return


def _quit() -> None:
    os._exit(130)


EARS = Ears()
"""This process's, closed until somebody listens."""
