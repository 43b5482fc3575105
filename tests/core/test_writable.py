from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    "text",
    [
        "##[group]x",
        "###[error]",
        "a ##vso[task.setvariable] ##VSO[b]",
        "##teamcity[x]",
        "::set-output name=a::b",
        "  ::x::",
        "a\n::error::\r\n ::x",
        '"::',
        "\\n::x",
        "##",
    ],
)
def test_json_holds_nothing_that_a_ci_runner_obeys_and_reads_back_the_same(text):
    for value in ({text: text}, [text, {"a": [text]}], text):
        for indent in (None, 2):
            written = json_text(value, indent=indent)
            assert json.loads(written) == value
            assert not re.search(r"##(\[|vso\[|teamcity\[)", written, re.IGNORECASE)
            assert not re.search(r'("|\\[nr]) *::', written)


def test_the_ids_of_tests_stay_readable_in_json():
    assert json_text("tests/test_a.py::test_b[x::y]") == '"tests/test_a.py::test_b[x::y]"'


@given(st.recursive(st.text(alphabet='#[:]"\\nr vso\n\r'), lambda inner: st.dictionaries(st.text(), inner)))
def test_whatever_json_holds_reads_back_the_same(value):
    assert json.loads(json_text(value)) == value
