"""A table as a value: drawn by rich on a terminal, as plain aligned text elsewhere (nothing wrapped, nothing cut)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import field

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netra_loop.values import dataclass

_NARROW = 120  # columns of a terminal; below it the names of columns are short
_INDENT_MAX = 24  # of a folded line
STYLES = {
    "passed": "green",
    "passed flaky": "yellow",
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
    """`right` aligns numbers; `fold` lets a long text take several lines on a terminal; `short` is its name on a narrow
    one, where that differs.
    """

    name: str
    right: bool = False
    fold: bool = False
    short: str = ""


@dataclass(frozen=True)
class Grid:
    """Rows of harmless one-line texts under columns. `empty` is shown where there is no row. On a terminal the last
    `below` columns stand below the text of the one before them, where they say anything. Not `headed`: the columns are
    named by a grid before it.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    empty: str = "nothing yet"
    title: str | None = field(default=None)
    below: int = 0
    headed: bool = True

    def plain(self) -> list[str]:
        """Its lines as aligned text, without trailing blanks."""
        title = [self.title] if self.title else []
        if not self.rows:
            return [*title, self.empty]
        table = [[column.name for column in self.columns], *self.rows]
        widths = [max(width(row[n]) for row in table) for n in range(len(self.columns))]
        table = table if self.headed else table[1:]
        return title + [
            "  ".join(_pad(cell, widths[n], right=self.columns[n].right) for n, cell in enumerate(row)).rstrip()
            for row in table
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws it as the console can show it."""
        if not console.is_terminal or not self.rows:
            yield from (Text(line, no_wrap=True, overflow="ignore", end="\n") for line in self.plain())
            return
        table = Table(box=box.SIMPLE_HEAD, title=self.title, title_justify="left", pad_edge=False)
        table.show_header = self.headed
        beside = len(self.columns) - self.below
        for column in self.columns[:beside]:
            table.add_column(
                column.short if column.short and options.max_width < _NARROW else column.name,
                justify="right" if column.right else "left",
                overflow="fold" if column.fold else "ellipsis",
                no_wrap=not column.fold,
                ratio=None,
            )
        for row in self.rows:
            cells: list[RenderableType] = [Text(cell, style=STYLES.get(cell, "")) for cell in row[:beside]]
            under = [_hanging(f"  {cell}", "dim") for cell in row[beside:] if cell]
            table.add_row(*cells[:-1], Group(cells[-1], *under) if under else cells[-1])
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


@dataclass(frozen=True)
class Ledger:
    """Rows of harmless texts without a head, their last column folded on a terminal with its lines one below another;
    elsewhere nothing is wrapped. A row is its cells and a style; the last cell may have several lines.
    """

    rows: Sequence[tuple[Sequence[str], str]]
    right: frozenset[int] = frozenset()
    indent: int = 2

    def plain(self) -> list[str]:
        """Its lines as aligned text, without trailing blanks."""
        widths = self._widths()
        lines = []
        for cells, _ in self.rows:
            *heads, last = cells
            head = "".join(_pad(cell, widths[n], right=n in self.right) + "  " for n, cell in enumerate(heads))
            first, *more = last.split("\n")
            blank = " " * width(head)
            lines += [" " * self.indent + head + first, *(" " * self.indent + blank + line for line in more)]
        return [line.rstrip() for line in lines]

    def _widths(self) -> list[int]:
        columns = max((len(cells) for cells, _ in self.rows), default=1) - 1
        return [max(width(cells[n]) for cells, _ in self.rows) for n in range(columns)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws it as the console can show it."""
        if not console.is_terminal or not self.rows:
            yield from (Text(line, no_wrap=True, overflow="ignore", end="\n") for line in self.plain())
            return
        table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(width=max(0, self.indent - 2))
        for n in range(len(self._widths())):
            table.add_column(justify="right" if n in self.right else "left", no_wrap=True)
        table.add_column(overflow="fold", ratio=1)
        for cells, style in self.rows:
            *heads, last = cells
            lines = Group(*(_hanging(line, style) for line in last.split("\n")))
            table.add_row("", *(Text(cell, style=style) for cell in heads), lines)
        yield table


def _hanging(line: str, style: str) -> RenderableType:
    """A line that keeps its indentation where it has to be folded."""
    text = line.lstrip(" ")
    indent = min(len(line) - len(text), _INDENT_MAX)
    return Padding(Text(text, style=style), (0, 0, 0, indent)) if indent else Text(text, style=style)
