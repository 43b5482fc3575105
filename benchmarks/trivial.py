"""One worker over trivial tests, evidence on, against plain pytest in turn: what it costs to be run by netra-loop.

    python benchmarks/trivial.py [--tests 2000] [--cli]

Both are whole processes. Ours is the pool alone, since plain pytest stores nothing; with `--cli` it is the whole of
`netra-loop run`.
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
    options = parser(__doc__, runs=5)
    options.add_argument("--tests", type=int, default=2000)
    options.add_argument("--cli", action="store_true", help="netra-loop run, store and all, instead of the pool")
    given = options.parse_args()
    with suite(_SOURCE.format(tests=given.tests), given.tests) as made:
        ours = (lambda: made.netra_loop(1)) if given.cli else (lambda: made.pool(1))
        both = in_turn(given.runs, ours, made.pytest)
    what = "netra-loop run" if given.cli else "the pool"
    print(f"trivial: {given.tests} trivial tests, one worker, evidence on ({what}): {both.show('pytest', 1.3)}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"nothing was measured: {failure}")
