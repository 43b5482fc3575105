import pytest

from netra_loop.cloud.embedded.filter import parse
from netra_loop.cloud.embedded.log_limits import MOST_PIECES, PIECE
from netra_loop.cloud.embedded.log_lines import LineSplitter
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.recorder import Origin, Recorder

ORIGIN = Origin("demo", "local", "backend", "backend-00001-abc", {"mine": "x"}, "i1")


@pytest.fixture
def printed(tmp_path):
    """The entries that a line becomes."""
    store = LogStore(tmp_path / "entries.db")

    def entries(line):
        Recorder(store).line(ORIGIN, "stdout", line)
        store.flush()
        return store.query(parse(""), limit=100).entries

    yield entries
    store.close()


def test_a_line_too_long_for_an_entry_becomes_several(printed):
    text = "é" * PIECE
    entries = printed(text.encode())
    assert "".join(entry["textPayload"] for entry in entries) == text
    assert [entry["split"].get("index", 0) for entry in entries] == [0, 1]
    assert {entry["split"]["totalSplits"] for entry in entries} == {2}
    assert len({entry["split"]["uid"] for entry in entries}) == 1
    assert {entry["labels"]["mine"] for entry in entries} == {"x"}


def test_a_line_without_end_becomes_as_many_as_there_may_be(printed):
    splitter = LineSplitter()
    (line,) = [*splitter.feed(b"x" * (20 * PIECE)), *splitter.end()]
    entries = printed(line)
    assert len(entries) == MOST_PIECES
    assert f"cut: the line has {20 * PIECE} bytes" in entries[-1]["textPayload"]


def test_a_time_days_ahead_does_not_count(printed):
    (entry,) = printed(b'{"time": "2999-01-01T00:00:00Z", "message": "x"}')
    assert entry["timestamp"] == entry["receiveTimestamp"]


def test_of_too_many_labels_the_first_are_kept(printed):
    labels = ", ".join(f'"l{number}": "v"' for number in range(100))
    (entry,) = printed(b'{"message": "x", "logging.googleapis.com/labels": {%s}}' % labels.encode())
    assert len(entry["labels"]) == 64
    assert {"mine", "instanceId", "l0"} <= set(entry["labels"])
