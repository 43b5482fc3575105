"""Cutting texts short before anybody looks for secrets in them: half a secret would not be known for one, so the word
that a cut goes through is left out with the rest.
"""

from __future__ import annotations

_ENDS = " \t\r\n\"'&?;,<>()[]{}|"  # between words; what may be within a secret or the name before it is none of these
_MARK = "…"


def cut(text: str, limit: int) -> str:
    """`text`, at most `limit` characters long; one that was cut ends in `…`, after its last whole word."""
    if len(text) <= limit:
        return text
    end = max(0, limit - len(_MARK))
    if text[end] not in _ENDS:
        while end and text[end - 1] not in _ENDS:
            end -= 1
    return text[:end] + _MARK
