"""How large an entry and its labels may be, and what becomes of what is larger."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_ENTRY = 256 * 1024  # bytes of a whole entry
PIECE = 250_000  # bytes of text in one: the rest is for labels and the like
MOST_PIECES = 10  # of one line; what is beyond is cut
MOST_LABELS = 64
_LONGEST_KEY = 512
_LONGEST_VALUE = 64 * 1024
_ELLIPSIS = "…"


def trimmed(labels: Mapping[str, str]) -> dict[str, str]:
    """`labels` with what is too long cut, an ellipsis at its end."""
    return {_cut(key, _LONGEST_KEY): _cut(value, _LONGEST_VALUE) for key, value in labels.items()}


def pieces(text: str) -> Iterator[dict[str, Any]]:
    """The parts of the entries that one text is split into, as `split` and `textPayload`."""
    content = text.encode()
    cuts = [0]
    while cuts[-1] < len(content):
        end = min(cuts[-1] + PIECE, len(content))
        while end < len(content) and content[end] & 0xC0 == 0x80:  # not within a character
            end -= 1
        cuts.append(end)
    uid = secrets.token_hex(8)
    for index, (start, end) in enumerate(itertools.pairwise(cuts)):
        split: dict[str, Any] = {"uid": uid, "totalSplits": len(cuts) - 1} | ({"index": index} if index else {})
        yield {"textPayload": content[start:end].decode(), "split": split}


def _cut(text: str, longest: int) -> str:
    content = text.encode()
    if len(content) <= longest:
        return text
    return content[: longest - len(_ELLIPSIS.encode())].decode("utf-8", "ignore") + _ELLIPSIS
