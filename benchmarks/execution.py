"""Tests that wait, run by netra-loop's pool and by pytest-xdist in the same run; prints one line with the ratio.

    python benchmarks/execution.py [--tests 1000] [--wait 0.5] [--workers 64] [--no-xdist]

Both times are whole: starting the interpreter, collecting, running, ending. `ideal` is tests x wait / workers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from netra_loop.clock import SystemClock
from netra_loop.core.records import Outcome
from netra_loop.execution.base import Finished, Planned, PoolOptions
from netra_loop.execution.pool import PytestPool


async def ours(root: Path, workers: int, scratch: Path) -> tuple[float, int]:
    """Seconds, and how many passed."""
    options = PoolOptions(Path(sys.executable), root, (".",), env=dict(os.environ), workers=workers)
    begun = time.monotonic()
    pool = PytestPool(options, SystemClock(), scratch)
    try:
        collection = await pool.collect()
        plan = [Planned(test.id, 1, f"{number:032x}") for number, test in enumerate(collection.tests)]
        passed = 0
        async for event in pool.run(plan):
            passed += isinstance(event, Finished) and event.outcome is Outcome.PASSED
    finally:
        await pool.close()
    return time.monotonic() - begun, passed


def theirs(root: Path, workers: int) -> float:
    """Seconds that pytest-xdist takes."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return time.monotonic() - begun


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--wait", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--no-xdist", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "suite")
        root.mkdir()
        (root / "pytest.ini").write_text("[pytest]\n")
        (root / "test_wait.py").write_text(
            "import time\nimport pytest\n"
            f"@pytest.mark.parametrize('n', range({given.tests}))\ndef test_wait(n): time.sleep({given.wait})\n"
        )
        mine, passed = asyncio.run(ours(root, given.workers, Path(folder, "scratch")))
        if passed != given.tests:
            sys.exit(f"{passed} of {given.tests} tests passed: nothing was measured")
        ideal = given.tests * given.wait / given.workers
        line = f"execution: {given.tests} tests that wait {given.wait:g} s at {given.workers} workers: "
        line += f"netra-loop {mine:.2f} s, {mine / ideal:.2f} of the ideal {ideal:.2f} s"
        if not given.no_xdist:
            peer = theirs(root, given.workers)
            line += f"; pytest-xdist {peer:.2f} s, ratio {mine / peer:.2f}"
        print(line)


if __name__ == "__main__":
    main()
