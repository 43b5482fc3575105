"""Python's collector of circles, held off while much is made at once that hangs together in none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
