"""One contract for every WebSocket client: opened, each message, closed by whom and why, under which trace."""

from __future__ import annotations

from typing import Any

import pytest

CLIENTS = '''
import asyncio, json, ssl, threading
import aiohttp, pytest, trio, uvloop, websocket
from websockets.asyncio.client import connect as connect_asyncio
from websockets.legacy.client import connect as connect_legacy
from websockets.sync.client import connect as connect_sync
from websockets.trio.client import connect as connect_trio

TLS = ssl.create_default_context(cafile=CA)
START = json.dumps({"type": "start_agent", "payload": 1})

def steps(path):
    """What each client does: how often it receives before and after it sends, and whether it closes."""
    return {"polite": (1, True, 1), "parts": (2, False, 0), "crash": (3, False, 0), "cut": (1, True, 1)}[path]

def sync(url, tls, path):
    before, send, after = steps(path)
    with connect_sync(url, ssl=tls) as socket:
        try:
            for _ in range(before): socket.recv()
            if send: socket.send(START)
            for _ in range(after): socket.recv()
        except Exception as error:
            assert path in ("crash", "cut"), error

async def by_methods(socket, path):
    before, send, after = steps(path)
    try:
        for _ in range(before): await socket.recv()
        if send: await socket.send(START)
        for _ in range(after): await socket.recv()
    except Exception as error:
        assert path in ("crash", "cut"), error

async def asynchronous(url, tls, path):
    async with connect_asyncio(url, ssl=tls) as socket: await by_methods(socket, path)

async def legacy(url, tls, path):
    async with connect_legacy(url, ssl=tls) as socket: await by_methods(socket, path)

async def on_trio(url, tls, path):
    async with connect_trio(url, ssl=tls) as socket:
        before, send, after = steps(path)
        try:
            for _ in range(before): await socket.recv()
            if send: await socket.send(START)
            for _ in range(after): await socket.recv()
        except Exception as error:
            assert path in ("crash", "cut"), error

async def with_aiohttp(url, tls, path):
    before, send, after = steps(path)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, ssl=tls or True) as socket:
            for _ in range(before): await socket.receive()
            if send: await socket.send_str(START)
            for _ in range(after): await socket.receive()

def with_websocket(url, tls, path):
    before, send, after = steps(path)
    socket = websocket.create_connection(url, sslopt={"context": tls} if tls else None)
    try:
        for _ in range(before): socket.recv()
        if send: socket.send(START)
        for _ in range(after): socket.recv()
    except websocket.WebSocketException as error:
        assert path in ("crash", "cut"), error
    socket.close()

def with_app(url, tls, path):
    before, send, after = steps(path)
    got = []
    def on_message(app, message):
        got.append(message)
        if len(got) == before and send: app.send(START)
        if len(got) == before + after and path not in ("crash", "cut"): app.close()
    websocket.WebSocketApp(url, on_message=on_message).run_forever(sslopt={"context": tls} if tls else None)

KINDS = {
    "sync": sync,
    "asyncio": lambda *given: asyncio.run(asynchronous(*given)),
    "uvloop": lambda *given: uvloop.run(asynchronous(*given)),
    "trio": lambda *given: trio.run(on_trio, *given),
    "legacy": lambda *given: asyncio.run(legacy(*given)),
    "aiohttp": lambda *given: asyncio.run(with_aiohttp(*given)),
    "uv-aiohttp": lambda *given: uvloop.run(with_aiohttp(*given)),
    "websocket": with_websocket,
    "app": with_app,
}

@pytest.mark.parametrize("path", ["polite", "parts", "crash", "cut"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("name", KINDS)
def test_life(name, scheme, path):
    url = f"{WS if scheme == 'ws' else WSS}/{name}/{scheme}/{path}"
    KINDS[name](url, TLS if scheme == "wss" else None, path)

@pytest.mark.parametrize("name", KINDS)
def test_thread(name):
    thread = threading.Thread(target=KINDS[name], args=(f"{WS}/{name}/polite/thread", None, "polite"))
    thread.start()
    thread.join()

@pytest.mark.parametrize("name", [name for name in KINDS if name != "app"])
def test_refused(name):
    with pytest.raises(BaseException): KINDS[name](f"{WS}/{name}/refused", None, "polite")

@pytest.mark.parametrize("name", [name for name in KINDS if name != "app"])
def test_nobody(name):
    with pytest.raises(BaseException): KINDS[name]("ws://localhost:9/", None, "polite")

def test_aiohttp_that_is_told_why_and_does_not_listen():
    async def go():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{WS}/deaf/crash") as socket:
                await asyncio.sleep(0.3)  # for the server's last words to arrive
    asyncio.run(go())

def test_half_a_character():
    with connect_sync(f"{WS}/half/parts") as socket:
        socket.recv()
        socket.send('{"type": "error \\\\ud83d"}')
'''

NAMES = ("sync", "asyncio", "uvloop", "trio", "legacy", "aiohttp", "uv-aiohttp", "websocket", "app")
OPENED = [("open", "received", 0), ("text", "received", "connection_established")]
LIVES = {
    "polite": [*OPENED, ("text", "sent", "start_agent"), ("binary", "received", 5), ("close", "sent", 1000)],
    "parts": [*OPENED, ("text", "received", "agent_thinking"), ("close", "sent", 1000)],
    "crash": [*OPENED, ("text", "received", "error"), ("close", "received", 1011)],
    "cut": [*OPENED, ("text", "sent", "start_agent"), ("close", "received", 1006)],
}


@pytest.fixture(scope="module")
def observed(watch: Any) -> Any:
    return watch(CLIENTS, "-W", "ignore::DeprecationWarning")


def life(frames: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (one["kind"], one["direction"], one.get("event") or one.get("code") or one.get("size", 0)) for one in frames
    ]


@pytest.mark.parametrize("path", LIVES)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("name", NAMES)
def test_a_life_is_seen_whole(observed, backend, name, scheme, path):
    seen = observed.seen[f"test_life[{name}-{scheme}-{path}]"]
    assert life(seen["frames"]) == LIVES[path]
    place = f"/{name}/{scheme}/{path}"
    url = backend.addresses()[scheme.upper()] + place
    assert {one["url"] for one in seen["frames"]} == {url}
    assert [(one["method"], one["url"], one["status"]) for one in seen["exchanges"]] == [("GET", url, 101)]
    (trace,) = backend.traces[place]
    assert trace.split("-")[1] == seen["trace"]
    assert seen["blind"] == []
    (row,) = [row for row in seen["contacts"] if row[1] == backend.ports[scheme] and row[3]]
    assert row[0] == "localhost"
    assert row[2] > 100
    assert row[3] > 100


@pytest.mark.parametrize("name", NAMES)
def test_a_message_in_parts_is_one_message(observed, name):
    frames = observed.seen[f"test_life[{name}-ws-parts]"]["frames"]
    assert frames[2]["size"] == len('{"type": "agent_thinking", "x": ""}') + 50


@pytest.mark.parametrize("name", NAMES)
def test_an_error_event_keeps_its_words(observed, name):
    frames = observed.seen[f"test_life[{name}-ws-crash]"]["frames"]
    assert frames[2]["text"] == '{"type": "error", "message": "no model"}'
    assert frames[3]["reason"] == "internal error"


@pytest.mark.parametrize("name", NAMES)
def test_a_life_in_a_thread(observed, name):
    assert life(observed.seen[f"test_thread[{name}]"]["frames"]) == LIVES["polite"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "app"])
def test_a_refused_upgrade_is_an_exchange_and_no_life(observed, name):
    seen = observed.seen[f"test_refused[{name}]"]
    assert seen["frames"] == []
    assert [one["status"] for one in seen["exchanges"]] == [401]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "app"])
def test_where_nobody_answers_there_is_no_life(observed, name):
    seen = observed.seen[f"test_nobody[{name}]"]
    assert seen["frames"] == []
    assert [row[:4] for row in seen["contacts"]] == [["localhost", 9, 0, 0]]


def test_what_arrived_before_our_own_close_is_told_first(observed):
    frames = observed.seen["test_aiohttp_that_is_told_why_and_does_not_listen"]["frames"]
    assert life(frames) == LIVES["crash"]


def test_half_a_character_is_told_in_one_that_can_be_written(observed):
    (frame,) = [one for one in observed.seen["test_half_a_character"]["frames"] if one["direction"] == "sent"][:1]
    assert frame["event"] == "error \\ud83d"
