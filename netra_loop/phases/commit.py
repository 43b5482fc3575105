"""`uses: commit`: what a fixer changed becomes one commit of the session's branch."""

from __future__ import annotations

from netra_loop.core.commit_text import commit_text, intent
from netra_loop.core.events import Adopted, Committed, FixerRan
from netra_loop.core.records import Batch, Finding
from netra_loop.core.seal import allowed
from netra_loop.core.state import State
from netra_loop.errors import Defect
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.sealing import relative, seal_of
from netra_loop.workspace.base import CommitText, Workspace

_SHOWN = 5


class Commit:
    """One commit on top of the last one, with what the phase's paths hold. Its date is that of the intent, so that it
    is the same commit when it is made again after a crash; one that the branch has already is adopted.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. `failed` where nothing was changed, and where anything else than the phase's paths was, or
        what is sealed: then nothing is committed.
        """
        return await _commit(context, adopting=False)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await _commit(context, adopting=True)


async def _commit(context: PhaseContext, *, adopting: bool) -> PhaseResult:
    workspace, state = context.tools.workspace, context.state()
    if workspace is None or state.head is None or state.opened_at is None:
        raise Defect("a commit without a workspace: the loop file's check lets none pass")
    parent = state.head
    paths = [path for path in (relative(context, given) for given in context.phase.with_["paths"]) if path is not None]
    wrong = await _not_to_be_committed(context, workspace, parent, paths)
    if wrong:
        return PhaseResult("failed", f"nothing was committed, for this was changed too: {wrong}")
    findings = await _meant(context, state)
    given = context.phase.with_.get("message")
    text = context.redactor.text(
        commit_text(
            None if given is None else context.scope().text(given),
            _notes(state),
            findings,
            session=context.session,
            iteration=context.iteration,
            of=intent(context.session, context.iteration, context.phase.name, context.attempt),
        )
    )
    was = await workspace.head()
    made = await workspace.commit(parent, paths, CommitText(text, state.opened_at))
    if made is None:
        return PhaseResult("failed", "there is nothing to commit: no file below its paths was changed")
    fact = await _fact(workspace, made, parent, text, findings, state)
    adopted = [Adopted(what="commit", name=made)] if adopting and was == made else []
    summary = f"{made[:12]} {fact.subject}"
    if fact.takes_back is not None:
        told = f"{summary}; it takes back what {fact.takes_back[:12]} changed"
        return PhaseResult("failed", told, {"commit": made}, _batch(context, *adopted, fact))
    return PhaseResult("ok", summary, {"commit": made}, _batch(context, *adopted, fact))


def _batch(context: PhaseContext, *events: Adopted | Committed) -> Batch:
    return Batch(events=tuple(context.stamp(event) for event in events))


async def _fact(
    workspace: Workspace, made: str, parent: str, text: str, findings: list[Finding], state: State
) -> Committed:
    before, after = await workspace.tree_of(parent), await workspace.tree_of(made)
    changes = await workspace.changes(before, after)
    assert state.workspace is not None
    return Committed(
        commit=made,
        parent=parent,
        tree=after,
        subject=text.split("\n", 1)[0],
        paths=tuple(change.path for change in changes),
        findings=tuple(finding.id for finding in findings),
        takes_back=await workspace.reverts(made, state.workspace.base) if state.commits else None,
    )


async def _not_to_be_committed(context: PhaseContext, workspace: Workspace, parent: str, paths: list[str]) -> str:
    """What was changed since the last commit and may not be committed; "" where there is nothing of the kind."""
    name = f"{context.iteration}-{context.phase.name}-{context.attempt}"
    tree = await workspace.snapshot(name)
    changed = [change.path for change in await workspace.changes(await workspace.tree_of(parent), tree)]
    seal = seal_of(context)
    wrong = [path for path in changed if not allowed(path, paths) or seal.holds(path)]
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return ", ".join(wrong[:_SHOWN]) + more


async def _meant(context: PhaseContext, state: State) -> list[Finding]:
    """The findings that the fixers since the last commit claim; else those that are put before a fixer."""
    findings = await context.journal.findings(context.session)
    claims = {claim for ran in _since_the_last(state) for claim in ran.claims}
    return [finding for finding in findings if finding.id in claims]


def _notes(state: State) -> str:
    """What each fixer noted, by its last attempt: what an earlier one did was not good enough, and may be undone."""
    last = {ran.phase: ran.note.strip() for ran in _since_the_last(state)}
    return "\n\n".join(note for note in last.values() if note)


def _since_the_last(state: State) -> list[FixerRan]:
    """The fixers of this iteration: an iteration's first commit ends what they did."""
    last = state.commits[-1].iteration if state.commits else 0
    return [ran for ran in state.fixers if ran.iteration > last or ran.iteration == state.iteration]
