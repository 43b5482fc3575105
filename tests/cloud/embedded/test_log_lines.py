import json

import pytest
from google.cloud.logging_v2.types import LogEntry
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.cloud.embedded.log_lines import LONGEST, LineSplitter, entry_of


def lines(*chunks: bytes, longest: int = LONGEST) -> list[bytes]:
    splitter = LineSplitter(longest)
    return [line for chunk in chunks for line in splitter.feed(chunk)] + list(splitter.end())


def structured(**payload: object) -> dict[str, object]:
    return entry_of(json.dumps(payload).encode())


def test_lines_are_joined_over_chunks():
    assert lines(b"on", b"e\ntwo\r\n", b"three") == [b"one", b"two", b"three"]


def test_a_huge_line_is_cut_and_says_how_long_it_was():
    splitter = LineSplitter()
    for _ in range(50):
        assert list(splitter.feed(b"x" * 1_000_000)) == []
        assert len(splitter._held) <= LONGEST
    (line,) = splitter.feed(b"\n")
    assert len(line) == LONGEST
    assert line.endswith(b"... [cut: the line has 50000000 bytes]")


def test_plain_text_is_text():
    assert entry_of(b"hello") == {"textPayload": "hello"}
    assert entry_of(b"[1, 2]") == {"textPayload": "[1, 2]"}
    assert entry_of(b"{not json") == {"textPayload": "{not json"}


def test_bytes_that_are_no_utf8_are_replaced():
    assert entry_of(b"caf\xe9") == {"textPayload": "caf\ufffd"}


def test_special_keys_are_moved_out_of_the_payload():
    entry = structured(
        severity="error",
        message="m",
        user="u",
        time="2025-01-01T00:00:00.25Z",
        httpRequest={"requestMethod": "GET", "status": 200, "latency": "0.5s", "odd": 1},
        **{
            "logging.googleapis.com/trace": "projects/p/traces/t",
            "logging.googleapis.com/spanId": "s",
            "logging.googleapis.com/trace_sampled": True,
            "logging.googleapis.com/insertId": "i",
            "logging.googleapis.com/labels": {"a": "b"},
            "logging.googleapis.com/sourceLocation": {"file": "f.py", "line": 3, "function": "g"},
        },
    )
    assert entry == {
        "severity": "ERROR",
        "timestamp": "2025-01-01T00:00:00.250000000Z",
        "httpRequest": {"requestMethod": "GET", "status": 200, "latency": "0.500000000s"},
        "trace": "projects/p/traces/t",
        "spanId": "s",
        "traceSampled": True,
        "insertId": "i",
        "labels": {"a": "b"},
        "sourceLocation": {"file": "f.py", "line": "3", "function": "g"},
        "jsonPayload": {"message": "m", "user": "u"},
    }


def test_only_a_message_left_is_text():
    assert structured(severity="INFO", message="m") == {"severity": "INFO", "textPayload": "m"}


def test_an_unknown_severity_is_default():
    assert structured(severity="loud", message="m")["severity"] == "DEFAULT"


@pytest.mark.parametrize("key", ["time", "timestamp"])
def test_a_time_that_is_none_stays_in_the_payload(key):
    assert structured(**{key: "noon"}) == {"jsonPayload": {key: "noon"}}


def test_split_seconds_and_nanos():
    assert structured(timestampSeconds=1, timestampNanos=5, a=1)["timestamp"] == "1970-01-01T00:00:01.000000005Z"


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e999}', '{"a":' * 40 + "1" + "}" * 40])
def test_what_a_struct_cannot_hold_stays_text(text):
    assert entry_of(text.encode()) == {"textPayload": text}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["severity", "time", "timestamp", "timestampSeconds", "timestampNanos", "httpRequest", "message"]
    + [f"logging.googleapis.com/{key}" for key in ("trace", "labels", "operation", "sourceLocation", "insertId")]
)


@given(st.dictionaries(_KEYS | st.text(), _JSON, max_size=6))
def test_any_json_object_gives_an_entry_that_can_be_sent(payload):
    entry = entry_of(json.dumps(payload).encode())
    assert json_format.ParseDict(entry, LogEntry.pb(LogEntry())).SerializeToString() is not None


@given(st.binary(max_size=200))
def test_any_bytes_give_an_entry_that_can_be_sent(line):
    assert json_format.ParseDict(entry_of(line), LogEntry.pb(LogEntry())).SerializeToString() is not None
