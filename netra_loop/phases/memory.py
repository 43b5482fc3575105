"""What the store remembers of findings from earlier sessions of the same loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netra_loop.core.events import Committed, RevisionReady
from netra_loop.core.past import Fixed, Past, past
from netra_loop.core.records import Finding, Sighting
from netra_loop.errors import StoreAway, StoreError
from netra_loop.journal.base import Journal

_MOST = 100  # findings that are asked for
_SESSIONS = 3  # whose events are read for what mended them


async def remembered(journal: Journal, loop: str, session: str, findings: Sequence[Finding]) -> dict[str, Past]:
    """By their ids what is known of `findings`; those that no earlier session saw are not in it."""
    asked = list(dict.fromkeys(one.signature for one in findings))[:_MOST]
    seen: dict[str, list[Sighting]] = {}
    for one in await journal.sightings(loop, asked):
        seen.setdefault(one.signature, []).append(one)
    told = {one.id: known for one in findings if (known := past(seen.get(one.signature, ()), session)) is not None}
    return await _with_fixes(journal, told)


async def _with_fixes(journal: Journal, told: dict[str, Past]) -> dict[str, Past]:
    """The same, with what mended them: read out of the events of the newest sessions that did."""
    fixed = {known.fixed.session: None for known in told.values() if known.fixed is not None}
    facts = {session: await _facts(journal, session) for session in sorted(fixed, reverse=True)[:_SESSIONS]}
    return {
        finding: replace(known, fixed=_by(known.fixed, facts[known.fixed.session]))
        if known.fixed is not None and known.fixed.session in facts
        else known
        for finding, known in told.items()
    }


_Facts = list[RevisionReady | Committed]


async def _facts(journal: Journal, session: str) -> _Facts:
    """Nothing of a session that cannot be read: of another version's, or damaged, which is told where it is asked for;
    what it would tell is a help, and no reason to end this one.
    """
    try:
        events = [recorded.event for recorded in await journal.events(session)]
    except StoreAway:
        raise
    except StoreError:
        return []
    return [event for event in events if isinstance(event, RevisionReady | Committed)]


def _by(fixed: Fixed, facts: _Facts) -> Fixed:
    """The revision that was under test when it was seen to be gone, and the newest commit that went into it."""
    told, newest = fixed, None
    at = max((fact.iteration for fact in facts if _is_revision(fact, fixed.iteration)), default=0)
    for fact in facts:
        if isinstance(fact, Committed):
            newest = fact.commit
        elif fact.iteration == at and told.revision is None:
            told = replace(fixed, revision=fact.revision, commit=newest)
    return told


def _is_revision(fact: RevisionReady | Committed, until: int) -> bool:
    return isinstance(fact, RevisionReady) and fact.iteration <= until
