"""Runs the suite in the working directory through netra-loop's pool alone: no store, no console. For the benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from netra_loop.clock import SystemClock
from netra_loop.execution.base import Finished, Planned, PoolOptions
from netra_loop.execution.pool import PytestPool


async def run(options: PoolOptions, scratch: Path) -> Counter[str]:
    """How many tests ended in which way."""
    pool = PytestPool(options, SystemClock(), scratch)
    outcomes: Counter[str] = Counter()
    try:
        collection = await pool.collect()
        plan = [Planned(test.id, 1, f"{number:032x}") for number, test in enumerate(collection.tests)]
        async for event in pool.run(plan):
            if isinstance(event, Finished):
                outcomes[event.outcome.value] += 1
    finally:
        await pool.close()
    return outcomes


def main() -> None:
    """Runs and prints how many tests passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-evidence", dest="evidence", action="store_false")
    given = parser.parse_args()
    options = PoolOptions(
        Path(sys.executable),
        Path.cwd(),
        ("tests",),
        env=dict(os.environ),
        workers=given.workers,
        evidence=given.evidence,
    )
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = asyncio.run(run(options, Path(scratch)))
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))


if __name__ == "__main__":
    main()
