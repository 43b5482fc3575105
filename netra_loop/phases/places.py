"""Root causes in the source that the revision under test was made of: the lines, and who touched them last."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from netra_loop.core.records import Finding, FindingState, RootCause
from netra_loop.core.source_lines import Place, Touched, around
from netra_loop.core.whys import grounded
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.sealing import relative
from netra_loop.workspace.base import Workspace

_MOST = 50  # findings of an iteration that are looked up


async def with_whys(context: PhaseContext, findings: Sequence[Finding]) -> list[Finding]:
    """`findings`, the whys of those still open told as far down as the source and its history go."""
    told = []
    for place, finding in enumerate(findings):
        is_open = finding.state is not FindingState.FIXED and place < _MOST
        found = await place_of(context, finding.root_cause) if is_open else None
        told.append(grounded(finding, found))
    return told


async def place_of(context: PhaseContext, root: RootCause | None, services: Collection[str] = ()) -> Place | None:
    """Where in the source `root` is; None where that cannot be told for certain: there is no workspace, the revision
    was made of something else, or several services have such a file and `services` does not say which logged it.
    """
    workspace = context.tools.workspace
    if root is None or workspace is None:
        return None
    found = []
    for service in context.spec.services:
        if services and service not in services:
            continue
        commit, path = _commit(context, service), _path(context, service, root.file)
        text = None if commit is None or path is None else await workspace.text(commit, path)
        if commit is not None and path is not None and text is not None:
            found.append((commit, path, text))
    if len({(commit, path) for commit, path, _ in found}) != 1:
        return None
    commit, path, text = found[0]
    if not around(text, root.line)[1]:
        return None  # the place is of other source than this
    hidden = context.redactor.text(text)
    same = hidden.count("\n") == text.count("\n")  # else a secret of several lines went out of it, and numbers lie
    first, lines = around(hidden, root.line) if same else (root.line, ())
    touched = await _touched(context, workspace, commit, path, root.line)
    return Place(_from_root(context, workspace, path), root.line, commit, first, lines, touched)


def _commit(context: PhaseContext, service: str) -> str | None:
    """What the service's revision under test was made of."""
    made = [one for one in context.state().deployed if one.revision.service == service]
    return made[-1].commit if made else None


def _path(context: PhaseContext, service: str, file: str) -> str | None:
    """`file`, which is relative to the service's source, relative to the workspace; None where it lies elsewhere."""
    if Path(file).is_absolute():
        return None
    source = context.scope().text(context.spec.services[service].source)
    return relative(context, f"{source}/{file}")


def _from_root(context: PhaseContext, workspace: Workspace, path: str) -> str:
    """A path of the workspace, seen from the folder that fixers work in."""
    return os.path.relpath(workspace.made.root.resolve() / path, context.spec.root_dir.resolve()).replace(os.sep, "/")


async def _touched(context: PhaseContext, workspace: Workspace, commit: str, path: str, line: int) -> Touched | None:
    blamed = await workspace.blame(commit, path, line)
    if blamed is None:
        return None
    hide = context.redactor.text
    return Touched(blamed.commit, hide(blamed.author), blamed.at, hide(blamed.subject), blamed.ours)
