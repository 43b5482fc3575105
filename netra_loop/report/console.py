"""The two consoles: one of lines, one that is alive."""

from __future__ import annotations

from netra_loop.report.live import LiveConsole
from netra_loop.report.plain import PlainConsole

__all__ = ["LiveConsole", "PlainConsole"]
