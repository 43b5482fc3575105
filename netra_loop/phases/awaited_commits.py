"""A commit that somebody else makes, waited for; with a workspace it becomes what the session goes on with."""

from __future__ import annotations

from dataclasses import replace

from netra_loop.core.claims import claimed
from netra_loop.core.commit_text import FINDING
from netra_loop.core.events import Committed, FixerRan
from netra_loop.errors import UsageError
from netra_loop.phases.awaited import Arrived, Note
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.sealing import seal_of, top
from netra_loop.workspace.base import NotKept, Workspace
from netra_loop.workspace.looking import Branch, Seen, branch_at

_SHOWN = 3


class _Commit:
    """Whether `branch` has a commit that it had not. With a workspace it must build on the session's own last one."""

    def __init__(self, context: PhaseContext, branch: Branch, first: str | None) -> None:
        workspace = context.tools.workspace
        where = top(context) if workspace is None or branch.name == workspace.made.branch else workspace.home
        self.told = f"new commit on {branch.name}"
        self.place = str(where)
        self._context = context
        self._branch = branch
        self._first = first

    async def known(self) -> dict[str, str]:
        """The branch's newest commit that the session knows of; "" where there is none."""
        return {self._branch.name: self._first or await self._branch.newest() or ""}

    async def look(self, known: dict[str, str]) -> Arrived | Note | None:
        """See `wait`."""
        workspace, before = self._context.tools.workspace, known.get(self._branch.name, "")
        head = before if workspace is None else self._context.state().head or before
        commit = await self._branch.newest()
        if commit is None or (head and await self._branch.holds(head, commit)):
            return None
        if workspace is None:
            return await self._arrived(before, commit, None)
        if not await self._branch.holds(commit, head):
            return Note(commit, _not_on_top(self._branch.name, commit, head, workspace))
        try:
            return await self._arrived(head, commit, workspace)
        except NotKept as error:
            some = _some(list(error.paths))
            told = (
                f"commit {commit[:12]} is not taken while this is there, which cannot be put aside: {some}: {error.why}"
            )
            return Note(f"{commit} {some}", told)

    async def _arrived(self, before: str, commit: str, workspace: Workspace | None) -> Arrived:
        context = self._context
        seen = await self._branch.seen(before, commit)
        told = [f"{commit[:12]} {seen.subject} ({seen.author})"]
        events: list[FixerRan | Committed] = []
        tree = None
        if workspace is not None:
            told += await _taken_in(context, workspace, before, commit)
            tree = await workspace.tree_of(commit)
        sealed = seal_of(context).broken_by(seen.paths)
        if sealed:
            told.append(f"it changes what is sealed to fixers: {_some(sealed)}")
        findings = await context.journal.findings(context.session)
        claims = _claims(seen, {finding.id for finding in findings})
        note = context.redactor.text("\n\n".join(seen.messages))
        events.append(FixerRan(exit_code=0, note=note, claims=claims, changed=seen.paths, tree=tree))
        if workspace is not None and tree is not None:
            said = context.redactor.text(seen.subject)
            events.append(
                Committed(commit=commit, parent=before, tree=tree, subject=said, paths=seen.paths, findings=claims)
            )
        await context.tools.renew_pool()  # the tests may be others by now
        arrived = Arrived("; ".join(told), {"commit": commit}, tuple(events))
        renewed = {finding.id: finding for finding in claimed(findings, claims, context.iteration)}
        if not renewed:
            return arrived
        whole = tuple(renewed.get(one.id, one) for one in findings)
        return replace(arrived, findings=whole, findings_iteration=max(one.last_iteration for one in findings))


async def awaited_commit(context: PhaseContext) -> _Commit:
    """The next commit on the branch that `ref` names; without it on the session's own or, where source is changed in
    place, on the one that is checked out. Raises UsageError where there is no repository.
    """
    workspace, environ = context.tools.workspace, context.tools.environ
    given, waiting = context.phase.with_.get("ref"), context.state().waiting
    if workspace is not None:
        name = workspace.made.branch if given is None else context.scope().text(given)
        return _Commit(context, Branch(name, workspace.made.root, environ), context.state().head)
    folder = context.spec.root_dir
    checked_out = await branch_at(folder, environ)
    if checked_out is None:
        raise UsageError(
            f"phase {context.phase.name!r} waits for a commit, and {str(folder)!r} lies in no git repository",
            hint="run `git init` and commit there, or wait for `resume`",
        )
    if given is not None:
        return _Commit(context, Branch(context.scope().text(given), folder, environ), None)
    name = checked_out if waiting is None else next(iter(waiting.began.known), checked_out)  # it may be another by now
    return _Commit(context, Branch(name, folder, environ), context.scope().git.get("sha"))


async def _taken_in(context: PhaseContext, workspace: Workspace, before: str, commit: str) -> list[str]:
    """The workspace stands on `commit` and holds what that holds. What else was in it is kept under a name of git's,
    which is told: what is tested is to be what was committed. Safe to repeat.
    """
    name = f"{context.iteration}-{context.phase.name}-{context.attempt}"
    wanted, told = await workspace.tree_of(commit), []
    held = await workspace.snapshot(f"{name}-now")
    if held not in {wanted, await workspace.tree_of(before)}:
        await workspace.snapshot(f"{name}-aside")
        count = len(await workspace.changes(wanted, held))
        files = "1 file that was" if count == 1 else f"{count} files that were"
        kept = f"refs/netra-loop/{context.session}/{name}-aside"
        told.append(f"{files} not committed put aside: git diff {commit[:12]} {kept}")
    await workspace.restore(commit, wanted)
    return told


def _claims(seen: Seen, known: set[str]) -> tuple[str, ...]:
    """The findings that the messages' trailers name."""
    lines = [line for message in seen.messages for line in message.splitlines()]
    named = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key == FINDING]
    return tuple(one for one in dict.fromkeys(named) if one in known)


def _not_on_top(branch: str, commit: str, head: str, workspace: Workspace) -> str:
    return (
        f"commit {commit[:12]} on {branch} is not taken, for it does not build on {head[:12]}, on which the session "
        f"stands: rebase it onto {workspace.made.branch}, or merge that into it"
    )


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:_SHOWN])
    return shown if len(paths) <= _SHOWN else f"{shown} and {len(paths) - _SHOWN} more"
