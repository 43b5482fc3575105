"""The soak, for a few short rounds of a known seed; `make soak` plays it for long (benchmarks/soak.py)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 3  # a loop of one command, tests, tests over HTTP; among the faults a kill and a full disk


def test_sessions_under_faults_lose_nothing_and_leave_nothing():
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "soak.py"), "--seed", "72", "--rounds", str(ROUNDS)]
    done = subprocess.run([*command, "--scale", "0.1"], text=True, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{ROUNDS} rounds, .* nothing lost, nothing twice, chain whole, no process left", done.stdout)
