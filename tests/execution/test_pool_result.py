"""What is known of a test whose process did not live to tell it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netra_loop.agent.page import Page
from netra_loop.execution.pool_result import Seen

PIECE = {"pid": 7, "contacts": [["peer", 80, 1, 2, 5.0, 6.0]], "exchanges": [], "frames": []}


@pytest.mark.parametrize("times", [3, 60_000])
def test_of_a_flood_of_evidence_the_beginning_is_read_and_the_rest_is_told_to_be_missing(tmp_path: Path, times: int):
    file = tmp_path / "gw0.forks"
    line = json.dumps(PIECE) + "\n"
    file.write_text(line * times)
    seen = Seen(str(file), 0.0)
    (contact,) = seen.evidence().contacts
    assert contact.sent == min(times, (1 << 20) // len(line))
    assert ("forks wrote more than" in seen.gaps()) == (times > 3)
    assert seen.evidence().contacts == (contact,)  # asked twice it tells the same
    assert not file.exists()


def test_half_characters_are_kept_in_a_form_that_can_be_written():
    half = "half \ud83d"
    exchange = {"method": "GET", "url": half, "status": None, "at": 1.0, "duration": 0.0, "error": half, "body": half}
    frame = {"url": half, "kind": "text", "direction": "sent", "at": 1.0, "event": half, "reason": half, "text": half}
    seen = Seen()
    seen.take({"exchanges": [(0, exchange)], "frames": [(0, frame)]})
    (asked,), (said,) = seen.evidence().exchanges, seen.evidence().frames
    texts = {asked.url, asked.error, asked.body, said.url, said.event, said.reason, said.text}
    assert texts == {"half \\ud83d"}


def told(path, *messages):
    page = Page(str(path))
    for message in messages:
        assert page.take(message)
    return str(path)


def row(number, status):
    exchange = {"method": "GET", "url": "http://h/", "status": status, "at": 1.0, "duration": 0.1, "error": None}
    return {"exchanges": [(number, exchange)], "frames": []}


def test_what_stands_in_the_page_comes_before_the_messages(tmp_path):
    page = told(
        tmp_path / "page",
        {"is": "seen", "key": 6, "seen": row(0, 500)},
        {"is": "seen", "key": 7, "seen": row(0, None)},
        {"is": "seen", "key": 7, "seen": row(1, 201)},
        {"is": "called", "key": 7, "seen": None, "outcome": "passed"},
    )
    seen = Seen(page=page, key=7)
    seen.take(row(0, 200))
    assert seen.read_page()["outcome"] == "passed"
    assert [exchange.status for exchange in seen.evidence().exchanges] == [200, 201]
    assert seen.read_page() is None


def test_a_page_that_the_test_wrote_into_is_told(tmp_path):
    seen = Seen(page=told(tmp_path / "page", {"key": 7, "is": "seen", "seen": {"exchanges": 3}}), key=7)
    seen.take(row(0, 200))
    assert seen.read_page() is None
    assert len(seen.evidence().exchanges) == 1
    assert "no longer readable" in seen.gaps()
