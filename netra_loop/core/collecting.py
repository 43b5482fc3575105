"""Python's collector of circles, held off while much is made at once that hangs together in none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW = 20_000  # objects; what a page of log entries comes to is less, and gone before that many are there


def seldom() -> None:
    """For a process that is ours alone: circles are looked for less often than every 700 new objects. Little of what
    we make hangs together in one, and what does keeps some megabytes longer.
    """
    gc.set_threshold(_NEW)


@contextmanager
def uncollected() -> Iterator[None]:
    """Within the block nobody looks through what is made for circles: a page of log entries is thousands of objects,
    each of which would be looked at again and again. For moments without an `await`; may be nested.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
