"""Whether the tests that ran are those that were committed, whoever else can write where they lie.

A command is held against the seal when it ends. What it left running out of reach, and the service that it mended, run
on; so once the tests have run it is looked at again, in what they were collected from and in what lies there now.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from netra_loop.core.records import JOURNEY_PREFIX, Result
from netra_loop.core.seal import Seal, pytest_part
from netra_loop.core.sources import told_of
from netra_loop.core.stability import TAMPERED
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.sealing import seal_of
from netra_loop.workspace.base import Workspace

_SHOWN = 3
_INSTALLED = "pytest plugin "  # begins the name of one that is installed


async def tampered(context: PhaseContext, results: Iterable[Result]) -> list[str]:
    """Why the goal cannot be called met: what is sealed was changed since the session began, and no commit of its
    branch did that. Empty without a workspace, where a person may work at the tests, and without a seal.
    """
    workspace, seal = context.tools.workspace, seal_of(context)
    if workspace is None or seal == Seal():
        return []
    head = await workspace.head()
    committed = {change.path for change in await workspace.changes(workspace.made.base, head)}
    told = {name for result in results for reason in result.reasons for name in told_of(reason)}
    strange = {path for path in _places(context, workspace, seal, told) if path not in committed}
    for path in await workspace.edited(head, (*seal.files, *seal.beside, *seal.settings) if not seal.globs else ()):
        if await _is_of_tests(workspace, seal, head, path):
            strange.add(path)
    if not strange:
        return []
    names = sorted(strange)
    some = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return [f"{TAMPERED}{context.redactor.text(some)}"]


def _places(context: PhaseContext, workspace: Workspace, seal: Seal, names: Iterable[str]) -> Iterator[str]:
    """What tests were told to come from and have not come from when the session began, relative to the workspace's top
    where it lies in there. With a seal of the loop's own just what that holds.
    """
    top, folder = os.path.normpath(workspace.made.root), os.path.normpath(context.spec.root_dir)
    if not Path(folder).is_relative_to(top):
        return
    for name in names:
        if name.startswith(JOURNEY_PREFIX):
            continue  # its text is the loop file's
        if name.startswith(_INSTALLED):
            if not seal.globs:
                yield name
            continue
        path = os.path.relpath(os.path.normpath(Path(folder) / name), top)
        shown = name if path.startswith("..") else Path(path).as_posix()
        if not seal.globs or seal.holds(shown):
            yield shown


async def _is_of_tests(workspace: Workspace, seal: Seal, head: str, path: str) -> bool:
    """Of what is sealed only what says what is tested: a test may well write into a file of data beside it."""
    if path in seal.settings:
        file = workspace.made.root / path
        now = file.read_text("utf-8", "replace") if file.is_file() else ""
        return pytest_part(path, await workspace.text(head, path) or "") != pytest_part(path, now)
    return seal.holds(path) and (path.endswith(".py") or path in seal.beside)
