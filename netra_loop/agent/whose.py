"""Whose work a thread does: the running test's, or that of a shared fixture or an earlier test which started it.

A thread that runs since before the test works for the test only where the test was seen to hand it something
(`handing`), itself or through another that works for it. A thread that the test starts is its own; what a thread
starts that is none of the test's is none either. While a shared fixture is set up, what its threads do is of the
test that needs it first; what it hands over then is done for that test no longer than that.
"""

from __future__ import annotations

import _thread
import sys
import threading
import weakref
from typing import Any

from . import evidence
from .cuts import cut
from .wire import clean
from .wrapping import Kept

_NAME = 100

_ident, _threads = _thread.get_ident, _thread._count  # noqa: SLF001 - whatever the running test makes of them
watching = False  # whether any thread beside the test's own runs since before it
_here = 0  # the thread that runs the tests
_older = Kept()  # threads that began before the running test: who started each, where that was another of them
_nameless: frozenset[int] = frozenset()  # those that `threading` does not know
_working = Kept()  # threads that were handed something: `now` of when
_given = Kept()  # queues, loops and the like that something was put into: `now` of when
_paused = 0
_test = _now = 0  # the numbers of this test, and of the set-up of a shared fixture within it
_last = 0
_depth = 0  # of shared fixtures that are being set up
_before: set[int] = set()  # threads from before them


def install() -> None:
    """Has each test begin with a look at the threads there are."""
    evidence.begin_with(_begin)


def beside(thread: Any = None, loop: Any = None) -> str | None:
    """The name of the thread (by default the one that asks) where it does not work for the running test.

    `thread` is as `here` gave it: it may have ended. `loop` is the event loop that runs in it, where the one that asks
    cannot be asked for it.
    """
    if not watching:
        return None
    if thread is None:
        thread = here()
    if isinstance(thread, int):
        return f"number {thread}" if thread in _nameless else None
    if thread.ident == _here or thread not in _older or _works(thread) or _runs_given(loop):
        return None
    return cut(clean(str(thread.name)), _NAME)


def here() -> Any:
    """The thread that asks, as `beside` takes it: itself, not its number, which another may have once it ended; that
    where `threading` does not know it.
    """
    ident = _ident()
    return threading._active.get(ident, ident)  # type: ignore[attr-defined] # noqa: SLF001 - current_thread() makes one


def now() -> int:
    """A number for the time of this test, or of what a shared fixture does within it."""
    return _now


def holds(number: int | None) -> bool:
    """Whether what was noted with `now` is of the time that still lasts."""
    return number is not None and number in (_test, _now)


def give(thing: Any) -> None:
    """Something is put into `thing`, for whoever takes it: counts where the test does it, or who works for it."""
    when = _now  # first: what is found of a fixture's set-up is not to count for the test, should that end meanwhile
    if _hands_over() and not holds(_given.get(thing)):
        _given.put(thing, when)


def take(thing: Any) -> None:
    """The thread that asks took something out of `thing`: where the test had put it there, it works for the test."""
    when = _now
    if holds(_given.get(thing)) and beside() is not None:
        _hire(threading._active.get(_ident()), when)  # type: ignore[attr-defined] # noqa: SLF001


def give_to(threads: Any) -> None:
    """Something is handed to one of `threads`: counts as `give` does."""
    when = _now
    if _hands_over():
        for thread in list(threads):
            _hire(thread, when)


def _hire(thread: Any, when: int) -> None:
    if isinstance(thread, threading.Thread) and not holds(_working.get(thread)):
        _working.put(thread, when)


def starts(thread: Any) -> None:
    """The thread that asks is about to start another."""
    if beside() is not None:
        parent = threading._active.get(_ident())  # type: ignore[attr-defined] # noqa: SLF001
        _older.put(thread, None if parent is None else weakref.ref(parent))


def shared(change: int) -> None:
    """1: a fixture that tests share is set up from here on; -1: it is, and the threads it left serve them all."""
    global _before, _depth, _now
    _depth += change
    if (_depth, change) not in ((1, 1), (0, -1)):
        return  # within another
    _now = _next() if change > 0 else _test
    if change > 0:
        _before = {id(thread) for thread in _active()} if _threads() else set()
    elif _threads():
        _note([thread for thread in _active() if id(thread) not in _before])


def pause(change: int) -> None:
    """1: what is handed over from here on is none of the test's doing; -1: it is again."""
    global _paused
    _paused += change


def _next() -> int:
    global _last
    _last += 1
    return _last


def _hands_over() -> bool:
    if not watching or _paused or _ident() not in threading._active:  # type: ignore[attr-defined] # noqa: SLF001
        return False  # one that begins says so to who started it, before `threading` knows it
    return beside() is None


def _begin() -> None:
    global watching, _here, _nameless, _test, _now
    _test = _now = _next()
    _here, watching, _nameless = _ident(), False, frozenset()
    if not _threads() and len(threading._active) < 2:  # type: ignore[attr-defined] # noqa: SLF001
        return
    active = _active()
    _note(active)
    if _threads() > len(active):
        _nameless = frozenset(sys._current_frames()) - set(threading._active)  # type: ignore[attr-defined] # noqa: SLF001
        watching = watching or bool(_nameless)


def _active() -> list[Any]:
    known = threading._active.copy()  # type: ignore[attr-defined] # noqa: SLF001 - one step, whoever starts or ends
    return [thread for ident, thread in known.items() if ident != _here]


def _note(threads: list[Any]) -> None:
    global watching
    for thread in threads:
        if thread not in _older:
            _older.put(thread, None)
    watching = watching or bool(threads)


def _works(thread: Any) -> bool:
    """Whether the test handed it something, or whoever started it."""
    seen = 0
    while thread is not None and seen < _NAME:
        if holds(_working.get(thread)):
            return True
        parent = _older.get(thread)
        thread, seen = None if parent is None else parent(), seen + 1
    return False


def _runs_given(loop: Any) -> bool:
    """Whether the event loop that runs in this thread was handed something."""
    if not _given:
        return False
    if loop is None and (events := sys.modules.get("asyncio.events")) is not None:
        loop = events._get_running_loop()  # noqa: SLF001 - the public one raises where there is none
    if loop is None and (trio := sys.modules.get("trio._core._run")) is not None:
        loop = getattr(getattr(trio.GLOBAL_RUN_CONTEXT, "runner", None), "trio_token", None)
    return loop is not None and holds(_given.get(loop))
