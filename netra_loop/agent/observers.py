"""Which observers there are, and which library each waits for."""

from __future__ import annotations

from typing import Any

from . import contacts, exchanges, frames, mocks
from .imports import when_imported


def _aiohttp(module: Any) -> None:
    exchanges.install_aiohttp(module)
    frames.install_aiohttp(module)


def install() -> None:
    """Puts the observers in place; those of libraries that are not imported yet, when they are."""
    contacts.install()
    when_imported("ssl", contacts.install_tls)
    when_imported("http.client", exchanges.install_http_client)
    when_imported("httpx", exchanges.install_httpx)
    when_imported("aiohttp", _aiohttp)
    when_imported("websockets.protocol", frames.install_websockets)
    when_imported("websockets.client", frames.install_websockets_client)
    when_imported("unittest.mock", mocks.install_unittest)
    when_imported("_pytest.monkeypatch", mocks.install_monkeypatch)
