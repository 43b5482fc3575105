"""What a commit of the loop says: what the fixer noted, the findings it is for, and trailers that it is known again by.

Notes and titles hold what tests and services said. So nobody is mentioned, no issue is closed and no trailer is set
by them: whatever a forge would act upon is taken apart.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from netra_loop.core.records import Finding

INTENT = "Netra-Loop-Intent"
SESSION, ITERATION, FINDING = "Netra-Loop-Session", "Netra-Loop-Iteration", "Netra-Loop-Finding"
_SUBJECT = 72  # characters, as git's own tools show it
_BODY = 4_000
_WIDTH = 100
_ACTED_UPON = re.compile(r"(?<![\w`])@(?=[\w-])|#(?=\d)|\b(?:GH|gh)-(?=\d)|!(?=\d)")
_TRAILER = re.compile(r"^\s*[A-Za-z][A-Za-z0-9-]*-(?:[A-Za-z]+):\s|^\s*Netra-Loop-", re.IGNORECASE)
_NOT_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def intent(session: str, iteration: int, phase: str, attempt: int) -> str:
    """What names the one commit that this attempt at a phase may make."""
    return f"{session}/{iteration}/{phase}/{attempt}"


def commit_text(
    given: str | None, note: str, findings: Sequence[Finding], *, session: str, iteration: int, of: str
) -> str:
    """The whole message, ending in a line feed. The first line is `given`, else the note's first, else the first
    finding's title. `of` is the intent.
    """
    lines = [line.rstrip() for line in _harmless(note)[:_BODY].splitlines() if not _TRAILER.match(line)]
    while lines and not lines[0].strip():
        del lines[0]
    subject = _one_line(given or "")
    if not subject and lines:
        subject = _one_line(lines.pop(0))
    if not subject:
        subject = _one_line(f"Fix {findings[0].title}" if findings else f"Changes of iteration {iteration}")
    body = "\n".join(lines).strip("\n")
    about = [
        textwrap.fill(
            f"- {one.id} {_one_line(one.title, _BODY)}", _WIDTH, subsequent_indent="  ", break_long_words=False
        )
        for one in findings
    ]
    trailers = [f"{SESSION}: {session}", f"{ITERATION}: {iteration}"]
    trailers += [f"{FINDING}: {one.id}" for one in findings] + [f"{INTENT}: {of}"]
    parts = [subject, body, "\n".join(about), "\n".join(trailers)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _one_line(text: str, most: int = _SUBJECT) -> str:
    words = " ".join(_harmless(text).split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def _harmless(text: str) -> str:
    return _ACTED_UPON.sub(lambda found: f"{found[0]} ", _NOT_SHOWN.sub("", text))
