"""What is known of a test whose process did not live to tell it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
