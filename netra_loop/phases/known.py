"""What findings are made from beside an iteration's own facts: where source lies, and what was found before."""

from __future__ import annotations

import re
from pathlib import Path

from netra_loop.core.records import Finding
from netra_loop.core.stacktrace import Source
from netra_loop.phases.base import PhaseContext
from netra_loop.workspace.base import SOURCES, inner_path


def sources(context: PhaseContext) -> dict[str, Source]:
    """Where the source of each service's newest revision lies, so that a place in it can be told from one in a library;
    and where that of any other revision lay, of this session or an earlier one.
    """
    return {name: _source(context, name) for name in context.spec.services}


def _source(context: PhaseContext, service: str) -> Source:
    spec, taken = context.spec, context.state().taken.get(service)
    given = (spec.base_dir / context.scope().text(spec.services[service].source)).resolve()
    workspace = context.tools.workspace
    top = (spec.root_dir if workspace is None else workspace.made.root).resolve()
    sessions = re.escape(context.tools.folder.parent.as_posix())
    copies = f"{sessions}/[^/]+/{SOURCES}/[^/]+/{re.escape(inner_path(given, top).as_posix())}"
    return Source(
        root=str(given) if taken is None else str(Path(taken.folder)),
        others=f"(?:{re.escape(given.as_posix())}|{copies})/",
    )


async def earlier_findings(context: PhaseContext) -> list[Finding]:
    """The findings of the iterations before, each iteration's own rows."""
    return [
        finding
        for iteration in range(1, context.iteration)
        for finding in await context.journal.findings(context.session, iteration)
    ]
