"""Tests of what a doctor says of URLs and clocks: each way of not being reached has its own words."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme

from netra_loop.clock import SystemClock
from netra_loop.doctor import network
from netra_loop.doctor.base import Status
from netra_loop.doctor.network import Answer, get, skew, urls
from tests.doctor.conftest import lines

CLOCK = SystemClock()


class Server:
    """Answers as told; silent where `head` is empty."""

    def __init__(self) -> None:
        self.head = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if self.head:
            writer.write(f"{self.head}\r\n".encode())
        else:
            await reader.read()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as listening:
        made.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made


@pytest.mark.parametrize(("status", "told"), [(200, Status.OK), (404, Status.OK), (503, Status.WARN)])
async def test_whoever_answers_is_there(server, status, told):
    server.head = f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n"
    answer = await get(f"http://{server.address}/", CLOCK)
    assert answer.status == status
    assert network.reached("url", "http://x/", answer).status is told


async def test_nobody_listens(unused_tcp_port):
    answer = await get(f"http://127.0.0.1:{unused_tcp_port}/", CLOCK)
    assert answer.trouble.startswith("refused the connection")


async def test_a_name_that_is_none():
    answer = await get("http://no-such-host.invalid/", CLOCK)
    assert answer.trouble.startswith("its name is not known (DNS)")


async def test_silence_is_not_waited_out(server, monkeypatch):
    monkeypatch.setattr(network, "LIMIT_S", 0.1)
    server.head = ""
    answer = await get(f"http://{server.address}/", CLOCK)
    assert answer.trouble == "gave no answer within 0.1 s"


async def test_a_certificate_of_nobodys():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with await asyncio.start_server(Server().serve, "127.0.0.1", 0, ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        answer = await get(f"https://127.0.0.1:{port}/", CLOCK)
    assert answer.trouble.startswith("TLS failed")


@pytest.mark.parametrize(
    ("ahead_s", "status"), [(0, Status.OK), (-3, Status.OK), (40, Status.WARN), (-40, Status.WARN), (900, Status.FAIL)]
)
async def test_a_clock_that_is_wrong(server, ahead_s, status):
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=ahead_s), usegmt=True)
    server.head = f"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: {date}\r\n"
    line = skew([await get(f"http://{server.address}/", CLOCK)])
    assert line is not None
    assert line.status is status


def test_one_server_with_a_wrong_clock_is_not_ours():
    line = skew([Answer(200, ahead_s=900.0), Answer(200, ahead_s=1.0), Answer(200)])
    assert line is not None
    assert line.status is Status.OK


def test_nobody_told_the_time():
    assert skew([Answer(200), Answer(None, "gone")]) is None


async def test_hosts_and_services_of_the_loop(subject, server, unused_tcp_port):
    text = f"""
environments: {{here: {{cloud: none, hosts: ["{server.address}", "http://127.0.0.1:{unused_tcp_port}"]}}}}
services: {{backend: {{url: "${{env.URL}}", startup_probe: {{path: /health}}}}}}
"""
    found = await lines(urls, subject(text, URL=f"http://{server.address}"))
    assert [(line.check.partition(" ")[0], line.status) for line in found] == [
        ("url", Status.OK),
        ("host", Status.OK),
        ("host", Status.FAIL),
    ]
    assert f"http://{server.address}/health answers 200" in found[0].detail
