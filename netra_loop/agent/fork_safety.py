"""Whether this process may be forked: with other threads alive, a fork copies their locks but not them."""

from __future__ import annotations

import os
import threading


def unsafe() -> str | None:
    """The reason why not, None where it is safe."""
    if not hasattr(os, "fork"):
        return "this platform has no fork"
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        return "threads alive after collection: " + ", ".join(sorted(others)[:5])
    try:
        native = len(os.listdir("/proc/self/task"))
    except OSError:
        return None
    if native > 1:
        return f"{native - 1} native threads alive after collection"
    return None
