"""Which entries were read before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.records import LogEntry
from netra_loop.phases.log_seen import Seen, key_of

AT = datetime(2026, 11, 21, tzinfo=UTC)


def entry(name: str, second: int = 0, log: str = "stdout") -> LogEntry:
    return LogEntry(AT + timedelta(seconds=second), "INFO", log, "backend", "r-1", "said", name)


def never() -> datetime:
    return AT


ENTRIES = st.builds(entry, st.sampled_from("abc"), st.integers(0, 3), st.sampled_from(["stdout", "stderr"]))


@given(st.lists(st.lists(ENTRIES, max_size=6), max_size=6))
def test_an_entry_is_new_until_its_log_time_and_id_were_seen_together(lots: list[list[LogEntry]]) -> None:
    seen, keys = Seen(), set()
    for lot in lots:
        new = seen.new(lot)
        assert new == [one for one in lot if key_of(one) not in keys]
        seen.add(new, never)
        keys |= set(map(key_of, lot))


def test_of_many_what_is_read_again_and_the_last_two_lots_are_remembered() -> None:
    seen = Seen()
    lots = [[entry(f"{lot}-{number}", lot) for number in range(3000)] for lot in range(6)]
    for lot in lots:
        seen.add(lot, lambda: AT + timedelta(seconds=5))
    assert [len(seen.new(lot)) for lot in lots] == [3000, 3000, 3000, 0, 0, 0]
    seen.add([entry("same", second) for second in range(9000)], lambda: AT + timedelta(hours=1))
    assert [len(seen.new(lot)) for lot in lots[3:]] == [3000, 3000, 0]
    assert seen.new([entry("same", second) for second in range(9001)]) == [entry("same", 9000)]
