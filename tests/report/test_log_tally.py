from __future__ import annotations

from datetime import UTC, datetime

from netra_loop.core.records import LogEntry
from netra_loop.report.log_tally import LogTally


def entry(severity: str, message: str = "said") -> LogEntry:
    return LogEntry(datetime(2026, 1, 1, tzinfo=UTC), severity, "stdout", "b", "b-1", message, "i")


def line(*entries: LogEntry, others: int = 0) -> str:
    tally = LogTally()
    for one in entries:
        tally.take([one])
    tally.take([], others)
    return tally.line()


def test_nothing_is_said_of_nothing() -> None:
    assert line() == ""


def test_entries_are_counted_with_those_that_nobody_looked_at() -> None:
    assert line(entry("INFO"), entry("DEFAULT"), others=1_232) == "logs: 1,234 entries"
    assert line(entry("INFO")) == "logs: 1 entry"


def test_the_newest_error_is_told() -> None:
    told = line(entry("ERROR", "first"), entry("CRITICAL", "second"), entry("WARNING", "third"))
    assert told == "logs: 3 entries, 2 errors, 1 warning; last CRITICAL: second"


def test_the_newest_warning_is_told_while_there_is_no_error() -> None:
    assert line(entry("WARNING", "a"), entry("WARNING", "b")) == "logs: 2 entries, 2 warnings; last WARNING: b"


def test_of_a_stack_trace_its_ends_are_told() -> None:
    trace = 'it failed\nTraceback (most recent call last):\n  File "a.py", line 1\nKeyError: 3\n'
    assert line(entry("ERROR", trace)).endswith("; last ERROR: it failed … KeyError: 3")


def test_what_a_service_says_is_harmless() -> None:
    told = line(entry("ERROR", "\x1b[2J::set-output\nand " + "x" * 5_000))
    assert "\x1b" not in told
    assert "\n" not in told
    assert len(told) < 300
