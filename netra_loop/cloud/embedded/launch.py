"""The owner's side: starts the embedded cloud in a process of its own, and ends it. Imports nothing heavy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netra_loop import processes
from netra_loop.cloud.embedded.files import make_folder, read_json
from netra_loop.cloud.embedded.instance import SERVER_ONLY
from netra_loop.cloud.embedded.knobs import set_knobs
from netra_loop.cloud.embedded.vital import Vital
from netra_loop.errors import EnvironmentFailed
from netra_loop.settings import without_store_password

_START_LIMIT_S = 30.0
_EARLIER_GRACE_S = 2.0
_END_MARGIN_S = 1.5
_SHOWN_BYTES = 2000
_CODE_WITHIN_S = 1.0  # after the news of its end


class EmbeddedCloud:
    """A running embedded cloud. It ends with this process, whatever happens, within two seconds.

    `endpoint` is what `CloudRun` takes, such as `unix:/…/cloud.sock`; `pid` the server's. `metadata` is the address of
    its metadata server, which gives identity tokens to whoever has it in `GCE_METADATA_HOST`.
    """

    def __init__(self, endpoint: str, metadata: str, process: Process, lifeline: int, vital: Vital) -> None:
        self.endpoint = endpoint
        self.metadata = metadata
        self.pid = process.pid
        self._process = process
        self._lifeline: int | None = lifeline
        self._vital = vital

    def gone(self) -> str | None:
        """Which process it was, and how it ended as far as that is known, where it has ended or is about to, though
        `stop` was not called; None while it serves. Whoever lost a connection over its end may ask afterwards.
        """
        if not self._vital.is_over():
            return None
        code = self._process.returncode
        how = "" if code is None else f" (signal {-code})" if code < 0 else f" (exit code {code})"
        return f"process {self.pid}{how}"

    async def until_gone(self) -> None:
        """Returns once `gone` says something; a moment later where that tells how it ended."""
        await self._vital.over()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CODE_WITHIN_S):
                await self._process.wait()

    async def stop(self, *, grace_s: float = 10.0) -> None:
        """Ends it and all its instances: SIGTERM to them, SIGKILL after `grace_s`. Safe to repeat.

        What serves is remembered in the state folder and comes back with the next start on it.
        """
        self._vital.close()
        if self._lifeline is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._lifeline, f"{grace_s:g}".encode())
            os.close(self._lifeline)
            self._lifeline = None
        try:
            async with asyncio.timeout(grace_s + _END_MARGIN_S):
                await self._process.wait()
        except TimeoutError:
            await processes.end_tree(self.pid, term_grace_s=0)
            await self._process.wait()


async def start_embedded(
    state_dir: Path,
    seed: Path | None = None,
    *,
    knobs: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    hidden: Mapping[str, Any] | None = None,
    withheld: Mapping[str, str | None] | None = None,
) -> EmbeddedCloud:
    """The embedded cloud on `state_dir`; what it served there serves again, under its name and, if it can, its URL.

    A server that a dead owner left on the folder is ended first. `seed` is another folder's `resources.json`, used
    where this one is new. `knobs` are turned before it starts, see `knobs.set_knobs`. `secrets` (`NAME` or
    `NAME:VERSION`) are what its Secret Manager holds; they go to the process by a pipe and are written nowhere.
    `hidden` (see `Secrets.told`) are values that go the same way and are taken out of all log entries; `withheld` are
    what services are given and its files must not hold, see `Withheld`. Raises EnvironmentFailed where a living process
    holds the folder, or the server does not start; ValueError for a knob that is none.
    """
    make_folder(state_dir)
    await _end_earlier(state_dir)
    if knobs:
        set_knobs(state_dir, **knobs)
    reading, writing = os.pipe()
    command = ["-m", "netra_loop.cloud.embedded", "--state", str(state_dir), "--lifeline-fd", str(reading)]
    if seed is not None:
        command += ["--seed", str(seed)]
    known = {"secrets": secrets or {}, "hidden": hidden, "withheld": withheld or {}} if secrets or hidden else None
    if known is not None:
        command.append("--known-stdin")
    log = os.open(state_dir / "cloud.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(log, 0o600)  # whatever the umask
    vital = Vital()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=PIPE if known is not None else DEVNULL,
            stdout=vital.inlet,
            stderr=log,
            pass_fds=[reading],
            env=without_store_password(os.environ) | SERVER_ONLY,
            start_new_session=True,
        )
    except BaseException:
        os.close(writing)
        vital.close()
        raise
    finally:
        os.close(reading)
        os.close(log)
        vital.close_inlet()
    try:
        await _hand_over(process, known)
        endpoint = await _endpoint_of(vital, state_dir)
        return EmbeddedCloud(endpoint, read_json(state_dir / "cloud.json")["metadata"], process, writing, vital)
    except BaseException:
        os.close(writing)
        vital.close()
        await processes.end_tree(process.pid, term_grace_s=0)
        await process.wait()
        raise


async def _hand_over(process: Process, known: Mapping[str, Any] | None) -> None:
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):  # it ended already: reading its endpoint says so
            process.stdin.write(json.dumps(known).encode())
            await process.stdin.drain()
        process.stdin.close()


async def _endpoint_of(vital: Vital, state_dir: Path) -> str:
    line = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_LIMIT_S):
            line = await vital.line()
    if not line:
        said = (state_dir / "cloud.log").read_bytes()[-_SHOWN_BYTES:].decode("utf-8", "replace").strip()
        raise EnvironmentFailed(
            f"the embedded cloud did not start on {state_dir}: {said.splitlines()[-1] if said else 'it said nothing'}",
            hint=f"read {state_dir / 'cloud.log'}, then resume the session",
        )
    endpoint: str = json.loads(line)["endpoint"]
    return endpoint


async def end_taken(state_dir: Path) -> None:
    """Ends the server on the folder, if any, though its owner lives: the session was taken from him."""
    await _end_earlier(state_dir, taken=True)


async def _end_earlier(state_dir: Path, *, taken: bool = False) -> None:
    """Ends a server whose owner is gone; it is about to end by itself, but we need not wait for it."""
    found = read_json(state_dir / "cloud.json")
    if not found or not found.get("server"):
        return
    server = processes.ProcessIdentity(**found["server"])
    owner = processes.ProcessIdentity(**found["owner"]) if found.get("owner") else None
    if not processes.same(server):
        return
    if not taken and owner is not None and owner.pid not in {1, os.getpid()} and processes.same(owner):
        raise EnvironmentFailed(
            f"the embedded cloud on {state_dir} belongs to process {owner.pid}, which lives",
            hint=f"wait for process {owner.pid} or end it, then resume the session",
        )
    await processes.end_known(server, term_grace_s=_EARLIER_GRACE_S)
