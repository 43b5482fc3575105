"""What a running test did is told as it happens, within bounds."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netra_loop.agent import evidence
from netra_loop.agent.wire import Line, Message


@pytest.fixture
def told() -> Iterator[list[Message]]:
    """The messages of a running test, as they come."""
    messages: list[Message] = []

    def sink(news):
        message = news()
        if message is not None:
            messages.append(message)

    evidence.begin("0" * 32, sink)
    yield messages
    evidence.end()


def test_each_change_is_told_at_once_and_once(told):
    evidence.contact("host", 80, 5, 0)
    entry = evidence.exchange("GET", "http://host/")
    evidence.answered(entry, 200)
    evidence.frame("ws://host/", "open", "received")
    assert [[number for number, _ in message["exchanges"]] for message in told] == [[], [0], [0], []]
    assert [row["status"] for message in told for _, row in message["exchanges"]] == [None, 200]
    assert [[number for number, _ in message["frames"]] for message in told] == [[], [], [], [0]]
    assert told[0]["contacts"][0][:3] == ["host", 80, 5]


def test_a_flood_is_told_in_few_messages_and_its_end_with_the_rest(told):
    for number in range(1500):
        evidence.frame("ws://host/", "text", "received", event=str(number))
    assert 300 <= len(told) < 400
    frames = dict(row for message in (*told, evidence.rest()) for row in message["frames"])
    assert [frames[number]["event"] for number in sorted(frames)] == [str(number) for number in range(1500)]


def test_an_exchange_of_an_earlier_test_is_not_told_of_the_next(told):
    entry = evidence.exchange("GET", "http://host/")
    messages: list[Message] = []
    evidence.begin("1" * 32, lambda news: messages.append(news()))
    evidence.exchange("GET", "http://host/next")
    evidence.answered(entry, 200)
    assert [row["url"] for message in messages for _, row in message["exchanges"]] == ["http://host/next"]


def test_an_orchestrator_that_is_gone_does_not_fail_the_test():
    def sink(_news):
        raise BrokenPipeError

    evidence.begin("0" * 32, sink)
    evidence.frame("ws://host/", "open", "received")
    assert len(evidence.end()["frames"]) == 1


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Line, socket.socket]]:
    """A line, and the orchestrator's end of it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        made = Line(str(tmp_path / "s"))
        other, _ = server.accept()
        with other:
            yield made, other
        made.close()


def test_an_offer_never_waits(line):
    made, other = line
    offered = 0
    for _ in range(1000):
        made.offer(lambda: {"text": "x" * 10_000})
        offered += 1
    assert offered == 1000  # though nobody read: what did not fit was not made
    other.settimeout(5)
    assert len(other.recv(1 << 20)) > 10_000


def test_a_fork_offers_nothing_and_lives_on(line):
    made, other = line
    child = os.fork()
    if child == 0:
        try:
            made.offer(lambda: {"is": "seen"})
        finally:
            os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    made.offer(lambda: {"is": "own"})
    assert other.recv(1000)[4:] == b'{"is":"own"}'


def test_an_offer_from_within_a_send_is_left_for_later(line):
    made, other = line

    def inner():
        made.offer(lambda: {"is": "inner"})
        return {"is": "outer"}

    made.offer(inner)
    assert other.recv(1000)[4:] == b'{"is":"outer"}'


def test_a_failing_observer_is_told_with_the_evidence_and_not_to_the_test():
    from_outside = ValueError("a library of another make")
    evidence.begin("a" * 32)
    evidence.blind(from_outside)
    evidence.blind(from_outside)
    assert evidence.end()["blind"] == ["ValueError: a library of another make"]


def peers():
    return [row[:4] for row in evidence.rest()["contacts"]]


def test_what_only_keeps_a_connection_alive_is_no_contact(told):
    evidence.contact("host", 80, 10, 6)
    evidence.kept_alive("host", 80, 10, 0)
    evidence.kept_alive("host", 80, 0, 6)
    assert peers() == [["host", 80, 0, 0]]
    evidence.contact("host", 80, 100, 50)
    assert peers() == [["host", 80, 100, 50]]


def test_it_is_taken_off_the_peer_that_goes_by_another_name(told):
    evidence.contact("localhost", 80, 10, 6)
    evidence.contact("other", 81, 10, 6)
    evidence.kept_alive("127.0.0.1", 80, 10, 6)
    assert peers() == [["localhost", 80, 0, 0], ["other", 81, 10, 6]]


def test_it_is_never_taken_off_what_was_not_counted(told):
    evidence.kept_alive("host", 80, 10, 6)
    assert peers() == []
    evidence.contact("host", 80, 4, 0)
    assert peers() == [["host", 80, 0, 0]]


def test_what_a_shared_fixture_does_at_its_end_is_no_contact_of_the_test(told):
    evidence.contact("host", 80, 1, 1)
    evidence.apart(1)
    evidence.contact("host", 80, 100, 100)
    evidence.contact("other", 80, 100, 100)
    evidence.apart(-1)
    assert peers() == [["host", 80, 1, 1]]


def test_a_raw_sockets_first_answer_is_told_while_the_test_still_runs(told):
    evidence.contact("host", 80, 0, 0)
    evidence.contact("host", 80, 10, 0)
    evidence.contact("host", 80, 0, 20)
    assert told[-1]["contacts"][0][:4] == ["host", 80, 10, 20]


def test_an_answer_under_way_speaks_for_its_contact(told):
    entry = evidence.exchange("GET", "http://host/")
    evidence.contact("host", 80, 10, 0)
    evidence.contact("host", 80, 0, 20)
    evidence.answered(entry, 200)
    assert len(told) == 2
    assert told[-1]["contacts"][0][:4] == ["host", 80, 10, 20]


def test_an_exchange_that_never_was_one_is_taken_back(told):
    entry = evidence.exchange("GET", "http://host/")
    evidence.answered(entry, 200)
    evidence.unreal(entry)
    assert told[-1]["exchanges"][0][1]["unreal"]
    assert evidence.end()["exchanges"] == []


@pytest.mark.parametrize(("pieces", "kept"), [((b"half ", b"done"), "half done"), ((b"x" * 1500, b"y" * 1500), None)])
def test_of_an_errors_body_short_ones_are_kept_whole_and_long_ones_not_at_all(pieces, kept):
    evidence.begin("0" * 32)
    entry = evidence.exchange("GET", "http://host/")
    evidence.answered(entry, 500)
    for piece in pieces:
        evidence.body(entry, piece)
    assert evidence.end()["exchanges"][0].get("body") == kept


def test_the_trace_stands_in_the_environment_while_the_test_runs(told, monkeypatch):
    evidence.end()
    monkeypatch.setenv("TRACEPARENT", "the user's")
    evidence.begin("ab" * 16, told.append)
    assert os.environ["TRACEPARENT"] == f"00-{'ab' * 16}-{'f' * 16}-01"
    evidence.end()
    assert os.environ["TRACEPARENT"] == "the user's"


def test_an_environment_that_takes_nothing_fails_no_test_and_is_told(told, monkeypatch):
    class Frozen(dict):
        def __setitem__(self, name, value):
            raise PermissionError("read only")

    evidence.end()
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", Frozen())
        evidence.begin("ab" * 16, told.append)
        evidence.apart(1)
        evidence.apart(-1)
    assert evidence.end()["blind"] == ["PermissionError: read only"]
