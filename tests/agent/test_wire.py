"""Messages over a unix socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netra_loop.agent.wire import Line, clean


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Line, socket.socket]]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        line = Line(str(tmp_path / "s"))
        other, _ = listening.accept()
        with other:
            yield line, other
        line.close()


def test_a_message_arrives_whole_however_it_was_cut(pair):
    line, other = pair
    line.send({"is": "x", "text": "é\udc80"})
    sent = other.recv(1000)
    for byte in range(len(sent) - 1):
        other.sendall(sent[byte : byte + 1])
    assert line.peek() is None
    other.sendall(sent[-1:] + sent)
    assert line.receive() == {"is": "x", "text": "é\udc80"}
    assert line.buffered()
    assert line.peek() == {"is": "x", "text": "é\udc80"}
    assert not line.buffered()


def test_the_end_of_the_other_side_is_none(pair):
    line, other = pair
    other.close()
    assert line.receive() is None


def test_a_copy_in_a_fork_ends_that_fork_instead_of_speaking(pair):
    line, other = pair
    child = os.fork()
    if child == 0:
        line.send({"is": "lie"})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 1
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)


def test_clean_text_can_be_encoded():
    assert clean("a\udc80\x00") == "a\\udc80\x00"
