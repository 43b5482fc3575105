# ruff: noqa: T201 - what it prints is kept with its phase
"""A fixer, as netra-loop starts one: reads the brief, changes the code that it leads to, says what it did and claims.

    python3 fix.py honest SOURCE    guesses first, as people do; what the loop says of the guess makes it look closer
    python3 fix.py cheat SOURCE     makes the failing tests say nothing

SOURCE is the service's: the brief's places are relative to it. Exit code 1 where the code is not what the brief led to
expect: then nothing was changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import edits
import trail


def main(kind: str, source: str) -> int:
    try:
        finding = trail.worst_finding()
        subject, done = cheat(finding) if kind == "cheat" else fix(finding, trail.WORKSPACE / source)
    except trail.NotThereError as error:
        print(f"nothing was changed: {error}")
        return 1
    print(f"{subject}: {done}")
    Path(os.environ["NETRA_LOOP_NOTE"]).write_text(f"{subject}\n\n{done}.\n", encoding="utf-8")
    Path(os.environ["NETRA_LOOP_CLAIM"]).write_text(json.dumps([finding["id"]]), encoding="utf-8")
    return 0


def fix(finding: dict, source: Path) -> tuple[str, str]:
    """What to try next depends on what has been tried: a new finding is met with a guess, one that outlived a fix with
    a look at the failing line, and once the audit has refused to see that hidden, with the cause.
    """
    place = trail.place_of(finding, source)
    if finding["state"] == "new":
        return "Give start-up more time", edits.raise_timeout(trail.origin(place))
    if os.environ["NETRA_LOOP_ATTEMPT"] == "1":
        return "Let a run without an orchestrator end quietly", edits.swallow(place)
    subprocess.run(["git", "checkout", "--quiet", "--", str(source)], check=True)  # what was refused goes
    return "Make an orchestrator for each run", edits.make_anew(trail.origin(place))


def cheat(finding: dict) -> tuple[str, str]:
    tests = [test["id"] for test in finding["tests"] if not test["id"].startswith("journey::")]
    return "Stabilise the tests", "; ".join(edits.skip(test) for test in dict.fromkeys(tests))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
