"""Startup probes: has the container come up?"""

from __future__ import annotations

import asyncio
import time

from netra_loop.values import dataclass

_REFUSED_PAUSE_S = 0.05
_ANSWERED_PAUSE_S = 0.25


@dataclass(frozen=True)
class ProbePlan:
    """`path` None: a TCP connection is enough. `whole_s` bounds all tries together, `try_s` one of them."""

    path: str | None
    delay_s: float
    period_s: float
    try_s: float
    whole_s: float
    custom: bool

    @property
    def kind(self) -> str:
        """As log lines spell it."""
        return f"{'' if self.custom else 'Default '}STARTUP {'TCP' if self.path is None else 'HTTP'} probe"


@dataclass(frozen=True)
class ProbeResult:
    """Whether a try passed, after how many, and what the last one saw."""

    passed: bool
    attempts: int
    seen: str


async def wait_until_up(plan: ProbePlan, port: int) -> ProbeResult:
    """Tries until one passes or the time is up. Safe to cancel.

    Tries come closer together than the plan's period, since asking a local process costs nothing: an instance is seen
    to be up within a quarter of a second.
    """
    await asyncio.sleep(plan.delay_s)
    end = time.monotonic() + plan.whole_s
    attempts = 0
    while True:
        attempts += 1
        left_s = end - time.monotonic()
        try:
            async with asyncio.timeout(max(0.01, min(plan.try_s, left_s))):
                seen = await _try(plan.path, port)
            pause_s = min(plan.period_s, _ANSWERED_PAUSE_S)
        except TimeoutError:
            seen = "Connection failed with status DEADLINE_EXCEEDED"
            pause_s = 0.0
        except OSError as error:
            seen = f"Connection failed with status CANCELLED ({error.strerror or error})"
            pause_s = _REFUSED_PAUSE_S
        if seen == "":
            return ProbeResult(True, attempts, "")
        if time.monotonic() + pause_s >= end:
            return ProbeResult(False, attempts, seen)
        await asyncio.sleep(pause_s)


async def _try(path: str | None, port: int) -> str:
    """What kept the container from passing; empty where it passed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if path is None:
            return ""
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: GoogleHC/1.0\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        line = (await reader.readline()).split()
        if len(line) < 2 or not line[0].startswith(b"HTTP/") or not line[1].isdigit():
            return "The answer is not HTTP"
        return "" if 200 <= int(line[1]) < 400 else f"HTTP status {int(line[1])}"
    finally:
        writer.close()
