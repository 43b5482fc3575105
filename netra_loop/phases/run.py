"""`uses: run`: a command of the loop's author, such as a fixer or a gate."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from netra_loop.clock import Elapsed, within
from netra_loop.core import template
from netra_loop.core.brief import brief_json, brief_markdown
from netra_loop.core.writable import json_text, writable
from netra_loop.errors import UsageError
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.scope import Scope
from netra_loop.phases.testbed import session_environment
from netra_loop.processes import carrying, die_with_parent, end_known, end_tree

_HEAD = _TAIL = 32_768  # bytes of output kept from either end
_DEFAULT_TIMEOUT_S = 1800.0
_GRACE_S = 3.0
_READ_ON_S = 1.0
_MARK = "NETRA_LOOP_BRIEF"
_TOKEN = "auth.token"


class Run:
    """Runs the command with the brief at hand. It has no probe, so after a crash it is run again, once what an earlier
    process may have left running is ended. All it starts carries `NETRA_LOOP_BRIEF`, by which it is known.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. Exit code 0 is `ok`, anything else, or the time-out, `failed`."""
        timeout_s = float(context.phase.with_.get("timeout_s", _DEFAULT_TIMEOUT_S))
        command = await self._command(context)
        environ = await self._environment(context)
        await _end_leftovers(environ)
        async with _pipe() as (inlet, kept):
            process = await self._start(context, command, environ, inlet)
            try:
                code: int | None = await within(context.clock, timeout_s, process.wait())
            except Elapsed:
                code = None
            finally:
                await asyncio.shield(end_tree(process.pid, term_grace_s=_GRACE_S))
                await asyncio.shield(_end_leftovers(environ))
                await context.tools.renew_pool()  # whatever it was for, it may have edited tests
        text = context.redactor.text(kept.text())
        ended = f"did not end within {timeout_s:g} s" if code is None else f"exit code {code}"
        return PhaseResult("ok" if code == 0 else "failed", ended, {"exit_code": code, "output": text})

    async def _start(
        self,
        context: PhaseContext,
        command: Sequence[str],
        environ: Mapping[str, str],
        inlet: int,
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=context.spec.root_dir,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=inlet,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            raise UsageError(
                f"phase {context.phase.name!r} cannot start {command[0]!r}: {error.strerror}",
                hint=f"mend its command in {context.spec.path.name}, then resume",
            ) from error
        finally:
            os.close(inlet)  # the command's alone from here on: with its last holder the reader ends

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _command(self, context: PhaseContext) -> tuple[str, ...]:
        """The command; a token is asked for only where the command names it."""
        command, scope = context.phase.with_["command"], context.scope()
        words = (command,) if isinstance(command, str) else command
        if any(_TOKEN in template.parse(word).names for word in words):
            scope = scope.with_token(await context.tools.token(scope, context.event))
        return scope.command(command)

    async def _environment(self, context: PhaseContext) -> Mapping[str, str]:
        """What the session is about, the tests' own variables as far as they are known without a token and before a
        deploy, and where the brief lies.
        """
        folder = context.tools.folder / f"{context.iteration}-{context.phase.name}-{context.attempt}"
        folder.mkdir(mode=0o700, exist_ok=True)
        await self._write_brief(context, folder)
        scope = context.scope()
        tests = context.spec.tests
        return {
            **session_environment(context, scope),
            **{name: scope.text(text) for name, text in (tests.env if tests else {}).items() if _known(text, scope)},
            _MARK: str(folder / "brief.md"),
            "NETRA_LOOP_BRIEF_JSON": str(folder / "brief.json"),
            "NETRA_LOOP_WORKSPACE": str(context.spec.root_dir),
            "NETRA_LOOP_ATTEMPT": str(context.attempt),
        }

    async def _write_brief(self, context: PhaseContext, folder: Path) -> None:
        findings = await context.journal.findings(context.session)
        iteration = max((finding.last_iteration for finding in findings), default=context.iteration)
        results = await context.journal.results(context.session, iteration)
        brief = brief_json(context.session, context.iteration, findings, results)
        (folder / "brief.json").write_text(json_text(brief, indent=2), encoding="utf-8")
        (folder / "brief.md").write_text(writable(brief_markdown(brief)), encoding="utf-8")


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


async def _end_leftovers(environ: Mapping[str, str]) -> None:
    """Ends whatever of this very run of the command still lives, wherever it put itself."""
    for stray in carrying(_MARK, environ[_MARK]):
        await end_known(stray, term_grace_s=0)


def _known(text: str, scope: Scope) -> bool:
    """Whether a variable of the tests can be filled in now."""
    for name in template.parse(text).names:
        root, _, rest = name.partition(".")
        if name == _TOKEN:
            return False
        if root == "services":
            service, _, part = rest.rpartition(".")
            if service not in scope.revisions and (part == "revision" or scope.service_url(service) is None):
                return False
    return True


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
