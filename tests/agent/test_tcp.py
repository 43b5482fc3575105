"""What the kernel says of a connection's bytes: those that were read, and no end of the connection among them."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netra_loop.agent import tcp

pytestmark = pytest.mark.skipif(not tcp.COUNTED, reason=f"{sys.platform} does not count bytes per connection")
ANSWER = b"answer"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection, and the server's side of it, which has read what was asked."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        with theirs:
            ours.sendall(b"ask")
            assert theirs.recv(3) == b"ask"
            yield ours, theirs


def until(ours: socket.socket, what: int) -> None:
    poll = select.poll()
    poll.register(ours, what)
    assert poll.poll(10_000)


def closed(ours: socket.socket, theirs: socket.socket, *, reset: bool = False) -> None:
    """The server hangs up, and that has come here."""
    if reset:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    until(ours, select.POLLRDHUP)


def answer(ours: socket.socket, theirs: socket.socket, content: bytes = ANSWER) -> None:
    theirs.sendall(content)
    until(ours, select.POLLIN)


def test_what_nobody_has_read_is_not_received(ends):
    answer(*ends)
    assert tcp.counts(ends[0]) == (3, 0)
    os.read(ends[0].fileno(), 2)
    assert tcp.counts(ends[0]) == (3, 2)


@pytest.mark.parametrize("shut", [None, socket.SHUT_WR])
@pytest.mark.parametrize("read", [0, 1, len(ANSWER)])
def test_the_end_of_a_connection_is_no_byte_of_it(ends, shut, read):
    ours, theirs = ends
    if shut is not None:
        ours.shutdown(shut)
    answer(ours, theirs)
    os.read(ours.fileno(), read)
    closed(ours, theirs)
    assert tcp.counts(ours) == (3, read)


@pytest.mark.parametrize("shut", [None, socket.SHUT_WR])
def test_a_server_that_only_hangs_up_has_answered_nothing(ends, shut):
    ours, theirs = ends
    if shut is not None:
        ours.shutdown(shut)
    closed(ours, theirs)
    assert ours.recv(9) == b""
    assert tcp.counts(ours) == (3, 0)


def test_what_is_shut_both_ways_after_its_end_keeps_its_count(ends):
    ours, theirs = ends
    answer(ours, theirs)
    os.read(ours.fileno(), 9)
    closed(ours, theirs)
    ours.shutdown(socket.SHUT_RDWR)
    until(ours, select.POLLHUP)
    assert tcp.counts(ours) == (3, len(ANSWER))


@pytest.mark.parametrize("content", [b"", b"a"])
def test_a_reset_takes_nothing_from_an_answer_of_one_byte(ends, content):
    ours, theirs = ends
    if content:
        answer(ours, theirs, content)
        os.read(ours.fileno(), 9)
    closed(ours, theirs, reset=True)
    assert tcp.counts(ours) == (3, len(content))


class Amid:
    """A connection on which something comes right after each of the first few questions."""

    def __init__(self, ours: socket.socket, come: Callable[[], None], times: int) -> None:
        self._ours, self._come, self._times = ours, come, times
        self.fileno = ours.fileno

    def getsockopt(self, *asked: int) -> Any:
        told = self._ours.getsockopt(*asked)
        if self._times:
            self._times -= 1
            self._come()
        return told


@pytest.mark.parametrize("times", [1, 3])
def test_what_comes_while_it_is_asked_hides_nothing_that_was_read(ends, times):
    ours, theirs = ends
    answer(ours, theirs)
    os.read(ours.fileno(), 9)
    assert tcp.counts(Amid(ours, lambda: answer(ours, theirs, bytes(1000)), times)) == (3, len(ANSWER))
