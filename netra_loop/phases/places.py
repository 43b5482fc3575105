"""Root causes in the source that the revision under test was made of: the lines, and who touched them last."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from netra_loop.core.records import Finding, FindingState, RootCause
from netra_loop.core.source_lines import Place, Touched, around
from netra_loop.core.whys import grounded
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.sealing import relative, top
from netra_loop.values import dataclass
from netra_loop.workspace.base import SOURCES

_MOST = 50  # findings of an iteration that are looked up
_SIZE = 2_000_000  # bytes of a file that is read


async def with_whys(context: PhaseContext, findings: Sequence[Finding]) -> list[Finding]:
    """`findings`, the whys of those still open told as far down as the source and its history go."""
    told = []
    for place, finding in enumerate(findings):
        is_open = finding.state is not FindingState.FIXED and place < _MOST
        found = await place_of(context, finding.root_cause) if is_open else None
        told.append(grounded(finding, found))
    return told


async def place_of(context: PhaseContext, root: RootCause | None, services: Collection[str] = ()) -> Place | None:
    """Where in the source `root` is; None where that cannot be told for certain: what the revision was made from is not
    known or not kept, or several services have such a file and `services` does not say which logged it.
    """
    if root is None or Path(root.file).is_absolute():
        return None
    asked = [one for one in context.spec.services if not services or one in services]
    found = {one.key: one for service in asked if (one := await _source(context, service, root.file)) is not None}
    if len(found) != 1:
        return None
    (source,) = found.values()
    if not around(source.text, root.line)[1]:
        return None  # the place is of other source than this
    hidden = context.redactor.text(source.text)
    same = hidden.count("\n") == source.text.count("\n")  # else a secret of several lines is gone, and numbers lie
    first, lines = around(hidden, root.line) if same else (root.line, ())
    touched = await _touched(context, source, root.line)
    return Place(source.path, root.line, source.commit, first, lines, touched)


@dataclass(frozen=True)
class _Source:
    """A file that a revision was made from: `path` as fixers see it, `inner` within the workspace."""

    path: str
    inner: str
    text: str
    commit: str | None = None

    @property
    def key(self) -> tuple[str | None, str]:
        """Two services may be made from one source."""
        return self.commit, self.path


async def _source(context: PhaseContext, service: str, file: str) -> _Source | None:
    """The file that `file`, relative to the service's source, was when the revision under test was made."""
    state, workspace = context.state(), context.tools.workspace
    deployed = next((one for one in reversed(state.deployed) if one.revision.service == service), None)
    inner = relative(context, f"{context.scope().text(context.spec.services[service].source)}/{file}")
    if deployed is None or inner is None:
        return None
    path = _from_root(context, inner)
    if workspace is not None:
        text = None if deployed.commit is None else await workspace.text(deployed.commit, inner)
        return None if text is None else _Source(path, inner, text, deployed.commit)
    taken = state.taken.get(service)
    if taken is None or taken.iteration != deployed.iteration:
        return None
    folder = Path(taken.folder)
    if not folder.is_relative_to(context.tools.folder / SOURCES):
        return None  # where it lay then it still lies, and may have been changed since
    text = await asyncio.to_thread(_text, folder, file)
    return None if text is None else _Source(path, inner, text)


def _from_root(context: PhaseContext, inner: str) -> str:
    """A path below `top`, seen from the folder that fixers work in."""
    return os.path.relpath(top(context).resolve() / inner, context.spec.root_dir.resolve()).replace(os.sep, "/")


def _text(folder: Path, file: str) -> str | None:
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file() or path.stat().st_size > _SIZE:
        return None
    return path.read_bytes().decode("utf-8", "replace")


async def _touched(context: PhaseContext, source: _Source, line: int) -> Touched | None:
    workspace = context.tools.workspace
    if workspace is None or source.commit is None:
        return None
    blamed = await workspace.blame(source.commit, source.inner, line)
    if blamed is None or (workspace.made.kind == "copy" and blamed.commit == workspace.made.base):
        return None  # a copy's first commit is everything, and says nothing of who wrote it
    hide = context.redactor.text
    return Touched(blamed.commit, hide(blamed.author), blamed.at, hide(blamed.subject), blamed.ours)
