"""How the claims of a session's fixers turned out, as it is told to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netra_loop.core.records import Finding
    from netra_loop.core.state import State
    from netra_loop.journal.base import Journal, SessionHead


async def scores_of(store: Journal, head: SessionHead, state: State) -> dict[str, str]:
    """By the phase that a fixer is, in the order of their first claims; empty, and nothing read, without a claim. The
    last word on one is in the newest row of its finding, whichever iteration wrote it.
    """
    made_by = {(ran.iteration, claim): ran.phase or "" for ran in state.fixers for claim in ran.claims}
    if not made_by:
        return {}
    from netra_loop.core.claims import scores

    newest: dict[str, Finding] = {}
    for number in range(min(iteration for iteration, _ in made_by), state.iteration + 1):
        newest |= {finding.id: finding for finding in await store.findings(head.id, number)}
    return {name: str(score) for name, score in scores(list(newest.values()), made_by).items()}
