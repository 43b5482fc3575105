"""A connection that ends without a close frame: ours where the test let go of it, the server's 1006 where it did."""

from __future__ import annotations

from typing import Any

import pytest

CLIENTS = """
import asyncio, select, socket, ssl, threading
import aiohttp, pytest, trio, uvloop, websocket
from websockets.asyncio.client import connect as connect_asyncio
from websockets.legacy.client import connect as connect_legacy
from websockets.sync.client import connect as connect_sync
from websockets.trio.client import connect as connect_trio

TLS = ssl.create_default_context(cafile=CA)

def given(url):
    return TLS if url.startswith("wss") else None

async def until_lost(socket):
    try:
        while True: await socket.recv()
    except Exception: pass

def sync_shutdown(url):
    ws = connect_sync(url, ssl=given(url))
    ws.recv(), ws.recv()
    ws.socket.shutdown(socket.SHUT_RDWR)
    ws.recv_events_thread.join()

def sync_close(url):
    ws = connect_sync(url, ssl=given(url))
    ws.recv(), ws.recv()
    ws.socket.close()

async def asyncio_abort(url, how="abort", connect=connect_asyncio):
    ws = await connect(url, ssl=given(url))
    await ws.recv(), await ws.recv()
    getattr(ws.transport, how)()
    await until_lost(ws)

async def asyncio_socket(url):
    ws = await connect_asyncio(url, ssl=given(url))
    await ws.recv(), await ws.recv()
    ws.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    await until_lost(ws)

async def on_trio(url):
    ws = None
    async with trio.open_nursery() as nursery:
        async with connect_trio(url, ssl=given(url)) as ws:
            await ws.recv(), await ws.recv()
            await trio.aclose_forcefully(ws.stream)
            await until_lost(ws)

async def aiohttp_session(url):
    session = aiohttp.ClientSession()
    ws = await session.ws_connect(url, ssl=given(url) or True)
    await ws.receive(), await ws.receive()
    waiting = asyncio.ensure_future(ws.receive())
    await asyncio.sleep(0)
    await session.close()
    assert (await waiting).type.name == "CLOSED"

async def aiohttp_unheard(url):
    session = aiohttp.ClientSession()
    ws = await session.ws_connect(url, ssl=given(url) or True)
    await ws.receive(), await ws.receive()
    gone = ws._response.connection.protocol.closed
    await session.close()
    await gone

async def aiohttp_abort(url):
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(url, ssl=given(url) or True)
        await ws.receive(), await ws.receive()
        ws._response.connection.transport.abort()
        await ws.receive()

def websocket_made(url, messages=2):
    ws = websocket.create_connection(url, sslopt={"context": TLS})
    for _ in range(messages): ws.recv()
    return ws

def websocket_abort(url):
    ws = websocket_made(url)
    ws.abort()
    with pytest.raises(Exception):
        while True: ws.recv()

def websocket_shutdown(url): websocket_made(url).shutdown()

DROPS = {
    "sync-shutdown": sync_shutdown,
    "sync-close": sync_close,
    "asyncio-abort": lambda url: asyncio.run(asyncio_abort(url)),
    "asyncio-close": lambda url: asyncio.run(asyncio_abort(url, "close")),
    "asyncio-socket": lambda url: asyncio.run(asyncio_socket(url)),
    "uvloop-abort": lambda url: uvloop.run(asyncio_abort(url)),
    "legacy-abort": lambda url: asyncio.run(asyncio_abort(url, connect=connect_legacy)),
    "legacy-close": lambda url: asyncio.run(asyncio_abort(url, "close", connect_legacy)),
    "trio": lambda url: trio.run(on_trio, url),
    "aiohttp-session": lambda url: asyncio.run(aiohttp_session(url)),
    "aiohttp-unheard": lambda url: asyncio.run(aiohttp_unheard(url)),
    "uv-aiohttp-session": lambda url: uvloop.run(aiohttp_session(url)),
    "aiohttp-abort": lambda url: asyncio.run(aiohttp_abort(url)),
    "websocket-abort": websocket_abort,
    "websocket-shutdown": websocket_shutdown,
}

@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("name", DROPS)
def test_drop(name, scheme):
    DROPS[name](f"{WS if scheme == 'ws' else WSS}/{name}/parts")

def until_ended(sock):
    select.select([sock], [], [], 30)

def test_late_websocket():
    ws = websocket_made(f"{WS}/late/cut", 1)
    ws.send("go")
    until_ended(ws.sock)
    ws.abort()

@pytest.mark.parametrize("connect", [connect_asyncio, connect_legacy], ids=["new", "legacy"])
def test_late_asyncio(connect):
    async def go():
        ws = await connect(f"{WS}/late/cut")
        await ws.recv()
        await ws.send("go")
        until_ended(ws.transport.get_extra_info("socket"))
        ws.transport.abort()
        await until_lost(ws)
    asyncio.run(go())

def test_late_aiohttp():
    async def go():
        session = aiohttp.ClientSession()
        ws = await session.ws_connect(f"{WS}/late/cut")
        await ws.receive()
        await ws.send_str("go")
        until_ended(ws.get_extra_info("socket"))
        await session.close()
        await ws.receive()
    asyncio.run(go())

def test_aiohttp_that_does_not_receive():
    async def go():
        async with aiohttp.ClientSession() as session:
            ws = await session.ws_connect(f"{WS}/deaf/cut")
            await ws.receive()
            gone = ws._response.connection.protocol.closed
            await ws.send_str("go")
            await gone
    asyncio.run(go())
"""

DROPS = (
    *("sync-shutdown", "sync-close", "asyncio-abort", "asyncio-close", "asyncio-socket", "uvloop-abort"),
    *("legacy-abort", "legacy-close", "trio", "aiohttp-session", "aiohttp-unheard", "uv-aiohttp-session"),
    *("aiohttp-abort", "websocket-abort", "websocket-shutdown"),
)
LATE = (
    *("test_late_websocket", "test_late_asyncio[new]", "test_late_asyncio[legacy]", "test_late_aiohttp"),
    "test_aiohttp_that_does_not_receive",
)


@pytest.fixture(scope="module")
def observed(watch: Any) -> Any:
    return watch(CLIENTS, "-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning")


def ends(seen: Any) -> list[tuple[str, int | None]]:
    assert seen["blind"] == []
    return [(one["direction"], one.get("code")) for one in seen["frames"] if one["kind"] == "close"]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("name", DROPS)
def test_what_the_test_drops_is_dropped_by_the_test(observed, name, scheme):
    told = [("received", 1006)] if (name, scheme) == ("uvloop-abort", "wss") else [("sent", None)]
    assert ends(observed.seen[f"test_drop[{name}-{scheme}]"]) == told


@pytest.mark.parametrize("name", LATE)
def test_what_the_server_has_dropped_already_is_the_servers(observed, name):
    assert ends(observed.seen[name]) == [("received", 1006)]
