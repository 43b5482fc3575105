"""Counts what is logged while tests run, and keeps the newest of what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from netra_loop.core.records import LogEntry
from netra_loop.report.safe import safe_line

_WARNINGS = frozenset({"WARNING"})
_ERRORS = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})
_MESSAGE_MAX = 200
_LOOKED_AT = 20_000  # characters
_FEW_LINES = 2


class LogTally:
    """Fed by an observer. `total` is how many entries came, `line` what a person is told of them."""

    def __init__(self) -> None:
        self.total = 0
        self.warnings = 0
        self.errors = 0
        self._last: LogEntry | None = None

    def take(self, entries: Sequence[LogEntry], others: int = 0) -> None:
        """These came, and `others` that nobody looked at."""
        self.total += len(entries) + others
        for entry in entries:
            error = entry.severity in _ERRORS
            self.errors += error
            self.warnings += entry.severity in _WARNINGS
            if error or (entry.severity in _WARNINGS and (self._last is None or self._last.severity in _WARNINGS)):
                self._last = entry

    def line(self) -> str:
        """`logs: 1,234 entries, 3 errors; last ERROR: no such table`; empty while there is none."""
        if not self.total:
            return ""
        counts = [_some(self.total, "entry", "entries")]
        counts += [_some(count, one) for count, one in ((self.errors, "error"), (self.warnings, "warning")) if count]
        told = f"logs: {', '.join(counts)}"
        last = self._last
        return told if last is None else f"{told}; last {last.severity}: {_short(last.message)}"


def _short(message: str) -> str:
    """A stack trace's ends say more than its beginning."""
    lines = [line for line in message[:_LOOKED_AT].splitlines() if line.strip()]
    if len(lines) > _FEW_LINES:
        lines = [lines[0], "…", lines[-1]]
    return safe_line(" ".join(map(str.strip, lines)), _MESSAGE_MAX)


def _some(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
