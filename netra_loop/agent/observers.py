"""Which observers there are, and which library each waits for."""

from __future__ import annotations

import functools
from typing import Any

from . import (
    aiohttp_client,
    children,
    contacts,
    drops,
    exchanges,
    exchanges_httpx,
    frames,
    frames_legacy,
    frames_websocket,
    handing,
    mocks,
    names,
    uvloops,
    whose,
    wider,
)
from .imports import when_imported

_HTTPCORE = {
    "httpcore._sync.http11": "HTTP11Connection",
    "httpcore._sync.http2": "HTTP2Connection",
    "httpcore._async.http11": "AsyncHTTP11Connection",
    "httpcore._async.http2": "AsyncHTTP2Connection",
}


def _uvloop(module: Any) -> None:
    uvloops.install(module)
    handing.install_loop(module.Loop)
    children.install_uvloop(module)


def _asyncio(module: Any) -> None:
    names.install_asyncio(module)
    handing.install_loop(module.BaseEventLoop)


def install() -> None:
    """Puts the observers in place; those of libraries that are not imported yet, when they are."""
    contacts.install()
    children.install()
    drops.install()
    whose.install()
    when_imported("ssl", contacts.install_tls)
    when_imported("asyncio.base_events", _asyncio)
    when_imported("aiohttp.connector", names.install_aiohttp)
    for name in ("anyio", "trio"):
        when_imported(f"httpcore._backends.{name}", names.install_httpcore)
    when_imported("uvloop", _uvloop)
    when_imported("http.client", exchanges.install_http_client)
    when_imported("urllib3.response", exchanges.install_urllib3)
    when_imported("requests.sessions", exchanges.install_requests)
    when_imported("httpx", exchanges_httpx.install_httpx)
    for module, name in _HTTPCORE.items():
        when_imported(module, functools.partial(exchanges_httpx.install_httpcore, name=name))
    when_imported("aiohttp", aiohttp_client.install)
    when_imported("websockets.protocol", frames.install_websockets)
    when_imported("websockets.client", frames.install_websockets_client)
    for module in ("websockets.asyncio", "websockets.sync", "websockets.trio"):
        when_imported(f"{module}.connection", frames.install_websockets_connection)
    when_imported("websockets.legacy.client", frames_legacy.install_client)
    when_imported("websockets.legacy.protocol", frames_legacy.install_protocol)
    when_imported("websocket._handshake", frames_websocket.install_handshake)
    when_imported("websocket._core", frames_websocket.install_core)
    when_imported("subprocess", children.install_subprocess)
    when_imported("multiprocessing.util", children.install_multiprocessing)
    when_imported("threading", handing.install_threading)
    when_imported("queue", handing.install_queue)
    when_imported("concurrent.futures.thread", handing.install_executor)
    when_imported("multiprocessing.pool", handing.install_pool)
    when_imported("trio._core._entry_queue", handing.install_trio_token)
    when_imported("trio._core._thread_cache", handing.install_trio_threads)
    when_imported("unittest.mock", mocks.install_unittest)
    when_imported("mock.mock", mocks.install_unittest)
    when_imported("_pytest.monkeypatch", mocks.install_monkeypatch)
    when_imported("_pytest.fixtures", wider.install)
