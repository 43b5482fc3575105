"""How the claims and the commits of a session's fixers turned out, as it is told to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netra_loop.core.events import Committed
    from netra_loop.core.records import Finding
    from netra_loop.core.state import State
    from netra_loop.journal.base import Journal, SessionHead

_SHORT = 12  # characters of a commit's id


async def scores_of(store: Journal, head: SessionHead, state: State) -> dict[str, str]:
    """By the phase that a fixer is, in the order of their first claims; empty, and nothing read, without a claim. The
    last word on one is in the newest row of its finding, whichever iteration wrote it.
    """
    made_by = {(ran.iteration, claim): ran.phase or "" for ran in state.fixers for claim in ran.claims}
    if not made_by:
        return {}
    from netra_loop.core.claims import scores

    newest = await _newest(store, head, state)
    return {name: str(score) for name, score in scores(list(newest.values()), made_by).items()}


async def commits_of(store: Journal, head: SessionHead, state: State) -> tuple[str, ...]:
    """Each of the session's commits, oldest first, with what became of the claims that it was made for, and where they
    are; empty, and nothing read, without one.
    """
    if not state.commits or state.workspace is None:
        return ()
    newest = await _newest(store, head, state)
    told = [_commit(made, newest) for made in state.commits]
    return (*told, f"on branch {state.workspace.branch} in {state.workspace.root}")


def _commit(made: Committed, newest: dict[str, Finding]) -> str:
    claims = [claim for one in made.findings if one in newest for claim in newest[one].claims]
    said = dict.fromkeys(
        f"{claim.verdict} by {claim.revision}" if claim.revision else claim.verdict
        for claim in claims
        if claim.iteration == made.iteration
    )
    return f"{made.commit[:_SHORT]} {made.subject}" + (f": {', '.join(said)}" if said else "")


async def _newest(store: Journal, head: SessionHead, state: State) -> dict[str, Finding]:
    """The newest row of each finding since the first fixer ran."""
    newest: dict[str, Finding] = {}
    first = min(one.iteration for one in (*state.fixers, *state.commits))
    for number in range(first, state.iteration + 1):
        newest |= {finding.id: finding for finding in await store.findings(head.id, number)}
    return newest
