"""Tests that wait, run by `netra-loop run` and by pytest-xdist in turn; prints one line with the ratio.

    python benchmarks/execution.py [--tests 1000] [--wait 0.5] [--workers 64]

Both times are whole: starting, collecting, running, storing (ours), ending. The ideal is tests x wait / workers; the
whole stands against it, and beside that the execute phase by the journal (forking, running, storing, to the last test's
end). What no order can beat is the floor: as many rounds of waiting as the fullest worker has.
"""

from __future__ import annotations

import math
import statistics
import sys

from harness import Failed, in_turn, parser, suite

_SOURCE = """\
import time
import pytest
@pytest.mark.parametrize("n", range({tests}))
def test_wait(n): time.sleep({wait})
"""


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=1)
    options.add_argument("--tests", type=int, default=1000)
    options.add_argument("--wait", type=float, default=0.5, help="seconds that each test waits (default: %(default)s)")
    options.add_argument("--workers", type=int, default=64)
    options.add_argument("--no-xdist", action="store_true", help="the ideal is peer enough")
    given = options.parse_args()
    ideal = given.tests * given.wait / given.workers
    with suite(_SOURCE.format(tests=given.tests, wait=given.wait), given.tests) as made:
        line = f"execution: {given.tests} tests that wait {given.wait:g} s at {given.workers} workers: "
        whole: list[float] = []
        executing: list[float] = []

        def ours() -> float:
            seconds = made.netra_loop(given.workers)
            whole.append(seconds)
            executing.append(made.phase("execute"))
            return seconds

        if given.no_xdist:
            line += f"netra-loop {statistics.median(ours() for _ in range(given.runs)):.2f} s"
        else:
            line += in_turn(given.runs, ours, lambda: made.xdist(given.workers)).show("pytest-xdist", 0.25)
    middle, phase = statistics.median(whole), statistics.median(executing)
    floor = math.ceil(given.tests / given.workers) * given.wait
    print(
        f"{line}; {middle / ideal:.2f} of the ideal {ideal:.2f} s (target 1.2 at 64; best of {len(whole)} "
        f"{min(whole) / ideal:.2f}, floor {floor / ideal:.2f}), its execute phase {phase:.2f} s, {phase / ideal:.2f}"
    )


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
