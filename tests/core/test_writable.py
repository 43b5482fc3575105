from __future__ import annotations

import json

import pytest

from netra_loop.core.writable import json_text, writable


@pytest.mark.parametrize("text", ["plain", "größe 😀", "", "a\0b"])
def test_what_utf_8_can_carry_stays(text):
    assert writable(text) is text


def test_half_a_pair_is_shown_by_its_escape():
    assert writable("é \ud83d!") == "é \\ud83d!"


def test_json_of_half_a_pair_can_be_written_and_reads_back_the_same():
    value = {"event": "done \ud83d", "\udcff": ["ü", "\\ud83d"]}
    written = json_text(value).encode()
    assert "ü".encode() in written
    assert json.loads(written) == value


def test_json_holds_nothing_that_a_terminal_obeys_and_reads_back_the_same():
    value = {"a\x9b31m": "\x1b[2J\x7f\x85\u2028\u202e\u2066\ufeff", "ü": "日本"}
    written = json_text(value)
    assert written.isprintable()
    assert json.loads(written) == value
