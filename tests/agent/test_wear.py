"""What makes a process unfit for the next test; looked at in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = "import resource, signal\nfrom netra_loop.agent.wear import Wear\nwear = Wear()\n"
LIMIT = "old = resource.getrlimit(resource.RLIMIT_NOFILE)\nresource.setrlimit(resource.RLIMIT_NOFILE, ({}, old[1]))\n"


@pytest.mark.parametrize(
    ("doing", "spent"),
    [
        ("", False),
        ("signal.setitimer(signal.ITIMER_REAL, 60)", True),
        ("signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(60)", False),
        ("signal.alarm(60); signal.alarm(0)", False),
        (LIMIT.format("old[0] - 1"), True),
        (LIMIT.format("old[0] - 1") + "resource.setrlimit(resource.RLIMIT_NOFILE, old)", False),
    ],
)
def test_a_timer_that_kills_and_lower_limits_do(doing, spent):
    run = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}{doing}\nprint(wear.spent())"], capture_output=True, check=True
    )
    assert run.stdout.decode().strip() == str(spent)
