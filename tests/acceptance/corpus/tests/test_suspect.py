"""Passes over what the server said against them."""

import contextlib
import json
import socket

import aiohttp
import httpx
import pytest
import requests
import websocket
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ERROR, CLOSED, LOST = "error event error_message", "closed with 1011", "closed with 1006"


@pytest.mark.truth("suspect", "HTTP 500")
def test_500(faults):
    httpx.get(f"{faults}/500")


@pytest.mark.truth("suspect", "HTTP 500")
def test_500_that_is_swallowed(faults):
    with contextlib.suppress(requests.HTTPError):
        requests.get(f"{faults}/500", timeout=5).raise_for_status()


@pytest.mark.truth("suspect", "HTTP 500")
@pytest.mark.asyncio
async def test_500_aiohttp(faults):
    async with aiohttp.ClientSession() as session, session.get(f"{faults}/500") as answer:
        assert answer.status in (200, 500)


@pytest.mark.truth("suspect", ERROR)
def test_an_error_event(faults_ws):
    with connect(f"{faults_ws}/error") as client:
        client.send("{}")
        assert client.recv()


@pytest.mark.truth("suspect", ERROR)
def test_an_error_event_of_the_demo_service(ws_url, bearer):
    with connect(ws_url, additional_headers=bearer) as client:
        client.send(json.dumps({"type": "no_such_thing"}))
        assert client.recv()
        assert client.recv()


@pytest.mark.truth("suspect", ERROR)
def test_an_error_event_websocket_client(faults_ws):
    client = websocket.create_connection(f"{faults_ws}/error", timeout=5)
    client.send("{}")
    assert client.recv()
    client.close()


@pytest.mark.truth("suspect", ERROR)
@pytest.mark.asyncio
async def test_an_error_event_aiohttp(faults_ws):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{faults_ws}/error") as client:
        await client.send_str("{}")
        assert (await client.receive_json())["type"]


@pytest.mark.truth("suspect", CLOSED)
def test_1011(faults_ws):
    with connect(f"{faults_ws}/1011") as client:
        client.send("{}")
        with contextlib.suppress(ConnectionClosed):
            client.recv()


@pytest.mark.truth("suspect", CLOSED)
@pytest.mark.asyncio
async def test_1011_async(faults_ws):
    async with connect_async(f"{faults_ws}/1011") as client:
        await client.send("{}")
        with pytest.raises(ConnectionClosed):
            await client.recv()


@pytest.mark.truth("suspect", CLOSED)
@pytest.mark.asyncio
async def test_1011_aiohttp(faults_ws):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{faults_ws}/1011") as client:
        await client.send_str("{}")
        assert (await client.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.truth("suspect", CLOSED)
def test_1011_websocket_client(faults_ws):
    client = websocket.create_connection(f"{faults_ws}/1011", timeout=5)
    client.send("{}")
    assert client.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE


@pytest.mark.truth("suspect", LOST)
def test_1006(faults_ws):
    with connect(f"{faults_ws}/lost") as client:
        client.send("{}")
        with contextlib.suppress(ConnectionClosed):
            client.recv()


@pytest.mark.truth("suspect", LOST)
@pytest.mark.asyncio
async def test_1006_async(faults_ws):
    async with connect_async(f"{faults_ws}/lost") as client:
        await client.send("{}")
        with pytest.raises(ConnectionClosed):
            await client.recv()


@pytest.mark.truth("suspect", LOST)
@pytest.mark.asyncio
async def test_1006_aiohttp(faults_ws):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{faults_ws}/lost") as client:
        await client.send_str("{}")
        assert (await client.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@pytest.mark.truth("suspect", LOST)
def test_1006_websocket_client(faults_ws):
    client = websocket.create_connection(f"{faults_ws}/lost", timeout=5)
    client.send("{}")
    with contextlib.suppress(websocket.WebSocketException, OSError):
        client.recv()


@pytest.mark.truth("suspect", told="real")
def test_500_that_no_client_read(faults):
    host, _, port = faults.rpartition("/")[2].partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /500 HTTP/1.0\r\n\r\n")
        assert client.recv(1000)


@pytest.mark.truth("suspect", told="real")
def test_an_error_event_of_another_shape(faults_ws):
    with connect(f"{faults_ws}/echo") as client:
        client.send("{}")
        client.send(json.dumps({"event": "failure", "detail": "out of order"}))
        assert client.recv()


@pytest.mark.truth("n/a")
def test_a_skip_before_any_contact():
    pytest.skip("the environment has no payments")


@pytest.mark.truth("n/a")
@pytest.mark.xfail(reason="not there yet", strict=True)
def test_an_expected_failure(base_url):
    assert httpx.get(f"{base_url}/api/payments").status_code == 200
