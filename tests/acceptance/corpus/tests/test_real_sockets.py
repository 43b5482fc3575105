"""Passes over sockets and WebSockets that happened."""

import asyncio
import json
import os
import socket
import unittest

import aiohttp
import httpx
import pytest
import websocket
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_sync

pytestmark = pytest.mark.truth("real")
ASK = json.dumps({"type": "start_agent", "payload": {"user_request": "hello"}})


@pytest.mark.asyncio
async def test_websockets(ws_url, bearer):
    async with connect(ws_url, additional_headers=bearer) as client:
        await client.send(ASK)
        seen = [json.loads(message)["type"] async for message in _until_completed(client)]
    assert seen[-1] == "agent_completed"


async def _until_completed(client):
    async for message in client:
        yield message
        if "agent_completed" in message:
            return


def test_websockets_sync(ws_url, bearer):
    with connect_sync(ws_url, additional_headers=bearer) as client:
        client.send(ASK)
        assert json.loads(client.recv())["type"] == "connection_established"


def test_websocket_client(ws_url, bearer):
    client = websocket.create_connection(ws_url, header=bearer, timeout=5)
    client.send(json.dumps({"type": "ping"}))
    client.recv()
    assert json.loads(client.recv())["type"] == "pong"
    client.close()


@pytest.mark.asyncio
async def test_aiohttp_websocket(ws_url, bearer):
    async with aiohttp.ClientSession() as session, session.ws_connect(ws_url, headers=bearer) as client:
        assert (await client.receive_json())["type"] == "connection_established"


def test_a_bare_socket(address):
    with socket.create_connection(address) as client:
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.asyncio
async def test_streams(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /health HTTP/1.1\r\nHost: backend\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


def test_by_another_name_of_the_host(address):
    assert httpx.get(f"http://localhost:{address[1]}/health").status_code == 200


class TestOldStyle(unittest.TestCase):
    def test_unittest(self):
        answer = httpx.get(os.environ["NETRA_LOOP_URL"] + "/health")
        self.assertEqual(answer.status_code, 200)  # noqa: PT009 - its own way


class TestAsyncOldStyle(unittest.IsolatedAsyncioTestCase):
    async def test_unittest_async(self):
        async with httpx.AsyncClient() as client:
            answer = await client.get(os.environ["NETRA_LOOP_URL"] + "/health")
        self.assertEqual(answer.status_code, 200)  # noqa: PT009 - its own way


@pytest.fixture(scope="session")
def shared_chat(ws_url, bearer):
    """A socket that the whole session shares."""
    with connect_sync(ws_url, additional_headers=bearer) as client:
        client.recv()
        yield client


@pytest.mark.xdist_group("chat")
@pytest.mark.parametrize("number", range(2))
def test_over_the_session_s_socket(shared_chat, number):
    shared_chat.send(json.dumps({"type": "ping"}))
    assert json.loads(shared_chat.recv())["type"] == "pong"


def test_a_socket_that_the_test_drops(ws_url, bearer):
    client = websocket.create_connection(ws_url, header=bearer, timeout=5)
    assert client.recv()
    client.sock.close()


def test_a_close_that_the_test_calls_an_error(ws_url, bearer):
    with connect_sync(ws_url, additional_headers=bearer) as client:
        assert client.recv()
        client.close(1011, "ours")
