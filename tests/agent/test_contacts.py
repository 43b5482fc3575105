"""Whose bytes they are: by the name that was meant, and over sockets of every provenance."""

from __future__ import annotations

from typing import Any

import pytest

SUITE = """
import _socket, asyncio, http.client, os, pickle, select, socket, threading
from unittest import mock
from urllib.parse import urlsplit
import aiohttp, pytest, uvloop
from aiohttp.abc import AbstractResolver

PORT = urlsplit(HTTP).port
ASK = b"GET /x HTTP/1.0\\r\\n\\r\\n"

class Resolver(AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]
    async def close(self): pass

async def ask(*urls):
    connector = aiohttp.TCPConnector(resolver=Resolver(), force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        for url in urls:
            async with session.get(url) as answer: await answer.read()

@pytest.fixture
def everywhere(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", PORT))]
    monkeypatch.setattr(_socket, "getaddrinfo", lambda *args, **kwargs: found)

def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()

def raw(connect=True):
    return socket.create_connection(("127.0.0.1", PORT))

def test_own_resolver(): asyncio.run(ask(f"http://env.example:{PORT}/x"))
def test_two_names(): asyncio.run(ask(f"http://env.example:{PORT}/x", f"http://other.example:{PORT}/x"))
def test_own_resolver_to_a_stub():
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
        writer.close()
    async def go():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server: await ask(f"http://env.example:{server.sockets[0].getsockname()[1]}/x")
    asyncio.run(go())
def test_by_host_name():
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    with raw() as one: one.sendall(ASK), one.recv(10)
def test_ambiguous(everywhere):
    for name in ("env.example", "other.example"): in_thread(socket.getaddrinfo, name, PORT)
    with raw() as one: one.sendall(ASK), one.recv(10)
def test_looked_up_here(everywhere):
    in_thread(socket.getaddrinfo, "env.example", PORT)
    with socket.create_connection(("other.example", PORT)) as one: one.sendall(ASK), one.recv(10)

def test_dup():
    one = raw()
    with one.dup() as other:
        one.close()
        other.sendall(ASK), other.recv(10)
def test_detached():
    with socket.socket(fileno=raw().detach()) as one: one.sendall(ASK), one.recv(10)
def test_from_descriptor():
    with raw() as one, socket.socket(fileno=os.dup(one.fileno())) as other: other.sendall(ASK), other.recv(10)
def test_past_the_socket():
    with raw() as one:
        os.write(one.fileno(), ASK)
        assert os.read(one.fileno(), 10)
def test_while_ioctl_is_replaced():
    with mock.patch("fcntl.ioctl") as asked, mock.patch("sys.platform", "darwin"):
        test_past_the_socket()
    assert not asked.called
def test_past_a_socket_left_open():
    pytest.one = raw()
    os.write(pytest.one.fileno(), ASK)
    assert os.read(pytest.one.fileno(), 10)
def test_after_it(): pytest.one.close()
async def leave():
    _, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.transport.pause_reading()
    writer.write(ASK)
    for _ in range(3): await asyncio.sleep(0)  # the loop writes by then
    return writer
def test_unread():
    pytest.unread = raw()
    os.write(pytest.unread.fileno(), ASK)
    assert select.select([pytest.unread], [], [], 10)[0]
def test_after_unread(): pytest.unread.close()
def test_unread_by_uvloop():
    pytest.loop = uvloop.new_event_loop()
    pytest.writer = pytest.loop.run_until_complete(leave())
    assert select.select([pytest.writer.get_extra_info("socket").fileno()], [], [], 10)[0]
def test_after_unread_by_uvloop(): pytest.loop.close()
def test_unhashable():
    class Socket(socket.socket):
        def __eq__(self, other): return self is other
    with Socket() as one:
        one.connect(("127.0.0.1", PORT))
        one.sendall(ASK), one.recv(10)
def test_connecting_alone(): raw().close()
def test_a_server_that_only_hangs_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as one:
            other, _ = server.accept()
            os.write(one.fileno(), b"x")
            assert other.recv(1)
            other.close()
            assert os.read(one.fileno(), 1) == b""
def test_accepted():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = _socket.socket()
        one.connect(server.getsockname())
        other, _ = server.accept()
        with other:
            other.sendall(b"x"), one.send(b"y"), other.recv(1)
        one.close()

def test_wrapped_functions_are_pickled_by_their_place():
    for one in (socket.socket.connect, socket.getaddrinfo, os.system, os.posix_spawn, aiohttp.ClientSession._request):
        assert pickle.loads(pickle.dumps(one)) is one
def test_a_traceback_ends_in_the_test():
    with pytest.raises(OSError) as failed, socket.socket() as one: one.connect(("127.0.0.1", 1))
    assert failed.traceback.filter(failed)[-1].path.name == "test_observed.py"
"""


@pytest.fixture(scope="module")
def observed(watch):
    return watch(SUITE).seen


def peers(seen: dict[str, Any]) -> list[str]:
    return [host for host, _, sent, received, *_ in seen["contacts"] if sent and received]


@pytest.mark.parametrize(
    ("test", "hosts"),
    [
        ("own_resolver", ["env.example"]),
        ("two_names", ["env.example", "other.example"]),
        ("own_resolver_to_a_stub", ["127.0.0.1"]),
        ("by_host_name", ["localhost"]),
        ("ambiguous", ["127.0.0.1"]),
        ("looked_up_here", ["other.example"]),
    ],
)
def test_a_host_goes_by_the_name_that_was_asked_for_or_by_none(observed, test, hosts):
    assert peers(observed[f"test_{test}"]) == hosts


@pytest.mark.parametrize(
    "test",
    [
        *(
            "dup",
            "detached",
            "from_descriptor",
            "past_the_socket",
            "past_a_socket_left_open",
            "while_ioctl_is_replaced",
        ),
        "unhashable",
    ],
)
def test_bytes_are_counted_wherever_the_socket_came_from(observed, test):
    (contact,) = observed[f"test_{test}"]["contacts"]
    assert contact[2] == len(b"GET /x HTTP/1.0\r\n\r\n")
    assert contact[3] > 0


@pytest.mark.parametrize("test", ["after_it", "connecting_alone", "a_server_that_only_hangs_up", "accepted"])
def test_nothing_is_counted_that_was_not_exchanged_with_another(observed, test):
    assert peers(observed[f"test_{test}"]) == []


@pytest.mark.parametrize("test", ["unread", "unread_by_uvloop"])
def test_an_answer_that_nobody_reads_is_not_received_by_the_next_test_either(observed, test):
    ((*_, sent, received, _, _),) = observed[f"test_{test}"]["contacts"]
    assert (sent, received) == (len(b"GET /x HTTP/1.0\r\n\r\n"), 0)
    assert [contact[2:4] for contact in observed[f"test_after_{test}"]["contacts"] if contact[3]] == []


def test_no_observer_failed(observed):
    assert {name: seen["blind"] for name, seen in observed.items() if seen["blind"]} == {}
