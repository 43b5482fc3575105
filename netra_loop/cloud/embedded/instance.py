"""One instance of a revision: a local process with `PORT`, probed, listened to, and ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path

from netra_loop import processes
from netra_loop.cloud.embedded.log_lines import LineSplitter
from netra_loop.cloud.embedded.memory import until_over
from netra_loop.cloud.embedded.outlet import Outlet
from netra_loop.cloud.embedded.probe import ProbePlan, wait_until_up
from netra_loop.cloud.embedded.recorder import Origin, Recorder
from netra_loop.values import dataclass

TERM_GRACE_S = 10.0
SERVER_ONLY = {"GRPC_ENABLE_FORK_SUPPORT": "0"}  # its children only ever exec; not meant for what they run
MARK = "NETRA_LOOP_CLOUD"  # carried by every process of an instance, so that no orphan is overlooked
_PIPE_PATIENCE_S = 1.0  # for pipes that a survivor holds open


@dataclass(frozen=True)
class Launch:
    """What to start. `env` is the spec's own; `cwd` absolute; `port` the one the spec names, used in messages only.

    `secrets` maps variables to a secret's name and version, looked up with each start. One instance takes `concurrency`
    requests at a time; there are at least `least` and at most `most` of them. `memory` is in bytes, None: no bound.
    """

    origin: Origin
    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    port: int
    probe: ProbePlan
    request_timeout_s: float
    mark: str
    image: str = ""
    secrets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    concurrency: int = 80
    least: int = 0
    most: int = 100
    memory: int | None = None


class StartFailed(Exception):  # an answer about a revision, not a fault of ours
    """The instance did not come up. `reason` is a revision reason of the API or a common one."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Instance:
    """A process, from its start to its end. Made by `start`."""

    def __init__(
        self,
        launch: Launch,
        recorder: Recorder,
        process: asyncio.subprocess.Process,
        outlets: Mapping[str, Outlet],
        port: int,
    ) -> None:
        self.id = secrets.token_hex(32)
        self.port = port
        self.launch = launch
        self.origin = replace(launch.origin, instance=self.id)
        self.identity = processes.identify(process.pid)
        self.in_flight = 0
        self.idle_since = time.monotonic()
        self.on_change: Callable[[], None] = _ignore  # called when a request or the process ended
        self._recorder = recorder
        self._process = process
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._pumps = [asyncio.create_task(self._pump(outlet, name)) for name, outlet in outlets.items()]
        self._out_of_memory = ""
        limit = launch.memory
        self._weighing = asyncio.create_task(self._weigh(limit)) if limit is not None else None
        self._watch = asyncio.create_task(self._until_exit())

    @classmethod
    async def start(cls, launch: Launch, recorder: Recorder, reason: str) -> Instance:
        """Starts the process; it is not up yet. Raises StartFailed where the system cannot start it."""
        recorder.system(launch.origin, "INFO", f"Starting new instance. Reason: {reason}")
        if not launch.cwd.is_dir():
            raise StartFailed("CONTAINER_MISSING", f"Image '{launch.image}' not found: no folder {launch.cwd}.")
        port = _free_port()
        outlets = {name: await Outlet.open() for name in ("stdout", "stderr")}
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                cwd=launch.cwd,
                env=_environment(launch, port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=outlets["stdout"].inlet,
                stderr=outlets["stderr"].inlet,
                start_new_session=True,
                preexec_fn=processes.die_with_parent(signal.SIGKILL),
            )
        except (OSError, ValueError) as error:
            for outlet in outlets.values():
                outlet.close()
            recorder.system(launch.origin, "ERROR", f"Application failed to start: {launch.command[0]!r}: {error}")
            raise StartFailed(
                "HEALTH_CHECK_CONTAINER_ERROR", f"Application failed to start: {launch.command[0]!r}: {error}"
            ) from error
        finally:
            for outlet in outlets.values():
                outlet.close_inlet()
        return cls(launch, recorder, process, outlets, port)

    @property
    def alive(self) -> bool:
        """Whether requests may be sent to it."""
        return self._process.returncode is None and not self._stopping

    async def until_up(self) -> None:
        """Returns once the startup probe passed. Raises StartFailed, at once where the process ends before."""
        plan = self.launch.probe
        started = time.monotonic()
        probing = asyncio.create_task(wait_until_up(plan, self.port))
        try:
            await asyncio.wait({probing, self._watch}, return_when=asyncio.FIRST_COMPLETED)
            if self._watch.done():
                ended = f"the container ended with {_ending(self._process.returncode)}"
                raise self._failed(f"{ended} after {time.monotonic() - started:.1f} s")
            result = await probing
        finally:
            probing.cancel()
        times = f"{result.attempts} time{'s' if result.attempts != 1 else ''}"
        where = f'for container "{self.origin.service}-1" on port {self.port}.'
        if not result.passed:
            text = f"{plan.kind} failed {times} consecutively {where} The instance was not started.\n{result.seen}"
            self._recorder.system(self.origin, "ERROR", text)
            raise self._failed(f"after {plan.whole_s:g} s: {result.seen}")
        tries = f"{result.attempts} attempt{'s' if result.attempts != 1 else ''}"
        self._recorder.system(self.origin, "INFO", f"{plan.kind} succeeded after {tries} {where}")

    def enter(self) -> None:
        """A request begins; the instance is not ended under it."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """It ended."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()
            self.idle_since = time.monotonic()
        self.on_change()

    async def retire(self) -> None:
        """Ends the instance once its requests have ended, at the latest after the request timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.launch.request_timeout_s):
                await self._idle.wait()
        await self.stop(TERM_GRACE_S)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, after `grace_s` seconds SIGKILL, for the process and all it started. Safe to repeat."""
        self._stopping = True
        await self._end(grace_s)
        await self._watch

    async def _until_exit(self) -> None:
        code = await self._process.wait()
        if self._weighing is not None:
            self._weighing.cancel()
        if not self._stopping:
            await self._end(0)  # what it started goes with it, and lets go of the pipes
        _, hanging = await asyncio.wait(self._pumps, timeout=_PIPE_PATIENCE_S)
        for pump in hanging:
            pump.cancel()
        if not self._stopping:
            self._recorder.system(self.origin, "WARNING", f"Container {_called(code)}.")
        self.on_change()

    async def _weigh(self, limit: int) -> None:
        used = await until_over(self._process.pid, limit)
        self._out_of_memory = (
            f"Memory limit of {limit >> 20} MiB exceeded with {used >> 20} MiB used. Consider increasing the memory "
            "limit, see https://cloud.google.com/run/docs/configuring/memory-limits"
        )
        self._recorder.system(self.origin, "ERROR", self._out_of_memory)
        await self._end(0)

    async def _end(self, grace_s: float) -> None:
        if self.identity is not None:  # by identity: once the process is reaped, its pid may be another's
            await processes.end_known(self.identity, term_grace_s=grace_s)

    async def _pump(self, outlet: Outlet, name: str) -> None:
        splitter = LineSplitter()
        try:
            while data := await outlet.read():
                for line in splitter.feed(data):
                    self._recorder.line(self.origin, name, line)
        finally:
            outlet.close()
            for line in splitter.end():
                self._recorder.line(self.origin, name, line)

    def _failed(self, how: str) -> StartFailed:
        if self._out_of_memory:
            what = f"The user-provided container ran out of memory while it started. {self._out_of_memory}"
        elif self.launch.probe.custom and not self._watch.done():
            what = "The user-provided container failed the configured startup probe checks"
        else:
            what = (
                "The user-provided container failed to start and listen on the port defined provided by the "
                f"PORT={self.launch.port} environment variable within the allocated timeout"
            )
        more = "Logs for this revision might contain more information."
        return StartFailed("HEALTH_CHECK_CONTAINER_ERROR", f"{what} ({how}). {more}")


def _ignore() -> None:
    pass


def _environment(launch: Launch, port: int) -> dict[str, str]:
    origin = launch.origin
    environment = {"PYTHONUNBUFFERED": "1", **_inherited(), **launch.env}
    # `python` in a command means the interpreter that netra-loop itself runs in
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    return environment | {
        "PORT": str(port),
        "K_SERVICE": origin.service,
        "K_REVISION": origin.revision,
        "K_CONFIGURATION": origin.service,
        MARK: launch.mark,
    }


def _inherited() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in SERVER_ONLY}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ending(code: int | None) -> str:
    return f"signal {-code} ({_signal_name(-code)})" if code is not None and code < 0 else f"exit code {code}"


def _called(code: int) -> str:
    return f"terminated on signal {-code} ({_signal_name(-code)})" if code < 0 else f"called exit({code})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
