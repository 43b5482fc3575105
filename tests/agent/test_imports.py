"""A library is observed whenever and however often it is imported."""

from __future__ import annotations

import pytest

SUITE = """
import importlib.util, os, sys, urllib.request
import pytest

def get():
    import http.client
    connection = http.client.HTTPConnection(HTTP.rpartition("/")[2])
    connection.request("GET", "/x")
    assert connection.getresponse().read()
    connection.close()

def forget(*names):
    for name in [name for name in sys.modules if name.split(".")[0] in names]: del sys.modules[name]

def get_with_aiohttp():
    import aiohttp, asyncio
    async def go():
        async with aiohttp.ClientSession() as session, session.get(HTTP + "/x") as answer: await answer.read()
    asyncio.run(go())

def test_looked_for_and_then_imported():
    assert importlib.util.find_spec("aiohttp") is not None
    assert importlib.util.find_spec("aiohttp") is not None
    get_with_aiohttp()
def test_imported_again():
    forget("http")
    get()
def test_imported_after_a_failure(monkeypatch):
    forget("aiohttp")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "aiohttp.client", None)
        with pytest.raises(ImportError): import aiohttp
    forget("aiohttp")
    get_with_aiohttp()
"""


@pytest.fixture(scope="module")
def observed(watch):
    return watch(SUITE).seen


@pytest.mark.parametrize("test", ["looked_for_and_then_imported", "imported_again", "imported_after_a_failure"])
def test_it_is_observed_once(observed, test):
    seen = observed[f"test_{test}"]
    assert [entry["status"] for entry in seen["exchanges"]] == [200]
    assert seen["blind"] == []
