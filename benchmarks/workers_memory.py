"""What each further worker adds to the memory in use, of our pool and of pytest-xdist; one line with the ratio.

    python benchmarks/workers_memory.py [--few 8] [--many 64] [--after 100]

PSS counts a page that processes share in equal parts, so the sum over all of them is what the pool really takes. It is
read at two sizes while every worker has run `--after` tests and waits in the last of them; the difference, divided by
the workers between the two sizes, is what one more costs. The tests' interpreter has httpx and websockets imported.
pytest-xdist's workers share nothing but libraries, so its sizes are smaller (`--peer-few`, `--peer-many`).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from harness import Failed, Pairs, descendants, field_mb, parser, suite

_SOURCE = """\
import os, pathlib, time
import httpx, pytest, websockets
HERE = pathlib.Path(__file__).parents[1]
run = 0

@pytest.mark.parametrize("n", range({tests}))
def test_counts(n):
    global run
    run += 1
    if run == {after}:
        (HERE / f"waits-{{os.getpid()}}").touch()
        end = time.monotonic() + 60
        while not (HERE / "go").exists():
            assert time.monotonic() < end, "nobody looked at the memory within 60 s"
            time.sleep(0.05)
"""
_SPARE = 5  # tests for each worker that are handed out ahead while it waits
_LIMIT_S = 60.0


class Look:
    """Waits until all workers wait, sums up the PSS of the tests' processes, and lets them go on."""

    def __init__(self, root: Path, workers: int) -> None:
        self._root = root
        self._workers = workers
        self.mb = 0.0

    def __call__(self, pid: int) -> None:
        """Sets `mb`; the process `pid` itself is left out."""
        end = time.monotonic() + _LIMIT_S
        while len(list(self._root.glob("waits-*"))) < self._workers and time.monotonic() < end:
            time.sleep(0.05)
        below = [field_mb(Path(f"/proc/{child}/smaps_rollup"), "Pss") or 0.0 for child in descendants(pid)]
        self.mb = sum(below)
        (self._root / "go").touch()


def total(workers: int, after: int, *, ours: bool) -> float:
    """The MB of all tests' processes together while `workers` wait."""
    tests = workers * (after + _SPARE)
    with suite(_SOURCE.format(tests=tests, after=after), tests) as made:
        look = Look(made.root, workers)
        if ours:
            made.pool(workers, watch=look)
        else:
            made.xdist(workers, "--maxschedchunk=1", watch=look)
        return look.mb


def each(few: int, many: int, after: int, *, ours: bool) -> float:
    """The MB that one more worker adds."""
    return (total(many, after, ours=ours) - total(few, after, ours=ours)) / (many - few)


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=1)
    options.add_argument("--few", type=int, default=8)
    options.add_argument("--many", type=int, default=64)
    options.add_argument("--peer-few", type=int, default=4)
    options.add_argument("--peer-many", type=int, default=12)
    options.add_argument("--after", type=int, default=100, help="tests each worker has run (default: %(default)s)")
    given = options.parse_args()
    ours = each(given.few, given.many, given.after, ours=True)
    peer = each(given.peer_few, given.peer_many, given.after, ours=False)
    both = Pairs(ours, peer, ours / peer)
    print(
        f"workers_memory: each further worker's own memory (PSS, {given.few} to {given.many} workers, "
        f"{given.after} tests run by each; target 12 MB): {both.show('pytest-xdist', unit='MB', digits=1)}",
    )


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
