"""Collecting what is wrong with a loop file, so that all of it can be said in one go."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from netra_loop.errors import LoopFileError, Problem

MOST = 50
_LONGEST_SHOWN = 60


class Problems:
    """The problems of the file called `shown`. After `MOST` of them the rest is only counted."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._found: list[Problem] = []
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, line: int, column: int, message: str, *, word: str = "", known: Iterable[str] = ()) -> None:
        """One more. `word` is what was found where one of `known` should stand: the nearest becomes the suggestion."""
        if len(self._found) >= MOST:
            self._more += 1
            return
        near = get_close_matches(word, list(known), n=1) if 0 < len(word) <= _LONGEST_SHOWN else []
        problem = Problem(self._shown, line, column, message, next(iter(near), None))
        if problem not in self._found:
            self._found.append(problem)

    def error(self) -> LoopFileError:
        """All of them as the one error to raise; there must be one."""
        if self._more:
            last = max(self._found)
            rest = Problem(self._shown, last.line, last.column, f"… and {self._more} more after the first {MOST}")
            return LoopFileError([*self._found, rest])
        return LoopFileError(self._found)


def clip(text: str) -> str:
    """User's text for a message: quoted, control and bidi characters escaped, never long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")
