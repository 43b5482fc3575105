"""The whole examination: the explicit list of checks, all at the same time, bounded."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from netra_loop.beginning import read_loop
from netra_loop.clock import Clock, SystemClock
from netra_loop.core import loopfile
from netra_loop.core.redact import Redactor
from netra_loop.doctor import access, cloud, machine, network, store
from netra_loop.doctor.base import Check, Line, Loop, Status, Subject, fail
from netra_loop.errors import NetraLoopError, UsageError
from netra_loop.loops import find_loop
from netra_loop.phases.scope import Scope
from netra_loop.settings import Settings
from netra_loop.toolbox import SessionTools

LIMIT_S = 30.0
SESSION = "doctor"
_RESUME = ", then resume"
CHECKS: dict[str, Check] = {
    "interpreter": machine.interpreter,
    "tests' interpreter": machine.tests,
    "git": machine.git,
    "processes": machine.processes,
    "terminal": machine.terminal,
    "time limit": machine.time_limit,
    "store": store.store,
    "cloud": cloud.cloud,
    "auth": access.tokens,
    "urls": network.urls,
}


async def examine(
    settings: Settings,
    loop: str | None = None,
    environment: str | None = None,
    given: dict[str, str] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Line]:
    """Each line as it is known, in the order of the checks. Raises LoopFileError and UsageError for a loop that is
    wrong. What it starts has ended by the time it returns; a check that does not answer within 30 s is told so.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        subject = Subject(settings, clock, None)
        if loop is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="netra-loop-doctor-"))
            subject = replace(subject, loop=_opened(settings, loop, environment, given or {}, Path(folder), clock))
        if subject.loop is not None:
            stack.push_async_callback(subject.loop.tools.close)
        tasks = {name: asyncio.create_task(_lines(name, check, subject)) for name, check in CHECKS.items()}
        stack.push_async_callback(_ended, tasks.values())
        hide = subject.loop.tools.redactor if subject.loop is not None else Redactor()
        clocks: list[Line] = []
        for task in tasks.values():
            for line in await task:
                if line.check == network.CLOCK:
                    clocks.append(line)
                    continue
                mend = line.mend.removesuffix(_RESUME)  # a session's own words: here is none to resume
                yield replace(line, detail=hide.text(line.detail), mend=hide.text(mend))
        if clocks:  # whoever agrees with ours is right: one server's clock may be wrong
            yield min(clocks, key=lambda line: list(Status).index(line.status))


def _opened(
    settings: Settings, name: str, environment: str | None, given: dict[str, str], folder: Path, clock: Clock
) -> Loop:
    path = find_loop(settings, name)
    spec = loopfile.apply_vars(read_loop(path)[0], given)
    chosen = environment or next(iter(spec.environments))
    if chosen not in spec.environments:
        known = ", ".join(spec.environments)
        raise UsageError(f"--env {chosen!r} is no environment of {path.name}", hint=f"it has: {known}")
    tools = SessionTools(SESSION, spec, chosen, settings, folder, clock)
    return Loop(spec, chosen, Scope(spec, chosen, SESSION, 1, settings.environ), tools)


async def _lines(name: str, check: Check, subject: Subject) -> list[Line]:
    """What a check found, as far as it got in the time there is."""
    found: list[Line] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            async for line in check(subject):
                found.append(line)  # noqa: PERF401  # what came before the limit counts
    except TimeoutError:
        found.append(fail(name, f"no answer within {LIMIT_S:g} s", "check the network, then: netra-loop doctor"))
    except NetraLoopError as error:
        found.append(fail(name, str(error), error.hint or ""))
    return found


async def _ended(tasks: object) -> None:
    waiting = list(tasks)  # type: ignore[call-overload]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
