"""`uses: run`: a command of the loop's author, such as a fixer or a gate."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netra_loop.core import durations, template
from netra_loop.core.claims import claimed
from netra_loop.core.events import FixerRan
from netra_loop.core.records import Batch, Finding
from netra_loop.phases import bytecode, fixer_files, sealing
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.briefing import JSON, MARKDOWN, known_variables, write_brief
from netra_loop.phases.commands import Ended, run_command
from netra_loop.phases.sealing import Looked, Saved
from netra_loop.phases.testbed import session_environment
from netra_loop.phases.tokens import token
from netra_loop.processes import end_carriers

_DEFAULT_TIMEOUT_S = 1800.0
_MARK = "NETRA_LOOP_BRIEF"
_TOKEN = "auth.token"


class Run:
    """Runs the command with the brief at hand. It has no probe, so after a crash it is run again, once what an earlier
    process may have left running is ended and the workspace is back to what it held before. All it starts carries
    `NETRA_LOOP_BRIEF`, by which it is known.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. Exit code 0 is `ok`; anything else, the time-out, a command that is not there, and a change
        of what it may not change are `failed`. What was refused is taken back, as far as the loop has a workspace.
        """
        folder = _folder(context)
        await self._command(context)  # where it cannot even be said, nothing of it has begun
        before = await sealing.save(context, folder)
        async with sealing.stops_forgotten(context, folder, before):
            return await self._ran(context, folder, before)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        folder = _folder(context)
        before = await sealing.saved(context, folder)
        if before is None:
            return await self.run(context)
        async with sealing.stops_forgotten(context, folder, before):
            environ = await self._environment(context, folder)
            await end_carriers(_MARK, environ[_MARK])  # before its files are put back under it
            await sealing.put_back(context, before)
            return await self._ran(context, folder, before)

    async def _ran(self, context: PhaseContext, folder: Path, before: Saved) -> PhaseResult:
        timeout_s = float(context.phase.with_.get("timeout_s", _DEFAULT_TIMEOUT_S))
        command = await self._command(context)
        environ = await self._environment(context, folder)
        fixer_files.clear(folder)
        try:
            ended = await run_command(
                command,
                cwd=context.spec.root_dir,
                environ=environ,
                mark=_MARK,
                timeout_s=timeout_s,
                clock=context.clock,
            )
        except OSError as error:
            return PhaseResult("failed", _not_there(command[0], error, context.spec.root_dir, environ))
        finally:
            await context.tools.renew_pool()  # whatever it was for, it may have edited tests
            await asyncio.to_thread(bytecode.forget, sealing.top(context), sealing.seal_of(context))
        told = _ending(ended.code, timeout_s, context.spec.root_dir, environ)
        return await self._outcome(context, folder, before, ended, told)

    async def _outcome(
        self, context: PhaseContext, folder: Path, before: Saved, ended: Ended, told: str
    ) -> PhaseResult:
        hide = context.redactor.text
        looked = await sealing.look(context, before)
        findings = await context.journal.findings(context.session)
        said = fixer_files.read(folder, {finding.id for finding in findings})
        facts: dict[str, Any] = {"exit_code": ended.code, "output": hide(ended.output)}
        reasons = [told, *said.troubles]
        if looked.moved:
            reasons.append("it made commits or moved the branch, which is back: its changes count as changes")
        if looked.refused:
            taken_back = await sealing.put_back(context, before)
            reasons += _refusals(looked, taken_back=taken_back)
            if taken_back and sealing.of_the_user(context, looked):
                reasons.append("but for git's own files in the user's repository, which are left to the user")
            facts["refused"], facts["diff"] = list(looked.refused), hide(looked.diff)
        ran = FixerRan(
            exit_code=ended.code,
            note=hide(said.note),
            claims=() if looked.refused else said.claims,
            changed=looked.changed,
            refused=looked.refused,
            tree=before.tree if looked.refused else looked.tree,
        )
        events = (context.stamp(ran),) if _says_something(ran) else ()
        claims = claimed(findings, ran.claims, context.iteration)
        batch = Batch(events=events)
        if claims:
            renewed = {finding.id: finding for finding in claims}
            whole = tuple(renewed.get(one.id, one) for one in findings)
            batch = replace(batch, findings=whole, findings_iteration=_last(findings))
        outcome = "ok" if ended.code == 0 and not looked.refused else "failed"
        return PhaseResult(outcome, "; ".join(reasons), facts, batch)

    async def _command(self, context: PhaseContext) -> tuple[str, ...]:
        """The command; a token is asked for only where the command names it."""
        command, scope = context.phase.with_["command"], context.scope()
        words = (command,) if isinstance(command, str) else command
        if any(_TOKEN in template.parse(word).names for word in words):
            scope = scope.with_token(await token(context, scope))
        return scope.command(command)

    async def _environment(self, context: PhaseContext, folder: Path) -> Mapping[str, str]:
        """What the session is about, the tests' own variables as far as they are known without a token and before a
        deploy, and where the brief lies.
        """
        await write_brief(context, folder)
        scope = context.scope()
        return {
            **session_environment(context, scope),
            **known_variables(context, scope),
            _MARK: str(folder / MARKDOWN),
            "NETRA_LOOP_BRIEF_JSON": str(folder / JSON),
            "NETRA_LOOP_WORKSPACE": str(context.spec.root_dir),
            "NETRA_LOOP_ATTEMPT": str(context.attempt),
            "NETRA_LOOP_NOTE": str(folder / fixer_files.NOTE),
            "NETRA_LOOP_CLAIM": str(folder / fixer_files.CLAIM),
        }


def _folder(context: PhaseContext) -> Path:
    """Where this attempt's files lie; there, and for nobody but us."""
    folder = context.tools.folder / f"{context.iteration}-{context.phase.name}-{context.attempt}"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)  # whatever the umask
    return folder


def _refusals(looked: Looked, *, taken_back: bool) -> list[str]:
    told = []
    if looked.sealed:
        told.append(f"it changed what is sealed: {_some(looked.sealed)}")
    if looked.left:
        told.append(f"what is sealed is still as an earlier command left it: {_some(looked.left)}")
    if looked.outside:
        told.append(f"it changed what is not among its paths: {_some(looked.outside)}")
    if looked.unkept is not None:
        told.append(f"what it left cannot be kept: {looked.unkept.why}")
    told.append("all of its changes were taken back" if taken_back else "the changes are still there")
    return told


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"


def _ending(code: int | None, timeout_s: float, folder: Path, environ: Mapping[str, str]) -> str:
    if code is None:
        return f"did not end within {durations.show(timeout_s)}, and was ended with all that it had started"
    more = {
        126: "what it names cannot be executed",
        127: f"a command that it names is not there, looked for in {_looked_in(folder, environ)}",
    }.get(code)
    return f"exit code {code}" if more is None else f"exit code {code}: {more}"


def _not_there(command: str, error: OSError, folder: Path, environ: Mapping[str, str]) -> str:
    if isinstance(error, FileNotFoundError):
        where = str(folder / command) if "/" in command else _looked_in(folder, environ)
        return f"there is no command {command!r}, looked for {'at' if '/' in command else 'in'} {where}"
    return f"{command!r} cannot be started: {error.strerror}"


def _looked_in(folder: Path, environ: Mapping[str, str]) -> str:
    return f"{environ.get('PATH') or os.defpath} (PATH), from the folder {folder}"


def _says_something(ran: FixerRan) -> bool:
    """Whether it is more than a gate that looked: one of those leaves nothing to remember."""
    return bool(ran.note or ran.claims or ran.changed or ran.refused)


def _last(findings: Sequence[Finding]) -> int:
    return max(finding.last_iteration for finding in findings)
