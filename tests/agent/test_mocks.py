"""What counts as a network client."""

from __future__ import annotations

import http.client
import json
import os
import socket
import types

import httpx
import pytest

from netra_loop.agent.mocks import network_client

mine = types.SimpleNamespace(client=httpx, send=httpx.post, number=3)


@pytest.mark.parametrize(
    ("target", "attribute", "name"),
    [
        (httpx, "get", "httpx.get"),
        (httpx.Client, "send", "Client.send"),
        (http.client.HTTPConnection, "request", "HTTPConnection.request"),
        (socket, "socket", "socket.socket"),
        (socket, "gethostname", None),
        (mine, "client", "SimpleNamespace.client"),
        (mine, "send", "SimpleNamespace.send"),
        (mine, "number", None),
        (json, "dumps", None),
        (os, "getcwd", None),
    ],
)
def test_network_client(target, attribute, name):
    assert network_client(target, attribute) == name
