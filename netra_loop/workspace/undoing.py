"""Whether a change takes an earlier one back: wholly, by what the tree would hold, or by the patch that it is."""

from __future__ import annotations

from netra_loop.workspace.base import TurnedBack
from netra_loop.workspace.git import Git

_PATCH = ("-p", "--no-renames", "--no-ext-diff", "--no-textconv")


async def turned_back(git: Git, base: str, parent: str, tree: str) -> TurnedBack | None:
    """See `Workspace.turns_back`."""
    if base == parent:
        return None
    said = await git.text("rev-list", "--no-commit-header", "--format=%H %T", f"{base}..{parent}")
    since = [(commit, held) for commit, _, held in (line.partition(" ") for line in said.splitlines())]
    trees = [*since, (base, await git.text("rev-parse", f"{base}^{{tree}}"))]
    for place, (commit, held) in enumerate(trees):
        if held == tree and place > 0:
            return TurnedBack(since[place - 1][0], commit)
    return await _by_patch(git, base, parent, tree)


async def _by_patch(git: Git, base: str, parent: str, tree: str) -> TurnedBack | None:
    earlier = await git.raw("log", "--no-show-signature", "--format=commit %H", *_PATCH, f"{base}..{parent}", "--")
    back = await git.raw("diff-tree", "-r", *_PATCH, tree, parent)  # the way back
    marked = f"commit {tree}\n".encode() + back
    said = await git.text("patch-id", "--stable", given=earlier + b"\n" + marked)
    ids = {commit: patch for patch, _, commit in (line.partition(" ") for line in said.splitlines())}
    mine = ids.pop(tree, None)
    found = next((commit for commit, known in ids.items() if mine is not None and known == mine), None)
    return None if found is None else TurnedBack(found, None)
