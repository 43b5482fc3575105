"""Trivial tests through the whole of `netra-loop run`, against pytest-xdist in turn: whether storing holds them up.

python benchmarks/throughput.py [--tests 10000] [--workers 4]
"""

from __future__ import annotations

import sys

from harness import Failed, in_turn, parser, suite

_SOURCE = """\
import pytest
@pytest.mark.parametrize("n", range({tests}))
def test_trivial(n): pass
"""


def main() -> None:
    """Measures and prints."""
    options = parser(__doc__, runs=1)
    options.add_argument("--tests", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=4)
    given = options.parse_args()
    with suite(_SOURCE.format(tests=given.tests), given.tests) as made:
        both = in_turn(given.runs, lambda: made.netra_loop(given.workers), lambda: made.xdist(given.workers))
    rates = f"{given.tests / both.ours:.0f} against {given.tests / both.peer:.0f} tests a second"
    print(f"throughput: {given.tests} tests at {given.workers} workers: {both.show('pytest-xdist')}; {rates}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
