"""`uses: commit`: what a fixer changed becomes one commit of the session's branch."""

from __future__ import annotations

from netra_loop.core.commit_text import INTENT, commit_text, intent
from netra_loop.core.events import (
    Adopted,
    Committed,
    FixerRan,
    FixTurnedBack,
    SessionPaused,
    SessionResumed,
    WaitBegan,
    WorkspaceSaved,
)
from netra_loop.core.records import Batch, Finding
from netra_loop.core.state import State
from netra_loop.errors import Defect
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.sealing import wrong_in
from netra_loop.workspace.base import CommitText, NotKept, Tip, TurnedBack, Workspace

_SHOWN = 5
_SHORT = 12


class Commit:
    """One commit on top of the last one, with what was changed below the phase's paths. Its date is that of the intent,
    so that it is the same commit when it is made again after a crash; one that the branch has already is adopted.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. `failed` where nothing was changed, where anything else than the phase's paths was, or what
        is sealed, and where the change takes an earlier one back, with which the session ends stuck: then nothing is
        committed.
        """
        workspace, state = context.tools.workspace, context.state()
        if workspace is None or state.head is None or state.opened_at is None:
            raise Defect("a commit without a workspace: the loop file's check lets none pass")
        tip = await workspace.tip()
        if tip.commit != state.head:
            return await self._beside(context, workspace, state.head, tip)
        return await self._anew(context, workspace, state.head)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _anew(self, context: PhaseContext, workspace: Workspace, parent: str) -> PhaseResult:
        try:
            tree = await workspace.snapshot(f"{context.iteration}-{context.phase.name}-{context.attempt}")
        except NotKept as error:
            return PhaseResult("failed", f"nothing was committed: {error.why}")
        changed, wrong = await wrong_in(context, workspace, parent, tree)
        if wrong:
            return PhaseResult("failed", f"nothing was committed, for this was changed too: {_some(wrong)}")
        if not changed:
            return PhaseResult(
                "failed",
                f"there is nothing to commit: no file differs from {parent[:_SHORT]}. What is to be committed has to "
                f"be written below {workspace.made.root}, where the command of a run phase begins",
            )
        later = await _changed_later(context, workspace, tree)
        if later:
            return PhaseResult(
                "failed",
                f"nothing was committed: since the last command ended somebody has changed {_some(later)}, which "
                "nobody has looked at",
            )
        text = await _text(context)
        turned = await workspace.turns_back(parent, tree)
        if turned is not None:
            return await _turned_back(context, workspace, parent, tree, text, turned)
        made = await workspace.commit(parent, tree, text)
        return await _committed(context, workspace, Tip(made, (parent,), tree, text.message))

    async def _beside(self, context: PhaseContext, workspace: Workspace, head: str, tip: Tip) -> PhaseResult:
        """The branch is not where the session left it: by this very phase, before a crash, or by somebody else."""
        of = intent(context.session, context.iteration, context.phase.name, context.attempt)
        if tip.parents == (head,) and f"{INTENT}: {of}" in tip.message.splitlines():
            await workspace.stand_on(tip.commit)
            return await _committed(context, workspace, tip, Adopted(what="commit", name=tip.commit))
        branch, subject = workspace.made.branch, tip.message.partition("\n")[0]
        return PhaseResult(
            "failed",
            f"nothing was committed: branch {branch} stands at {tip.commit[:_SHORT]} ({subject}), which this session "
            f"did not make, and not at {head[:_SHORT]}. Take it in with a phase that waits for a commit, or put the "
            f"branch back: git update-ref refs/heads/{branch} {head[:_SHORT]}",
        )


async def _changed_later(context: PhaseContext, workspace: Workspace, tree: str) -> list[str]:
    """What was changed after the last command, such as a gate, had ended; nothing where a person may have done that,
    while the session stood still or waited.
    """
    seen: str | None = None
    for event in (item.event for item in await context.journal.events(context.session)):
        if isinstance(event, WorkspaceSaved | FixerRan):
            seen = event.tree
        elif isinstance(event, Committed | SessionPaused | SessionResumed | WaitBegan):
            seen = None
    return [] if seen is None else [change.path for change in await workspace.changes(seen, tree)]


async def _committed(context: PhaseContext, workspace: Workspace, made: Tip, *adopted: Adopted) -> PhaseResult:
    (parent,) = made.parents
    fact = Committed(
        commit=made.commit,
        parent=parent,
        tree=made.tree,
        subject=made.message.partition("\n")[0],
        paths=tuple(change.path for change in await workspace.changes(parent, made.commit)),
        findings=tuple(finding.id for finding in await _meant(context)),
    )
    batch = Batch(events=tuple(context.stamp(event) for event in (*adopted, fact)))
    return PhaseResult("ok", f"{made.commit[:_SHORT]} {fact.subject}", {"commit": made.commit}, batch)


async def _turned_back(
    context: PhaseContext, workspace: Workspace, parent: str, tree: str, text: CommitText, turned: TurnedBack
) -> PhaseResult:
    """The change is kept where only its id leads to it; that ends the session."""
    aside = await workspace.keep_aside(parent, tree, text, f"{context.iteration}-turned-back")
    known = {
        one.commit: f"{one.commit[:_SHORT]} ({one.subject}, iteration {one.iteration})" for one in _commits(context)
    }
    undone = known.get(turned.takes_back, turned.takes_back[:_SHORT])
    why = f"{aside[:_SHORT]} ({text.message.partition(chr(10))[0]}), which was not committed, takes back {undone}"
    if turned.like is not None:
        why += (
            f": all would be as it was at {known.get(turned.like, f'{turned.like[:_SHORT]}, where the session began')}"
        )
    fact = FixTurnedBack(commit=aside, takes_back=turned.takes_back, why=why)
    return PhaseResult("failed", why, {"kept": aside}, Batch(events=(context.stamp(fact),)))


def _commits(context: PhaseContext) -> tuple[Committed, ...]:
    return context.state().commits


async def _text(context: PhaseContext) -> CommitText:
    state, given = context.state(), context.phase.with_.get("message")
    assert state.opened_at is not None
    message = commit_text(
        None if given is None else context.scope().text(given),
        _notes(state),
        await _meant(context),
        session=context.session,
        iteration=context.iteration,
        of=intent(context.session, context.iteration, context.phase.name, context.attempt),
    )
    return CommitText(context.redactor.text(message), state.opened_at)


async def _meant(context: PhaseContext) -> list[Finding]:
    """The findings that the fixers since the last commit claim."""
    findings = await context.journal.findings(context.session)
    claims = {claim for ran in _since_the_last(context.state()) for claim in ran.claims}
    return [finding for finding in findings if finding.id in claims]


def _notes(state: State) -> str:
    """What each fixer noted, by its last attempt: what an earlier one did was not good enough, and may be undone."""
    last = {ran.phase: ran.note.strip() for ran in _since_the_last(state)}
    return "\n\n".join(note for note in last.values() if note)


def _since_the_last(state: State) -> list[FixerRan]:
    """The fixers of this iteration: an iteration's first commit ends what they did."""
    last = state.commits[-1].iteration if state.commits else 0
    return [ran for ran in state.fixers if ran.iteration > last or ran.iteration == state.iteration]


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:_SHOWN]) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
