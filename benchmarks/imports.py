"""Many workers over a suite whose import takes seconds of CPU, against pytest-xdist in turn; one line with the ratio.

    python benchmarks/imports.py [--tests 256] [--import 2] [--workers 64]

The import computes, as an honest import does: a sleeping one would overlap in all of xdist's workers, however many. How
much it computes is settled once, before, on this machine. `--peer-workers` runs the peer with fewer workers, where the
whole comparison would take too long; the line says so.
"""

from __future__ import annotations

import sys
import time

from harness import Failed, Pairs, in_turn, parser, suite

_WORK = """\
def compute(rounds):
    for number in range(rounds):
        compile("x = [" + ", ".join(f"{n} + a{n}" for n in range(100)) + "]", f"<{number}>", "exec")
"""
_SOURCE = """\
import time
import pytest
import busy

@pytest.mark.parametrize("n", range({tests}))
def test_after_import(n): time.sleep(0.05)
"""


def rounds_for(seconds: float) -> int:
    """How many rounds of the work take `seconds` of CPU here."""
    space: dict[str, object] = {}
    exec(_WORK, space)  # our own text, from above
    compute = space["compute"]
    assert callable(compute)
    sample = 500
    begun = time.process_time()
    compute(sample)
    return max(1, round(sample * seconds / (time.process_time() - begun)))


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=1)
    options.add_argument("--tests", type=int, default=256)
    options.add_argument("--import", dest="import_s", type=float, default=2.0, help="seconds (default: %(default)s)")
    options.add_argument("--workers", type=int, default=64)
    options.add_argument("--peer-workers", type=int, default=None, help="default: as many")
    given = options.parse_args()
    peers = given.peer_workers or given.workers
    busy = f"{_WORK}\ncompute({rounds_for(given.import_s)})\n"
    with suite(_SOURCE.format(tests=given.tests), given.tests, busy=busy) as made:
        both: Pairs = in_turn(given.runs, lambda: made.netra_loop(given.workers), lambda: made.xdist(peers))
    other = "" if peers == given.workers else f" (with {peers} workers)"
    print(
        f"imports: {given.tests} tests at {given.workers} workers, an import of {given.import_s:g} s: "
        f"{both.show('pytest-xdist' + other, 0.1)}",
    )


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
