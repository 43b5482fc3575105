"""Log entries as rows: the same back, quickly told alike, and what is remembered of them costs little."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.records import LogEntry
from netra_loop.journal import entry_rows
from netra_loop.journal.codec import canonical, write_all_at, write_at

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


TEXTS = st.text(max_size=8)
NUMBERS = st.one_of(st.integers(), st.booleans(), st.floats(), st.none())
USUAL = st.fixed_dictionaries(
    {name: st.one_of(TEXTS, NUMBERS) for name in ("method", "url", "status", "latency_s", "user_agent")},
    optional={"more": TEXTS},
)
PLAIN = st.fixed_dictionaries(
    {"method": TEXTS, "url": TEXTS, "status": st.integers(), "latency_s": st.floats(), "user_agent": TEXTS}
)


@given(st.one_of(PLAIN, USUAL, st.dictionaries(st.text(min_size=1), NUMBERS, max_size=5)), st.none() | TEXTS)
def test_a_request_is_told_in_canonical_json_with_the_instance_first(request, instance):
    line = LogEntry(AT, "INFO", "requests", "backend", "r-1", "GET / 200", "1", request=request, instance=instance)
    told = entry_rows.entry_to_row("s", line)["request"]
    assert told == canonical(request if instance is None else {"": instance, **request})


@given(st.lists(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]))))
def test_instants_are_told_alike_together_and_one_by_one(instants):
    assert write_all_at(instants) == [write_at(one) for one in instants]
