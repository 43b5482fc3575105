"""The model of a session that `status` shows, read from the journal."""

from __future__ import annotations

from dataclasses import replace

from netra_loop.cli.scores import commits_of, scores_of
from netra_loop.core.records import Finding
from netra_loop.core.state import State, fold
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.report import phrases
from netra_loop.report.error_groups import errors_told
from netra_loop.report.phrases import OPEN_STATES
from netra_loop.report.view import SessionView, count_told


async def view_of(store: Journal, head: SessionHead) -> SessionView:
    """How the session stands, as of the newest commit."""
    return await _view(store, head, fold(await store.events(head.id)))


async def told_of(store: Journal, head: SessionHead) -> tuple[SessionView, list[Finding]]:
    """The same, and the findings of the iteration that it shows: none until it was judged, for those of an earlier one
    are of other revisions and results.
    """
    state = fold(await store.events(head.id))
    view = await _view(store, head, state)
    if state.judged_now() is not None:
        return view, await store.findings(head.id, state.iteration)
    before = state.judged[-1] if state.judged else None
    left = (
        sum(1 for one in await store.findings(head.id, before.iteration) if one.state in OPEN_STATES) if before else 0
    )
    return replace(view, earlier=_left(state.iteration, before.iteration, left) if before and left else ""), []


def _left(iteration: int, before: int, left: int) -> str:
    counted = phrases.counted(left, "finding")
    return f"iteration {iteration} was not judged yet; iteration {before} left {counted} open"


def _waits(state: State) -> tuple[str, ...]:
    if state.waiting is None:
        return ()
    began = state.waiting.began
    waits = f"waits for {began.told}, since {state.waiting.since:%Y-%m-%d %H:%M:%SZ}"
    more = (f"in {began.place}" if began.place else "", f"the brief is {began.brief}" if began.brief else "")
    return (waits, *filter(None, more))


async def _view(store: Journal, head: SessionHead, state: State) -> SessionView:
    judged = state.judged_now()
    selected = state.selection.selected if state.selection else 0
    # A verdict's counts are of results that nothing adds to any more; a million of them need not be counted again.
    told = judged.counts if judged else {}
    tests = told or count_told(selected, await store.counted(head.id, state.iteration))
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
        findings=judged.findings if judged else {},
        log_entries=state.log_entries,
        logs_complete=bool(state.logs_complete),
        exit_code=state.exit_code,
        reason=state.reason or "",
        errors=errors_told(state.errors),
        vars=state.vars,
        urls={service: revision.url for service, revision in state.revisions.items()},
        regressed=judged.regressed if judged else {},
        scores=await scores_of(store, head, state),
        commits=await commits_of(store, head, state),
        waits=_waits(state),
    )
