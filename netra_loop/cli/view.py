"""The model of a session that `status` shows, read from the journal."""

from __future__ import annotations

from netra_loop.core.state import fold
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.report.error_groups import errors_told
from netra_loop.report.view import SessionView, count_findings, count_told


async def view_of(store: Journal, head: SessionHead) -> SessionView:
    """How the session stands, as of the newest commit."""
    state = fold(await store.events(head.id))
    judged = state.judged_now()
    selected = state.selection.selected if state.selection else 0
    # A verdict's counts are of results that nothing adds to any more; a million of them need not be counted again.
    told = judged.counts if judged else {}
    tests = told or count_told(selected, await store.counted(head.id, state.iteration))
    found = judged.findings if judged else count_findings(await store.findings(head.id, state.iteration))
    return SessionView(
        session=head.id,
        loop=head.loop,
        environment=head.environment,
        state=state.status.value,
        iteration=state.iteration,
        phase=state.phase,
        started_at=head.started_at,
        updated_at=state.updated_at or head.updated_at,
        revisions={service: revision.name for service, revision in state.revisions.items()},
        tests=tests,
        tiers=judged.tiers if judged else (),
        findings=found,
        log_entries=state.log_entries,
        logs_complete=bool(state.logs_complete),
        exit_code=state.exit_code,
        reason=state.reason or "",
        errors=errors_told(state.errors),
        vars=state.vars,
        urls={service: revision.url for service, revision in state.revisions.items()},
    )
