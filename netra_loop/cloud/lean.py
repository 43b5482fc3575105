"""Google's packages, imported without what they take along only because it happens to be installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TAKEN_ALONG = ("aiohttp",)  # an optional transport of google-auth that nothing here uses: 9 MB and 0.2 s


@contextmanager
def lean_imports() -> Iterator[None]:
    """Within it `google.cloud` is to be imported first. What is left out can be imported as ever afterwards, and what
    was imported before stays.
    """
    # gRPC's own fork handlers are for programs that fork without exec, which we never do, and they chat on stderr.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    absent = [name for name in _TAKEN_ALONG if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
