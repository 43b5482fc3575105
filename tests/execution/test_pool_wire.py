"""Nothing that a tests' process said is lost, however it ends."""

import asyncio
import json
import socket
import struct

import pytest

from netra_loop.execution.pool_wire import Switchboard


class Guest:
    """Keeps what it is told."""

    def __init__(self):
        self.messages, self.channel = [], None
        self.here, self.gone = asyncio.Event(), asyncio.Event()

    def joined(self, channel, pid):
        self.channel = channel
        self.here.set()

    def said(self, message):
        self.messages.append(message["n"])

    def left(self):
        self.gone.set()


@pytest.fixture
async def board():
    board = Switchboard()
    await board.open()
    yield board
    await board.close()


def told(**message):
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


@pytest.fixture
async def line(board):
    """A guest, and the socket of the process that it is told of."""
    guest = Guest()
    board.expect("token", guest)
    with socket.socket(socket.AF_UNIX) as process:
        process.connect(board.path)
        process.sendall(told(token="token", pid=1))
        await asyncio.wait_for(guest.here.wait(), 20)
        yield guest, process


async def test_what_was_said_before_the_end_is_heard_though_more_was_sent_to_a_process_that_is_gone(line):
    guest, process = line
    process.sendall(b"".join(told(n=number) for number in range(1000)))
    process.close()
    guest.channel.send(more="work")  # before anything was read: this is what fails
    await asyncio.wait_for(guest.gone.wait(), 20)
    assert guest.messages == list(range(1000))


async def test_a_process_that_ends_with_our_messages_unread_is_heard_as_well(line):
    guest, process = line
    guest.channel.send(more="work")
    process.sendall(told(n=1))
    process.close()
    guest.channel.send(more="work")
    await asyncio.wait_for(guest.gone.wait(), 20)
    assert guest.messages == [1]


async def test_who_brings_no_known_token_is_hung_up_on(board):
    reader, writer = await asyncio.open_unix_connection(board.path)
    writer.write(told(token="another", pid=1))
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
