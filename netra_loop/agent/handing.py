"""Sees work being handed from thread to thread, so that what an older thread does for a test counts for it (`whose`).

Executors, event loops, `multiprocessing.pool.ThreadPool` and trio's thread cache say whom they hand it to. Of queues,
events, semaphores and conditions it is known once somebody takes what the test had put there. Not seen: what goes by
way of a lock, a `queue.SimpleQueue`, a pipe or a variable that the other thread looks at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import whose
from .wrapping import quietly, wrap

_OWN = ("queue", "threading")  # who notifies on a condition of a queue's or an event's: they are looked at themselves


def install_threading(module: Any) -> None:
    """Threads that start, and what they wait for."""
    wrap(module.Thread, "start", _starting)
    wrap(module.Event, "set", _giving)
    wrap(module.Event, "wait", _taking)
    wrap(module.Event, "is_set", _taking)
    for kind in (module.Semaphore, module.BoundedSemaphore):
        wrap(kind, "release", _giving)
    wrap(module.Semaphore, "acquire", _taking)
    wrap(module.Condition, "notify", _notifying)
    wrap(module.Condition, "notify_all", _notifying)
    wrap(module.Condition, "wait", _taking)


def install_queue(module: Any) -> None:
    """Queues, but for the simple one."""
    wrap(module.Queue, "put", _giving)
    wrap(module.Queue, "get", _getting)


def install_executor(module: Any) -> None:
    """`ThreadPoolExecutor`, through which `asyncio.to_thread` and `run_in_executor` go, too."""

    def submitting(original: Any) -> Any:
        def submit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if whose.watching:
                quietly(whose.give_to, self._threads)
            return original(self, *args, **kwargs)

        return submit

    wrap(module.ThreadPoolExecutor, "submit", submitting)


def install_pool(module: Any) -> None:
    """Pools of threads of multiprocessing: whoever hands them something asks first whether they run."""

    def asking(original: Any) -> Any:
        def _check_running(self: Any) -> Any:
            __tracebackhide__ = True
            if whose.watching:
                quietly(whose.give_to, self._pool)
            return original(self)

        return _check_running

    wrap(module.Pool, "_check_running", asking)


def install_loop(kind: Any) -> None:
    """A kind of event loops: what comes to them from other threads."""
    wrap(kind, "call_soon_threadsafe", _calling_soon)


def install_trio_token(module: Any) -> None:
    """Trio's loop, likewise."""
    wrap(module.TrioToken, "run_sync_soon", _giving)


def install_trio_threads(module: Any) -> None:
    """The threads that trio keeps for the next one who needs one."""

    def starting(original: Any) -> Any:
        def start_thread_soon(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if whose.watching:
                quietly(_next_of_trio, self._idle_workers)
            return original(self, *args, **kwargs)

        return start_thread_soon

    wrap(module.ThreadCache, "start_thread_soon", starting)


def _next_of_trio(idle: Any) -> None:
    whose.give_to(worker._thread for worker in [*idle][-1:])  # noqa: SLF001 - nobody else knows


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any) -> Any:
        __tracebackhide__ = True
        if whose.watching:
            quietly(whose.starts, self)
        return original(self)

    return start


def _giving(original: Callable[..., Any]) -> Callable[..., Any]:
    def give(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if whose.watching:
            quietly(whose.give, self)
        return original(self, *args, **kwargs)

    return give


def _calling_soon(original: Callable[..., Any]) -> Callable[..., Any]:
    def call_soon_threadsafe(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if whose.watching:
            quietly(whose.give, self)
        handle = original(self, *args, **kwargs)
        made_at = getattr(handle, "_source_traceback", None)  # in debug mode: of whoever called us
        if made_at and made_at[-1].filename == __file__:
            del made_at[-1]
        return handle

    return call_soon_threadsafe


def _notifying(original: Callable[..., Any]) -> Callable[..., Any]:
    def notify(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if whose.watching:
            caller = sys._getframe().f_back  # noqa: SLF001 - None where a thread begins with it
            if caller is None or caller.f_globals.get("__name__") not in _OWN:
                quietly(whose.give, self)
        return original(self, *args, **kwargs)

    return notify


def _taking(original: Callable[..., Any]) -> Callable[..., Any]:
    def take(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = original(self, *args, **kwargs)
        if result and whose.watching:
            quietly(whose.take, self)
        return result

    return take


def _getting(original: Callable[..., Any]) -> Callable[..., Any]:
    def get(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = original(self, *args, **kwargs)
        if whose.watching:
            quietly(whose.take, self)
        return result

    return get
