"""Twins of the real things, for tests of ours and of anybody's: no database, no cloud, no process, no waiting.

They keep the promises of their Protocols and are used in their place, through the same parameters; nothing is patched.
`MemoryJournal` keeps rows exactly as the store does, and forgets them with the object; `CrashingJournal` kills whoever
uses it at a chosen append; `FakeClock` lets time pass when nobody has anything to do; `FakeCloud` and `FakeRunner` do
as they are told and count what they did.
"""

from netra_loop.testing.clock import FakeClock
from netra_loop.testing.cloud import FakeCloud
from netra_loop.testing.crashing import Crash, CrashingJournal
from netra_loop.testing.memory import MemoryJournal
from netra_loop.testing.runner import Ends, FakeRunner

__all__ = ["Crash", "CrashingJournal", "Ends", "FakeClock", "FakeCloud", "FakeRunner", "MemoryJournal"]
