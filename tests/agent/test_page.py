"""What a running test told stands in its page, whole, in order, and only its own."""

from __future__ import annotations

import os
from pathlib import Path

from netra_loop.agent.page import SIZE, Page, read


def test_what_was_taken_is_read_in_order(tmp_path):
    page = Page(str(tmp_path / "page"))
    assert page.take({"key": 1})
    assert page.take({"key": 1, "text": "é\ud800".encode("utf-8", "backslashreplace").decode()})
    assert [sorted(message) for message in read(str(tmp_path / "page"))] == [["key"], ["key", "text"]]


def test_another_test_begins_with_an_empty_page(tmp_path):
    page = Page(str(tmp_path / "page"))
    page.take({"key": 1})
    page.clear()
    assert read(str(tmp_path / "page")) == []


def test_what_does_not_fit_is_refused_and_so_is_all_that_follows(tmp_path):
    page = Page(str(tmp_path / "page"))
    assert page.take({"key": 1})
    assert not page.take({"text": "x" * SIZE})
    assert not page.take({"key": 2})  # it would come to stand before what went another way
    assert not page.room()
    page.clear()
    assert page.room()
    assert page.take({"key": 3})


def test_a_fork_writes_nothing_into_it(tmp_path):
    page = Page(str(tmp_path / "page"))
    child = os.fork()
    if child == 0:
        os._exit(page.take({"key": 1}) or page.room())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read(str(tmp_path / "page")) == []


def test_without_a_file_there_is_no_room(tmp_path):
    page = Page(str(tmp_path / "not" / "there"))
    page.clear()
    assert not page.room()
    assert not page.take({"key": 1})


def test_what_is_no_page_ends_where_it_stops_making_sense(tmp_path):
    file = Path(tmp_path / "page")
    page = Page(str(file))
    page.take({"key": 1})
    content = file.read_bytes()
    file.write_bytes(b"\xff\xff\xff\xff" + content[4:])
    assert read(str(file)) == [{"key": 1}]
    file.write_bytes(b"")
    assert read(str(file)) == []
    assert read(str(tmp_path / "not there")) == []
