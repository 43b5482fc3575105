import json
import sqlite3

import pytest

from netra_loop.cloud.embedded.filter import parse
from netra_loop.cloud.embedded.knobs import KnobFile, set_knobs
from netra_loop.cloud.embedded.log_store import LogStore

LOG = "projects/p/logs/run.googleapis.com%2Fstdout"


@pytest.fixture
def store(tmp_path):
    store = LogStore(tmp_path / "entries.db")
    yield store
    store.close()


def texts(page):
    return [entry["textPayload"] for entry in page.entries]


def add(store, *names, **more):
    for name in names:
        store.append({"logName": LOG, "textPayload": name, **more})
    store.flush()


def test_entries_keep_the_order_they_came_in(store):
    add(store, *"abc")
    assert texts(store.query(parse(""), limit=10)) == ["a", "b", "c"]
    assert texts(store.query(parse(""), limit=10, newest_first=True)) == ["c", "b", "a"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_make_up_the_whole(store, newest_first):
    add(store, *"abcdefg")
    found, after = [], None
    while True:
        page = store.query(parse(""), limit=3, newest_first=newest_first, after=after)
        found += texts(page)
        after = page.after
        if after is None:
            break
    assert "".join(found) == ("gfedcba" if newest_first else "abcdefg")


def test_a_late_entry_takes_the_place_of_its_timestamp(store):
    add(store, "second")
    add(store, "first", timestamp="2020-01-01T00:00:00Z")
    assert texts(store.query(parse(""), limit=10)) == ["first", "second"]


def test_the_same_entry_twice_is_kept_once(store):
    add(store, "a", "a", timestamp="2020-01-01T00:00:00Z", insertId="same")
    assert texts(store.query(parse(""), limit=10)) == ["a"]


def test_entries_survive_another_start(store, tmp_path):
    add(store, "a")
    again = LogStore(tmp_path / "entries.db")
    assert texts(again.query(parse("a"), limit=10)) == ["a"]
    again.close()


def test_insert_ids_sort_by_time(store):
    add(store, *"ab")
    one, other = (entry["insertId"] for entry in store.query(parse(""), limit=10).entries)
    assert len(one) == 24
    assert one < other


def test_one_timestamp_and_insert_id_is_told_once_in_a_project(store):
    same = {"timestamp": "2020-01-01T00:00:00Z", "insertId": "same"}
    add(store, "a", "again", **same, severity="INFO")
    store.append({"logName": "projects/p/logs/other", "textPayload": "b", **same})
    store.append({"logName": "projects/q/logs/other", "textPayload": "c", **same})
    add(store, "d")
    assert texts(store.query(parse(""), limit=10)) == ["a", "c", "d"]
    first = store.query(parse(""), limit=1)
    assert texts(store.query(parse(""), limit=10, after=first.after)) == ["c", "d"]


def test_a_page_may_repeat_where_the_one_before_ended(store):
    add(store, *"abc")
    first = store.query(parse(""), limit=2)
    assert texts(store.query(parse(""), limit=2, after=first.after, again=True)) == ["b", "c"]


def test_an_entry_that_comes_late_is_there_but_not_to_be_read(tmp_path):
    set_knobs(tmp_path, ingest_delay_ms=3_600_000)
    store = LogStore(tmp_path / "entries.db", KnobFile(tmp_path))
    add(store, "late")
    set_knobs(tmp_path, ingest_delay_ms=0)
    add(store, "soon")
    assert texts(store.query(parse(""), limit=10)) == ["soon"]
    store.close()


@pytest.mark.parametrize(
    "query", ['trace="projects/p/traces/A"', 'trace=("x" OR "projects/p/traces/a") AND NOT textPayload=b']
)
def test_entries_are_found_by_trace(store, query):
    add(store, "a", trace="projects/p/traces/a")
    add(store, "b", trace="projects/p/traces/b")
    assert texts(store.query(parse(query), limit=10)) == ["a"]


def test_logs_are_named_and_deleted(store):
    add(store, "a")
    store.append({"logName": "projects/q/logs/b", "textPayload": "b"})
    assert store.logs("projects/p") == [LOG]
    assert store.delete(LOG) == 1
    assert store.logs("projects/p") == []
    assert texts(store.query(parse(""), limit=10)) == ["b"]


def test_entries_of_an_earlier_version_are_taken_over(tmp_path):
    earlier = sqlite3.connect(tmp_path / "entries.db")
    earlier.execute("CREATE TABLE entries (at_ns INTEGER, insert_id TEXT, log TEXT, body TEXT)")
    body = {"logName": LOG, "textPayload": "old", "insertId": "x", "severity": "INFO", "timestamp": "2025-01-01T00:00Z"}
    earlier.execute("INSERT INTO entries VALUES (?, 'x', ?, ?)", (1735689600 * 10**9, LOG, json.dumps(body)))
    earlier.commit()
    earlier.close()
    for _ in range(2):
        store = LogStore(tmp_path / "entries.db")
        assert texts(store.query(parse("severity=INFO"), limit=10)) == ["old"]
        store.close()
