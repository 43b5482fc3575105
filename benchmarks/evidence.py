"""Trivial HTTP tests with evidence and without, in turn: what observing costs. One line for all clients.

    python benchmarks/evidence.py [--tests 1000] [--workers 1] [--client httpx]

The server is a process of its own and answers at once over a kept-alive connection, so nothing hides the observers'
time. Both sides are the pool in a process of its own.
"""

from __future__ import annotations

import sys

from harness import Failed, http_server, in_turn, parser, suite

_CLIENTS = {
    "httpx": ("import httpx", "httpx.Client(base_url=URL)", "client.get('/x').json()"),
    "requests": ("import requests", "requests.Session()", "client.get(URL + '/x').json()"),
    "http.client": ("import http.client", "http.client.HTTPConnection(HOST)", "ask(client)"),
}
_SOURCE = """\
import json
import pytest
{imports}
HOST = "127.0.0.1:{port}"
URL = "http://" + HOST

def ask(connection):
    connection.request("GET", "/x")
    return json.loads(connection.getresponse().read())

@pytest.fixture(scope="session")
def client():
    client = {make}
    yield client
    client.close()

@pytest.mark.parametrize("n", range({tests}))
def test_asks(n, client):
    assert {call} == {{"status": "ok"}}
"""


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=5)
    options.add_argument("--tests", type=int, default=1000)
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--client", choices=[*_CLIENTS], action="append", help="default: all, one after the other")
    given = options.parse_args()
    told = []
    with http_server() as port:
        for name in given.client or _CLIENTS:
            imports, make, call = _CLIENTS[name]
            source = _SOURCE.format(imports=imports, make=make, call=call, port=port, tests=given.tests)
            with suite(source, given.tests) as made:
                both = in_turn(
                    given.runs,
                    lambda made=made: made.pool(given.workers),  # type: ignore[misc]
                    lambda made=made: made.pool(given.workers, evidence=False),  # type: ignore[misc]
                )
            told.append(f"{name} {both.ours:.2f} s, without {both.peer:.2f} s, ratio {both.ratio:.2f}")
    print(f"evidence: {given.tests} trivial HTTP tests (target 1.15): {'; '.join(told)}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
