"""A table as a value: drawn by rich on a terminal, as plain aligned text elsewhere (nothing wrapped, nothing cut)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

STYLES = {
    "passed": "green",
    "met": "bold green",
    "fixed": "green",
    "verified": "green",
    "real": "green",
    "failed": "red",
    "error": "red",
    "timeout": "red",
    "crashed": "bold red",
    "unmet": "bold red",
    "stuck": "bold red",
    "fake": "bold red",
    "regressed": "bold red",
    "new": "red",
    "ERROR": "red",
    "CRITICAL": "bold red",
    "persisting": "yellow",
    "moved": "yellow",
    "flaky": "yellow",
    "suspect": "yellow",
    "inconclusive": "yellow",
    "paused": "yellow",
    "WARNING": "yellow",
    "running": "cyan",
}


@dataclass(frozen=True)
class Column:
    """`right` aligns numbers; `fold` lets a long text take several lines on a terminal."""

    name: str
    right: bool = False
    fold: bool = False


@dataclass(frozen=True)
class Grid:
    """Rows of harmless one-line texts under columns. `empty` is shown where there is no row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    empty: str = "nothing yet"
    title: str | None = field(default=None)

    def plain(self) -> list[str]:
        """Its lines as aligned text, without trailing blanks."""
        title = [self.title] if self.title else []
        if not self.rows:
            return [*title, self.empty]
        table = [[column.name for column in self.columns], *self.rows]
        widths = [max(width(row[n]) for row in table) for n in range(len(self.columns))]
        return title + [
            "  ".join(_pad(cell, widths[n], right=self.columns[n].right) for n, cell in enumerate(row)).rstrip()
            for row in table
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws it as the console can show it."""
        if not console.is_terminal or not self.rows:
            yield from (Text(line, no_wrap=True, overflow="ignore", end="\n") for line in self.plain())
            return
        table = Table(box=box.SIMPLE_HEAD, title=self.title, title_justify="left", pad_edge=False, expand=False)
        for column in self.columns:
            table.add_column(
                column.name,
                justify="right" if column.right else "left",
                overflow="fold" if column.fold else "ellipsis",
                no_wrap=not column.fold,
                ratio=None,
            )
        for row in self.rows:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        yield table


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    none = sum(unicodedata.combining(char) > 0 for char in text)
    return len(text) + wide - none


def _pad(text: str, to: int, *, right: bool) -> str:
    blanks = " " * (to - width(text))
    return blanks + text if right else text + blanks
