"""What stands behind the findings that are open: each why on lines of its own, what became of claims, and what earlier
sessions saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from netra_loop.core.past import Past
from netra_loop.core.records import Claim, Finding
from netra_loop.report import phrases
from netra_loop.report.safe import safe_line

_MOST = 10
_WIDE = 2 * phrases.MESSAGE_MAX


def explained(found: Sequence[Finding], past: Mapping[str, Past], session: str = "") -> Text:
    """Of at most ten findings, in order of impact; empty where none is open. `past` is what is remembered of them, by
    their ids.
    """
    newest = {item.id: item for item in sorted(found, key=lambda item: item.last_iteration)}
    listed = [item for item in phrases.in_order(list(newest.values())) if item.state in phrases.OPEN_STATES]
    lines: list[str] = []
    for item in listed[:_MOST]:
        lines += _one(item, past.get(item.id))
    if len(listed) > _MOST:
        named = f" {safe_line(session)}" if session else ""
        lines += ["", f"and {len(listed) - _MOST} more: netra-loop findings{named} --json"]
    return Text("\n".join(lines), end="\n" if lines else "")


def _one(item: Finding, past: Past | None) -> list[str]:
    lines = ["", f"{safe_line(item.id)} {safe_line(item.title, phrases.MESSAGE_MAX)}"]
    for why in item.whys:
        first, *more = why.splitlines() or [""]
        lines += [f"  {safe_line(first, _WIDE)}", *(f"    | {_code(line)}" for line in more)]
    lines += [f"  {_claim(claim)}" for claim in item.claims]
    if past is not None:
        lines.append(f"  {safe_line(str(past), _WIDE)}")
    return lines


def _claim(claim: Claim) -> str:
    said = f"a fixer of iteration {claim.iteration} claims that it is mended"
    if claim.verdict == "claimed":
        return f"{said}: not judged yet"
    return f"{said}: {safe_line(claim.verdict)}{' by ' + safe_line(claim.revision) if claim.revision else ''}"


def _code(line: str) -> str:
    """A line of source or of a log, its indent kept."""
    return f"{' ' * (len(line) - len(line.lstrip(' ')))}{safe_line(line, _WIDE)}"
