"""What a revision is made from: files that nobody changes afterwards, so that it is what was deployed for ever.

With a workspace they are its newest commit, by itself; what a fixer changed and nobody committed is not among them, and
is told. Without one they are a copy of the service's source where the cloud starts it from there; where an image is
built, the build is what keeps it. Of an image that is deployed as it is found nothing is known but its name.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from netra_loop.core.events import SourceTaken
from netra_loop.core.spec import ServiceSpec
from netra_loop.journal.folders import own_folder
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.building import takes_image
from netra_loop.workspace.base import SOURCES, NotKept, Workspace

_SHOWN = 3


async def at_head(context: PhaseContext) -> PhaseContext:
    """The same context, but its loop's files are those of the workspace's newest commit; as it is without one."""
    workspace, head = context.tools.workspace, context.state().head
    base = context.spec.base_dir
    if workspace is None or head is None or not base.is_relative_to(workspace.made.root):
        return context
    folder = await workspace.export(head)
    return replace(context, spec=context.spec.placed_at(folder / base.relative_to(workspace.made.root)))


async def take(context: PhaseContext, service: str) -> Path:
    """Where the source of the next revision of `service` lies, for a context that is `at_head`; recorded before it is
    used. A deploy that goes on takes what it began with.
    """
    spec, state = context.spec.services[service], context.state()
    before = state.taken.get(service)
    if before is not None and _holds_still(context, before) and await asyncio.to_thread(Path(before.folder).is_dir):
        return Path(before.folder)
    source = (context.spec.base_dir / context.scope().text(spec.source)).resolve()
    fact = SourceTaken(service=service, folder=str(source))
    workspace = context.tools.workspace
    if _is_found(context, spec):
        image = context.redactor.text(context.scope().text(spec.image or ""))
        fact = replace(fact, image=image, commit=None if workspace is None else state.head)
    elif workspace is not None:
        fact = replace(fact, commit=state.head, left_out=await _left_out(context, workspace))
    elif not takes_image(context.environment, spec):
        inside = context.tools.folder / SOURCES
        own_folder(inside)
        root = context.spec.root_dir.resolve()
        fact = replace(fact, folder=str(await asyncio.to_thread(_copied, source, root, inside, service)))
    await context.event(fact)
    if fact.left_out:
        context.observer.progress(
            f"not in this revision, for nobody has committed it: {', '.join(fact.left_out[:_SHOWN])}"
            f"{f' and {len(fact.left_out) - _SHOWN} more' if len(fact.left_out) > _SHOWN else ''}"
        )
    return Path(fact.folder)


def _is_found(context: PhaseContext, spec: ServiceSpec) -> bool:
    """Whether what is deployed is an image that nobody builds here."""
    return takes_image(context.environment, spec) and spec.build is None


def _holds_still(context: PhaseContext, before: SourceTaken) -> bool:
    """Whether this deploy goes on with it: by an interrupted one of its kind, or since the iteration's revision, which
    there is but once, was made from it.
    """
    made = (context.state().failed_deploy or {}).get("revision")
    return before.iteration == context.iteration and (before.attempt == context.attempt or bool(made))


def _copied(source: Path, root: Path, inside: Path, service: str) -> Path:
    from netra_loop.workspace.copying import copy_aside  # only where something is deployed from source

    return copy_aside(source, root, inside, service)


async def _left_out(context: PhaseContext, workspace: Workspace) -> tuple[str, ...]:
    """What was changed in the workspace since its newest commit."""
    head = context.state().head
    assert head is not None
    try:
        tree = await workspace.snapshot(f"{context.iteration}-{context.phase.name}-{context.attempt}")
    except NotKept as error:
        return error.paths
    return tuple(change.path for change in await workspace.changes(head, tree))
