"""git, run for a session: no hooks, pager or questions, and nothing of the caller's GIT_ variables.

A git that a kill of our process leaves behind carries the session's mark, by which the next process ends it. A killed
git leaves at most an `index.lock` and unreferenced objects; whoever owns the working tree removes the one, and git
itself the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from netra_loop.errors import EnvironmentFailed, GitFailed

_QUIET = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.ignoreStat=false"),
    *("-c", "core.trustctime=true"),
    *("-c", "core.checkStat=default"),
    *("-c", "core.quotePath=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "i18n.commitEncoding=UTF-8"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "diff.external="),
    *("-c", "color.ui=false"),
    *("-c", "advice.addEmbeddedRepo=false"),
)


_CALM = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", "GIT_PAGER": "cat"}


class Git:
    """git in one folder, with `environ` as far as it says nothing about git. Every call is safe to cancel: git is
    killed then. `alone`: in this folder's own repository or none, never in one of a folder above it.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], *, alone: bool = False) -> None:
        self.folder = folder
        self.environ = {name: value for name, value in environ.items() if not name.startswith("GIT_")} | _CALM
        if alone:
            self.environ["GIT_CEILING_DIRECTORIES"] = str(folder.parent)

    async def raw(
        self, *words: str, given: bytes | None = None, env: Mapping[str, str] | None = None, ok: Sequence[int] = (0,)
    ) -> bytes:
        """What git wrote on stdout. Raises GitFailed on an exit code that is not `ok`, EnvironmentFailed where git is
        not installed. `given` is its stdin, `env` variables beside the usual.
        """
        code, output, said = await self.ask(*words, given=given, env=env)
        if code not in ok:
            raise GitFailed(words, code, said)
        return output

    async def text(self, *words: str, given: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """The same as text without the last line's end; bytes that are no UTF-8 are kept as surrogates."""
        output = await self.raw(*words, given=given, env=env)
        return output.decode("utf-8", "surrogateescape").rstrip("\n")

    async def maybe(self, *words: str) -> str | None:
        """The same; None where git ends with another code than 0."""
        code, output, _ = await self.ask(*words)
        return output.decode("utf-8", "surrogateescape").rstrip("\n") if code == 0 else None

    async def ask(
        self, *words: str, given: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """Its exit code, stdout and stderr."""
        process = await self._start(words, env, with_stdin=given is not None)
        try:
            output, said = await process.communicate(given)
        finally:
            await _end(process)
        return process.returncode or 0, output, said.decode("utf-8", "replace")

    async def begin(self, limit: int, *words: str) -> bytes:
        """The beginning of what git writes on stdout: no more than `limit` bytes, after which it is killed."""
        process = await self._start(words, None, with_stdin=False)
        assert process.stdout is not None
        try:
            output = bytearray()
            while len(output) < limit and (chunk := await process.stdout.read(65_536)):
                output += chunk
        finally:
            await _end(process)
        return bytes(output[:limit])

    async def _start(
        self, words: Sequence[str], env: Mapping[str, str] | None, *, with_stdin: bool
    ) -> asyncio.subprocess.Process:
        # Without a `preexec_fn`, for with one the whole process is forked, which takes longer than git.
        try:
            return await asyncio.create_subprocess_exec(
                "git",
                *_QUIET,
                *words,
                cwd=self.folder,
                env={**self.environ, **(env or {})},
                stdin=asyncio.subprocess.PIPE if with_stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise EnvironmentFailed(f"{str(self.folder)!r} is gone", hint="restore it, then resume") from error
            raise EnvironmentFailed(
                "git is not installed, and the loop's workspace needs it",
                hint="install git, or say `workspace: {git: none}` in the loop file",
            ) from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
