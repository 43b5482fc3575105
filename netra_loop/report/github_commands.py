"""Workflow commands, by which a step speaks to the runner of GitHub Actions: annotations and groups of lines.

A line that begins with `::` is one, so whatever a test, a service or a log says is escaped here and, everywhere else,
broken up (`report.safe`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netra_loop.report.safe import safe_line, safe_text
from netra_loop.values import dataclass

SHOWN = 10  # annotations of a kind and a step; the page shows no more
_MESSAGE_MAX = 1000
_TITLE_MAX = 120


@dataclass(frozen=True)
class Annotation:
    """A remark on the run's page, at a file of the repository where one is known. `kind`: error, warning or notice;
    `file` is relative to the repository's root; `line` counts from 1.
    """

    kind: str
    title: str
    message: str
    file: str | None = None
    line: int | None = None

    def command(self) -> str:
        """The line that makes it, without an end."""
        told = {"file": self.file, "line": self.line if self.file else None, "title": safe_line(self.title, _TITLE_MAX)}
        given = ",".join(f"{name}={_property(str(value))}" for name, value in told.items() if value)
        return f"::{self.kind} {given}::{_data(safe_text(self.message[:_MESSAGE_MAX]))}"


def commands(annotations: Sequence[Annotation], untold: int = 0, where: str = "") -> list[str]:
    """The lines for all of them, and for `untold` errors that are none of them. Of a kind that has more than are shown,
    the last says how many are not; `where` says where they are told.
    """
    lines = []
    for kind in ("error", "warning", "notice"):
        some = [one for one in annotations if one.kind == kind]
        number = len(some) + (untold if kind == "error" else 0)
        if number > SHOWN or number > len(some):
            shown = min(len(some), SHOWN - 1)
            some = [*some[:shown], Annotation(kind, f"and {number - shown} more", where)]
        lines += [one.command() for one in some]
    return lines


def group(title: str) -> str:
    """The line that begins a group, which the log shows folded; `END_GROUP` ends it. Groups do not nest."""
    return f"::group::{_data(safe_line(title))}"


END_GROUP = "::endgroup::"


def outputs(values: Iterable[tuple[str, str]]) -> str:
    """Lines for the file of a step's outputs. Values are of one line: whatever comes after is no output of its own."""
    return "".join(f"{name}={safe_line(value)}\n" for name, value in values)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
