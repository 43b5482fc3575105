"""What findings are made from beside an iteration's own facts: where source lies, and what was found before."""

from __future__ import annotations

from netra_loop.core.records import Finding
from netra_loop.core.stacktrace import Source
from netra_loop.phases.base import PhaseContext


def sources(context: PhaseContext) -> dict[str, Source]:
    """Where each service's source lies, so that a place in it can be told from one in a library."""
    scope = context.scope()
    return {
        name: Source(root=str((context.spec.base_dir / scope.text(service.source)).resolve()))
        for name, service in context.spec.services.items()
    }


async def earlier_findings(context: PhaseContext) -> list[Finding]:
    """The findings of the iterations before, each iteration's own rows."""
    return [
        finding
        for iteration in range(1, context.iteration)
        for finding in await context.journal.findings(context.session, iteration)
    ]
