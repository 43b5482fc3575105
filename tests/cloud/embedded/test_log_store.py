import pytest

from netra_loop.cloud.embedded.filter import parse
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
