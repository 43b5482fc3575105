"""How the work on source is said: workspaces, what fixers did, commits, and what comparing them came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from netra_loop.core import events as e

_SHOWN = 3
_SHORT = 12  # characters of a commit's id
_KINDS: Mapping[str, str] = {"copy": "a copy", "worktree": "a git worktree"}


def source_event(item: e.Event) -> str:
    """What such an event says, its bare name where it is none of these; not harmless yet."""
    match item:
        case e.WorkspaceMade():
            kind = _KINDS.get(item.how, item.how)
            return f"source is changed in {kind} at {item.root}, on branch {item.branch} from {item.base[:_SHORT]}"
        case e.WorkspaceSaved():
            return "the workspace is noted as it is, to go back to"
        case e.SourceTaken(image=str()):
            return f"{item.service} is image {item.image}, as it is found: it is not built here"
        case e.SourceTaken():
            of = f"the files of commit {item.commit[:_SHORT]}" if item.commit else f"what lies in {item.folder} now"
            out = f", without what is not committed: {some(item.left_out)}" if item.left_out else ""
            return f"{item.service} is made of {of}{out}"
        case e.FixerRan():
            return _fixer(item)
        case e.Committed():
            return f"commit {item.commit[:_SHORT]} of {some(item.paths)}"
        case e.FixTurnedBack():
            return f"not committed: {item.why}"
        case e.RevisionsCompared():
            return _compared(item)
        case e.RevisionTagged():
            return f"{item.revision} is reached by its tag {item.tag}, without traffic"
        case e.WaitBegan():
            return item.told
        case _:
            return item.kind


def some(paths: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more if paths else "no file"


def _fixer(item: e.FixerRan) -> str:
    if item.refused:
        return f"refused, all of it: it changed {some(item.refused)}"
    lines = [line.strip() for line in item.note.splitlines() if line.strip()]
    told = [f"it changed {some(item.changed)}" if item.changed else "it changed nothing"]
    told += [f"claims to have fixed {', '.join(item.claims)}"] if item.claims else []
    return "; ".join([", ".join(told), *(f"says: {line}" for line in lines[:1])])


def _compared(item: e.RevisionsCompared) -> str:
    if item.before is None or not item.rows:
        return "there was nothing to compare with" if item.before is None else "there was nothing to compare"
    counts = Counter(str(row.get("verdict", "")).replace("-", " ") for row in item.rows)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    out = f", {item.left_out} left out" if item.left_out else ""
    return f"{item.now} against {item.before}: {said}{out}"
