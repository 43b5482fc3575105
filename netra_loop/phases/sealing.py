"""What a command changed, and whether it may have: the seal and the allowed paths, held against what was before it.

With a workspace two trees of git's are compared, and beside them the sealed files themselves, for git can be told not
to look. In place only what is sealed is looked at.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from netra_loop.core.events import FixerRan, SessionPaused, WaitBegan, WorkspaceSaved
from netra_loop.core.seal import Seal, allowed, default_seal, pytest_part
from netra_loop.phases import sealed_files
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.portions import whole
from netra_loop.phases.sealed_files import Kept
from netra_loop.workspace.base import NotKept, Workspace


@dataclass(frozen=True)
class Saved:
    """What was there before a command: the sealed files and, in a workspace, its `tree` on top of `commit`."""

    files: Kept
    commit: str | None = None
    tree: str | None = None


@dataclass(frozen=True)
class Looked:
    """What was found after a command: every path that differs (in place: of those that are sealed), those that it may
    not change, and a diff of these. `left` are sealed paths that an earlier command changed in place, and that are
    still as it left them. `unkept` says why what it left cannot even be kept. `moved`: it had made commits or
    moved the branch, which is where it was again. `tree` is what the workspace holds now.
    """

    changed: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    diff: str = ""
    tree: str | None = None
    unkept: NotKept | None = None
    moved: bool = False
    left: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[str, ...]:
        """All that it may not change."""
        large = () if self.unkept is None else self.unkept.paths
        return tuple(dict.fromkeys((*self.sealed, *self.outside, *large, *self.left)))


def top(context: PhaseContext) -> Path:
    """The folder that changes are told relative to."""
    workspace = context.tools.workspace
    return context.spec.root_dir if workspace is None else workspace.made.root


def relative(context: PhaseContext, given: str) -> str | None:
    """A path of the loop file relative to `top`; None where it leads outside. As it is written: a command may have put
    a link where a folder was.
    """
    path, above = os.path.normpath(context.spec.base_dir / given), os.path.normpath(top(context))
    if Path(path).is_relative_to(above):
        return Path(path).relative_to(above).as_posix()
    return _resolved(context, given)


def _resolved(context: PhaseContext, given: str) -> str | None:
    """The same, with every link followed."""
    path, above = (context.spec.base_dir / given).resolve(), top(context).resolve()
    return path.relative_to(above).as_posix() if path.is_relative_to(above) else None


def seal_of(context: PhaseContext) -> Seal:
    """What the loop seals."""
    spec = context.spec
    if spec.seal is not None:
        folder = relative(context, ".") or "."
        return Seal(globs=tuple(posixpath.normpath(f"{folder}/{glob}") for glob in spec.seal))
    scope = context.scope()
    given = [scope.text(path).partition("::")[0] for path in (spec.tests.paths if spec.tests else ())]
    found = [place for one in given for place in (relative(context, one), _resolved(context, one))]
    return default_seal([path for path in found if path is not None], relative(context, spec.path.name))


def allowed_paths(context: PhaseContext) -> list[str]:
    """What the phase's command may change: its own `paths`, else those of the loop's commits; empty for everything."""
    given = context.phase.with_.get("paths")
    if given is None:
        given = [path for phase in context.spec.phases if phase.uses == "commit" for path in phase.with_["paths"]]
    return [path for path in (relative(context, one) for one in dict.fromkeys(given)) if path is not None]


async def save(context: PhaseContext, folder: Path) -> Saved:
    """Keeps what is there, before the command runs for the first time; in `folder` for a process that comes later."""
    workspace = context.tools.workspace
    owed = await _owed(context)
    keeping = asyncio.to_thread(sealed_files.keep, folder, top(context), seal_of(context), workspace, owed)
    try:
        before = await whole(keeping)
    except asyncio.CancelledError:  # a stop before the command began
        sealed_files.forget(folder)
        raise
    if workspace is None:
        return Saved(before)
    commit = context.state().head
    assert commit is not None
    fact = WorkspaceSaved(commit=commit, tree=await workspace.snapshot(_name(context)))
    await context.event(fact)
    return Saved(before, fact.commit, fact.tree)


async def _owed(context: PhaseContext) -> dict[str, str | None]:
    """What files held before a command changed them where it cannot be taken back, which was refused. A person who
    had the session stand still, or was waited for, has seen what is there, and owes nothing.
    """
    if not any(ran.refused for ran in context.state().fixers):
        return {}
    owed: dict[str, str | None] = {}
    for event in (item.event for item in await context.journal.events(context.session)):
        if isinstance(event, SessionPaused | WaitBegan):
            owed.clear()
        elif isinstance(event, FixerRan) and event.refused:
            folder = context.tools.folder / f"{event.iteration}-{event.phase}-{event.attempt}"
            before = await asyncio.to_thread(sealed_files.kept, folder)
            if before is not None:
                owed = sealed_files.owed_for(before, event.refused, in_place=context.tools.workspace is None) | owed
    return owed


async def saved(context: PhaseContext, folder: Path) -> Saved | None:
    """What an earlier process has kept; None where it did not come to the end of that, so that the command never began.
    A tree that this machine does not have is as good as the commit that it stood on.
    """
    workspace, fact = context.tools.workspace, context.state().saved
    before = await asyncio.to_thread(sealed_files.kept, folder)
    if workspace is None:
        return None if before is None else Saved(before)
    if fact is None:
        return None
    tree = fact.tree if await workspace.holds(fact.tree) else await workspace.tree_of(fact.commit)
    if before is None:
        await workspace.restore(fact.commit, tree)
        before = await asyncio.to_thread(sealed_files.keep, folder, top(context), seal_of(context), workspace)
    return Saved(before, fact.commit, tree)


@asynccontextmanager
async def stops_forgotten(context: PhaseContext, folder: Path, before: Saved) -> AsyncIterator[None]:
    """A stop in here: what is changed until the session goes on is not the command's doing, so what is sealed is kept
    anew then, unless the command has changed it.
    """
    try:
        yield
    except asyncio.CancelledError:
        if not await asyncio.to_thread(sealed_files.differing, before.files, top(context), seal_of(context)):
            sealed_files.forget(folder)
        raise


async def put_back(context: PhaseContext, before: Saved) -> bool:
    """Takes back all that an attempt at this phase changed in the workspace; False without one."""
    workspace = context.tools.workspace
    if workspace is None or before.commit is None or before.tree is None:
        return False
    # First what git goes by, then what it puts back.
    await asyncio.to_thread(sealed_files.put_back, before.files, top(context), seal_of(context), workspace)
    await workspace.restore(before.commit, before.tree)
    return True


async def look(context: PhaseContext, before: Saved) -> Looked:
    """What the command changed since `save`."""
    workspace, above, seal = context.tools.workspace, top(context), seal_of(context)
    broken = await asyncio.to_thread(sealed_files.differing, before.files, above, seal)
    if workspace is None or before.commit is None or before.tree is None:
        diff = await asyncio.to_thread(sealed_files.diff, before.files, above, broken)
        owed = await asyncio.to_thread(sealed_files.still_owed, before.files, above, seal, None)
        left = tuple(path for path in owed if path not in broken)
        return Looked(tuple(broken), tuple(broken), (), diff, left=left)
    gits = await asyncio.to_thread(sealed_files.differing_gits, before.files, workspace)
    await asyncio.to_thread(sealed_files.put_back_gits, before.files, workspace)
    moved = await workspace.stand_on(before.commit)
    tree, unkept = None, None
    try:
        tree = await workspace.snapshot(f"{_name(context)}-after")
    except NotKept as error:
        unkept = error
    changed = [] if tree is None else [change.path for change in await workspace.changes(before.tree, tree)]
    may = allowed_paths(context)
    sealed = list(dict.fromkeys((*seal.broken_by(changed), *broken)))
    outside = [path for path in changed if path not in sealed and not allowed(path, may)] + gits
    hidden = [path for path in broken if path not in changed]
    diff = await asyncio.to_thread(sealed_files.diff, before.files, above, hidden)
    if tree is not None and (sealed or outside):
        diff += await workspace.diff(before.tree, tree, [path for path in (*sealed, *outside) if path in changed])
    differs = tuple(dict.fromkeys((*changed, *broken)))
    owed = await asyncio.to_thread(sealed_files.still_owed, before.files, above, seal, workspace)
    left = tuple(path for path in owed if path not in gits)
    return Looked(differs, tuple(sealed), tuple(outside), diff, tree, unkept, moved, left)


def of_the_user(context: PhaseContext, looked: Looked) -> bool:
    """Whether something was refused that lies in the user's own repository, where nothing is taken back."""
    workspace = context.tools.workspace
    is_theirs = workspace is not None and workspace.made.kind == "worktree"
    return is_theirs and any(sealed_files.is_of_git(path) for path in looked.refused)


async def wrong_in(context: PhaseContext, workspace: Workspace, parent: str, tree: str) -> tuple[list[str], list[str]]:
    """The paths in which `tree` differs from `parent`, and those of them that no commit of this phase may hold: what
    is sealed, or not among its paths.
    """
    changed = [change.path for change in await workspace.changes(parent, tree)]
    seal = seal_of(context)
    given = [relative(context, path) for path in context.phase.with_["paths"]]
    paths = [path for path in given if path is not None]
    wrong = [path for path in changed if not allowed(path, paths) or seal.holds(path)]
    for path in changed:
        if path in seal.settings and path not in wrong and await _tells_pytest_else(workspace, parent, tree, path):
            wrong.append(path)
    return changed, wrong


async def _tells_pytest_else(workspace: Workspace, parent: str, tree: str, path: str) -> bool:
    before, now = await workspace.text(parent, path), await workspace.text(tree, path)
    return pytest_part(path, before or "") != pytest_part(path, now or "")


def _name(context: PhaseContext) -> str:
    return f"{context.iteration}-{context.phase.name}-{context.attempt}"
