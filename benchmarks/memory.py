"""The orchestrator's peak memory over many results, against pytest-xdist's controller; prints one line with the ratio.

    python benchmarks/memory.py [--tests 10000] [--workers 4] [--cloud]

Every test makes an HTTP request and prints a kilobyte, so that each result has output and evidence. Measured is the
highest resident memory (VmHWM) of the one process that the user started, over its whole life: `netra-loop run`, store,
console, findings and verdict included, and `pytest -n`.

With `--cloud` the server is deployed to the embedded cloud first, every request goes through its front, and its log is
read and joined afterwards: an entry for each test. There is no peer to that.
"""

from __future__ import annotations

import sys

from harness import HERE, Failed, Pairs, Peak, http_server, parser, suite

_SOURCE = """\
import http.client
import os
import pytest

@pytest.fixture(scope="session")
def server():
    connection = http.client.HTTPConnection(os.environ.get("BENCH_URL", "http://127.0.0.1:{port}").partition("//")[2])
    yield connection
    connection.close()

@pytest.mark.parametrize("n", range({tests}))
def test_asks(n, server):
    print("x" * 1000)
    server.request("GET", f"/items/{{n}}")
    assert server.getresponse().read()
"""
_CLOUD_LOOP = f"""\
version: 1
name: bench
environments: {{{{here: {{{{cloud: embedded}}}}}}}}
services:
  server:
    source: {HERE}
    command: [python, http_server.py]
    startup_probe: {{{{path: /, timeout: 60s, period: 1s}}}}
tests:
  paths: [../tests]
  workers: {{workers}}
  retries: 0
  timeout: 10m
  env: {{{{BENCH_URL: "${{{{services.server.url}}}}"}}}}
phases:
  deploy: {{{{uses: deploy}}}}
  select: {{{{uses: select}}}}
  execute: {{{{uses: execute}}}}
  collect: {{{{uses: collect-logs, with: {{{{settle: 60s}}}}}}}}
  record: {{{{uses: record, next: {{{{met: done, unmet: stop}}}}}}}}
goal: {{{{authenticity: required}}}}
"""
_TARGET_MB = 150


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=1)
    options.add_argument("--tests", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--no-xdist", action="store_true", help="ours alone")
    options.add_argument("--cloud", action="store_true", help="deploy, read and join logs; ours alone")
    given = options.parse_args()
    ours, peer = Peak(), Peak()
    with http_server() as port, suite(_SOURCE.format(port=port, tests=given.tests), given.tests) as made:
        if given.cloud:
            made.netra_loop(given.workers, ours, _CLOUD_LOOP)
        else:
            made.netra_loop(given.workers, ours)
        if not (given.no_xdist or given.cloud):
            made.xdist(given.workers, watch=peer)
    where = f"{given.tests} results" + (" and log entries, with a cloud" if given.cloud else "")
    line = f"memory: orchestrator's peak at {where} (target {_TARGET_MB} MB): "
    if given.no_xdist or given.cloud:
        print(f"{line}netra-loop {ours.mb:.0f} MB")
        return
    both = Pairs(ours.mb, peer.mb, ours.mb / peer.mb)
    print(line + both.show("pytest-xdist's controller", unit="MB", digits=0))


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
