"""What is remembered of rows costs little, whatever it was asked for."""

import tracemalloc
from datetime import UTC, datetime, timedelta

from netra_loop.core.records import LogEntry
from netra_loop.journal import entry_rows

AT = datetime(2026, 11, 21, tzinfo=UTC)


def test_entries_of_ever_other_tests_leave_little_behind():
    ids = [f"tests/e2e/test_agents.py::test_progression[{number}-{'x' * 40}]" for number in range(3000)]

    def there_and_back(number: int) -> None:
        entry = LogEntry(
            AT + timedelta(seconds=number), "INFO", "stdout", "backend", "r-1", "said", str(number),
            tests=tuple(ids[number : number + 250]),
        )  # fmt: skip
        assert entry_rows.entry_from_row(entry_rows.entry_to_row("s", entry)) == entry

    tracemalloc.start()
    try:
        for number in range(1500):
            there_and_back(number)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 30 * 2**20
