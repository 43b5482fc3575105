"""The lines of source around a place, and who touched it last: what a person would open an editor for."""

from __future__ import annotations

from datetime import datetime

from netra_loop.values import dataclass

AROUND = 5  # lines before and after
_WIDTH = 160  # characters of one that are shown


@dataclass(frozen=True)
class Touched:
    """The commit that last touched a line. `ours`: a fixer of this session made it."""

    commit: str
    author: str
    at: datetime
    subject: str
    ours: bool = False

    def __str__(self) -> str:
        who = "this session" if self.ours else self.author or "somebody"
        return f"{self.commit[:12]} ({who}, {self.at:%Y-%m-%d}): {self.subject}"


@dataclass(frozen=True)
class Place:
    """A place in the source that the revision under test was made of.

    `path` is relative to the folder that fixers work in; `commit` is what the revision was made of, None where that is
    no commit. `lines` are those around `line`, the first of them being number `first`; empty where they cannot be had.
    """

    path: str
    line: int
    commit: str | None = None
    first: int = 0
    lines: tuple[str, ...] = ()
    touched: Touched | None = None

    @property
    def source(self) -> str:
        """The line itself, without its indent; "" where it is not known."""
        at = self.line - self.first
        return self.lines[at].strip() if 0 <= at < len(self.lines) else ""

    def shown(self, around: int = AROUND) -> list[str]:
        """The lines with their numbers, the one that is meant marked with `>`; `around` before and after it."""
        wide = len(str(self.first + len(self.lines)))
        told = []
        for number, text in enumerate(self.lines, self.first):
            if abs(number - self.line) <= around:
                told.append(f"{'>' if number == self.line else ' '} {number:>{wide}} | {text}".rstrip())
        return told


def around(text: str, line: int, most: int = AROUND) -> tuple[int, tuple[str, ...]]:
    """The number of the first of the lines around `line`, and these, cut where they are wide; nothing where `text` has
    no such line.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return 0, ()
    first = max(1, line - most)
    return first, tuple(_cut(one) for one in lines[first - 1 : line + most])


def _cut(line: str) -> str:
    shown = line.rstrip("\r").expandtabs(4)
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"
