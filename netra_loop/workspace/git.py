"""git, run for a session: no hooks, pager or questions, nothing of the caller's GIT_ variables, and tied to our life.

A killed git leaves at most an `index.lock` and unreferenced objects; whoever owns the working tree removes the one
(`clear_locks`), and git itself the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from netra_loop.errors import EnvironmentFailed, GitFailed
from netra_loop.processes import die_with_parent

_QUIET = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "diff.external="),
    *("-c", "color.ui=false"),
)


_CALM = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", "GIT_PAGER": "cat"}


class Git:
    """git in one folder, with `environ` as far as it says nothing about git. Every call is safe to cancel: git is
    killed then.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {name: value for name, value in environ.items() if not name.startswith("GIT_")} | _CALM

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
        stdin = asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *_QUIET,
                *words,
                cwd=self.folder,
                env={**self.environ, **(env or {})},
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                preexec_fn=die_with_parent(),
            )
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise EnvironmentFailed(f"{str(self.folder)!r} is gone", hint="restore it, then resume") from error
            raise EnvironmentFailed(
                "git is not installed, and the loop's workspace needs it",
                hint="install git, or say `workspace: {git: none}` in the loop file",
            ) from error
        try:
            output, said = await process.communicate(given)
        finally:
            if process.returncode is None:
                process.kill()
                await asyncio.shield(process.wait())
        return process.returncode or 0, output, said.decode("utf-8", "replace")
