"""A command of the loop's author: tied to our life, its output drained, ended whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from netra_loop.clock import Clock, Elapsed, within
from netra_loop.processes import die_with_parent, end_carriers, end_tree
from netra_loop.values import dataclass

_HEAD = _TAIL = 32_768  # bytes of output kept from either end
_GRACE_S = 3.0
_READ_ON_S = 1.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, None where it took longer than it may and was ended. `output` is both ends of
    what it printed, with stdout and stderr as they came; nothing is redacted yet.
    """

    code: int | None
    output: str


async def run_command(
    command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], mark: str, timeout_s: float, clock: Clock
) -> Ended:
    """Runs `command` to its end, or ends it after `timeout_s`; all it started is ended with it. Raises OSError where it
    cannot be started. Safe to cancel: it is ended first.

    `mark` is a variable of `environ` whose value is this very run's alone. By it whatever an earlier process left of
    the run is found and ended before it begins again, and whoever left the command's process tree after it.
    """
    await end_carriers(mark, environ[mark])
    async with _pipe() as (inlet, kept):
        process = None
        try:
            process = await _start(command, cwd, environ, inlet)
            code: int | None = await within(clock, timeout_s, process.wait())
        except Elapsed:
            code = None
        finally:
            if process is not None:  # else it did not start; or we were stopped before we heard that it did
                await asyncio.shield(end_tree(process.pid, term_grace_s=_GRACE_S))
            await asyncio.shield(end_carriers(mark, environ[mark]))
    return Ended(code, kept.text())


async def _start(
    command: Sequence[str], cwd: Path, environ: Mapping[str, str], inlet: int
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=inlet,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    finally:
        os.close(inlet)  # the command's alone from here on: with its last holder the reader ends


@asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[int, _Kept]]:
    """A pipe's writing end, which the caller closes, and what has come out of it.

    It is our own: waiting for a process through a pipe of asyncio's waits for everybody who holds that open, too.
    """
    outlet, inlet = os.pipe()
    kept, stream = _Kept(), asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream),
        os.fdopen(outlet, "rb", buffering=0),
    )
    reader = asyncio.create_task(kept.read(stream))
    try:
        yield inlet, kept
        # Whoever shed even its environment may hold it open for ever: its end is not waited for.
        await asyncio.wait({reader}, timeout=_READ_ON_S)
    finally:
        reader.cancel()
        transport.close()


class _Kept:
    """Both ends of what a process said, and how much there was between them."""

    def __init__(self) -> None:
        self._head, self._tail, self._total = bytearray(), bytearray(), 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Drains the pipe at its own speed until it is closed; safe to cancel at any time."""
        while chunk := await stream.read(65_536):
            self._total += len(chunk)
            room = _HEAD - len(self._head)
            self._head += chunk[:room]
            self._tail += chunk[max(0, room) :]
            del self._tail[:-_TAIL]

    def text(self) -> str:
        """What was kept; bytes that are no UTF-8 are shown escaped. The lines that the gap cut are left out with it:
        half a secret would not be known for one.
        """
        head, tail, middle = bytes(self._head), bytes(self._tail), b""
        if self._total > len(head) + len(tail):
            head = head[: head.rfind(b"\n") + 1] or head
            tail = tail[tail.find(b"\n") + 1 :] or tail
            middle = f"… {self._total - len(head) - len(tail)} bytes left out …\n".encode()
        return (head + middle + tail).decode("utf-8", "backslashreplace")
