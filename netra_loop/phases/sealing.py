"""What a command changed, and whether it may have: the seal and the allowed paths, held against files before and after.

With a workspace two trees of git's are compared. In place only what is sealed is looked at: each file's hash, and its
text as far as a diff needs it, are kept in the session's folder before the command runs, so a process that finds it cut
off compares with the same.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netra_loop.core.events import WorkspaceSaved
from netra_loop.core.seal import Seal, allowed, default_seal
from netra_loop.phases.base import PhaseContext
from netra_loop.workspace.base import Workspace

_NOISE = frozenset({"__pycache__", ".pytest_cache", ".git", ".netra-loop", ".venv", "node_modules"})
_KEPT = 1_000_000  # bytes of a file whose text is kept for a diff
_DIFF = 200_000


@dataclass(frozen=True)
class Looked:
    """What was found after a command: every path that differs (in place: of those that are sealed), those that it may
    not change, and a diff of these. `tree` is what the workspace holds now.
    """

    changed: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    diff: str = ""
    tree: str | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """All that it may not change."""
        return tuple(dict.fromkeys((*self.sealed, *self.outside)))


def top(context: PhaseContext) -> Path:
    """The folder that changes are told relative to."""
    workspace = context.tools.workspace
    return context.spec.root_dir if workspace is None else workspace.made.root


def relative(context: PhaseContext, given: str) -> str | None:
    """A path of the loop file relative to `top`; None where it leads outside."""
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
    tests = [path for path in (relative(context, one) for one in given) if path is not None]
    return default_seal(tests, relative(context, spec.path.name))


def allowed_paths(context: PhaseContext) -> list[str]:
    """What the phase's command may change: its own `paths`, else those of the loop's commits; empty for everything."""
    given = context.phase.with_.get("paths")
    if given is None:
        given = [path for phase in context.spec.phases if phase.uses == "commit" for path in phase.with_["paths"]]
    return [path for path in (relative(context, one) for one in dict.fromkeys(given)) if path is not None]


async def save(context: PhaseContext, folder: Path) -> None:
    """Keeps what is there, before the command runs for the first time."""
    workspace = context.tools.workspace
    if workspace is None:
        _save_in_place(folder, _manifest(top(context), seal_of(context)), top(context))
        return
    commit = context.state().head
    assert commit is not None
    name = f"{context.iteration}-{context.phase.name}-{context.attempt}"
    await context.event(WorkspaceSaved(commit=commit, tree=await workspace.snapshot(name)))


async def put_back(context: PhaseContext) -> bool:
    """Takes back all that an attempt at this phase changed in the workspace; False where nothing was saved, for then
    the command never began.
    """
    workspace, saved = context.tools.workspace, context.state().saved
    if workspace is None or saved is None:
        return False
    await workspace.restore(saved.commit, saved.tree)
    return True


def was_saved(context: PhaseContext, folder: Path) -> bool:
    """Whether `save` came to its end before an earlier process did."""
    return (folder / _SAVED).exists() if context.tools.workspace is None else context.state().saved is not None


async def look(context: PhaseContext, folder: Path) -> Looked:
    """What the command changed since `save`."""
    workspace = context.tools.workspace
    if workspace is None:
        return _look_in_place(folder, top(context), seal_of(context))
    saved = context.state().saved
    assert saved is not None
    return await _look_at_trees(context, workspace, saved)


async def _look_at_trees(context: PhaseContext, workspace: Workspace, saved: WorkspaceSaved) -> Looked:
    tree = await workspace.snapshot(f"{context.iteration}-{context.phase.name}-{context.attempt}-after")
    changed = [change.path for change in await workspace.changes(saved.tree, tree)]
    may = allowed_paths(context)
    sealed = tuple(seal_of(context).broken_by(changed))
    outside = tuple(path for path in changed if not allowed(path, may))
    refused = [*dict.fromkeys((*sealed, *outside))]
    diff = await workspace.diff(saved.tree, tree, refused) if refused else ""
    return Looked(tuple(changed), sealed, outside, diff, tree)


# ------------------------------------------------------------------------------------------------------------ in place

_SAVED = "sealed.json"


def _files(above: Path, seal: Seal) -> Iterator[str]:
    """The sealed files that are there."""
    if not (seal.files or seal.globs or seal.conftests):
        return
    for at, folders, names in os.walk(above):
        folders[:] = [name for name in folders if name not in _NOISE]
        for name in names:
            path = (Path(at) / name).relative_to(above).as_posix()
            if seal.holds(path):
                yield path


def _manifest(above: Path, seal: Seal) -> dict[str, str]:
    return {path: _digest(above / path) for path in sorted(_files(above, seal))}


def _digest(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link to {path.readlink()}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"not readable: {error.strerror}"


def _save_in_place(folder: Path, manifest: Mapping[str, str], above: Path) -> None:
    texts = {}
    for path in manifest:
        text = _text(above / path)
        if text is not None:
            texts[path] = text
    draft = folder / f"{_SAVED}.draft"
    draft.touch(mode=0o600)
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"files": manifest, "texts": texts}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / _SAVED)


def _look_in_place(folder: Path, above: Path, seal: Seal) -> Looked:
    saved = json.loads((folder / _SAVED).read_text("utf-8"))
    before, texts, now = saved["files"], saved["texts"], _manifest(above, seal)
    broken = [path for path in sorted({*before, *now}) if before.get(path) != now.get(path)]
    diff = "".join(_diff(path, texts.get(path), _text(above / path)) for path in broken)
    return Looked(tuple(broken), tuple(broken), (), diff[:_DIFF])


def _text(path: Path) -> str | None:
    try:
        if path.is_symlink() or path.stat().st_size > _KEPT:
            return None
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _diff(path: str, before: str | None, now: str | None) -> str:
    told = "".join(difflib.unified_diff(_lines(before), _lines(now), f"a/{path}", f"b/{path}"))
    return told or f"{path} differs\n"


def _lines(text: str | None) -> Sequence[str]:
    return (
        []
        if text is None
        else [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
    )
