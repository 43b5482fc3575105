"""The orchestrator's peak memory over many results, against pytest-xdist's controller; prints one line with the ratio.

    python benchmarks/memory.py [--tests 10000] [--workers 4]

Every test makes an HTTP request and prints a kilobyte, so that each result has output and evidence. Measured is the
highest resident memory (VmHWM) of the one process that the user started, over its whole life: `netra-loop run`, store,
console, findings and verdict included, and `pytest -n`.
"""

from __future__ import annotations

import sys

from harness import Failed, Pairs, Peak, http_server, parser, suite

_SOURCE = """\
import http.client
import pytest

@pytest.fixture(scope="session")
def server():
    connection = http.client.HTTPConnection("127.0.0.1", {port})
    yield connection
    connection.close()

@pytest.mark.parametrize("n", range({tests}))
def test_asks(n, server):
    print("x" * 1000)
    server.request("GET", f"/items/{{n}}")
    assert server.getresponse().read()
"""
_TARGET_MB = 150


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=1)
    options.add_argument("--tests", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--no-xdist", action="store_true")
    given = options.parse_args()
    ours, peer = Peak(), Peak()
    with http_server() as port, suite(_SOURCE.format(port=port, tests=given.tests), given.tests) as made:
        made.netra_loop(given.workers, ours)
        if not given.no_xdist:
            made.xdist(given.workers, watch=peer)
    line = f"memory: orchestrator's peak at {given.tests} results (target {_TARGET_MB} MB): "
    if given.no_xdist:
        print(f"{line}netra-loop {ours.mb:.0f} MB")
        return
    both = Pairs(ours.mb, peer.mb, ours.mb / peer.mb)
    print(line + both.show("pytest-xdist's controller", unit="MB", digits=0))


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
