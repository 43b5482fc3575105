"""The model of a session that `status` shows, read from the journal."""

from __future__ import annotations

from collections import Counter

from netra_loop.core.records import Authenticity, Outcome, Result
from netra_loop.core.state import State, fold
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.report.view import SessionView

_FINDING_STATES = ("new", "persisting", "moved", "fixed", "regressed", "flaky")


async def view_of(store: Journal, head: SessionHead) -> SessionView:
    """How the session stands, as of the newest commit. Tests are counted by their latest attempt."""
    state = fold(await store.events(head.id))
    results = await store.results(head.id, state.iteration, bodies=False)
    judged = state.judged_now()
    findings = judged.findings if judged else {}
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
        tests=count_tests(results, state),
        tiers=judged.tiers if judged else (),
        findings={name: findings.get(name, 0) for name in _FINDING_STATES},
        log_entries=state.log_entries,
        logs_complete=bool(state.logs_complete),
        exit_code=state.exit_code,
    )


def count_tests(results: list[Result], state: State) -> dict[str, int]:
    """The contract's `tests` of `status`."""
    latest = {result.id: result for result in results}
    outcomes = Counter(result.outcome for result in latest.values())
    kinds = Counter(result.authenticity for result in latest.values())
    return {
        "selected": state.selection.selected if state.selection else 0,
        **{outcome.value: outcomes[outcome] for outcome in Outcome},
        "flaky": sum(result.flaky for result in latest.values()),
        "fake": kinds[Authenticity.FAKE],
        "suspect": kinds[Authenticity.SUSPECT],
    }
