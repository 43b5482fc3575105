# ruff: noqa: T201 - what it prints is kept with its phase
"""A fixer, as netra-loop starts one: reads the brief, changes the code that it leads to, says what it did and claims.

    python3 fix.py honest    guesses first, as people do; what the loop says of the guess makes it look closer
    python3 fix.py cheat     makes the failing tests say nothing

Exit code 1 where the code is not what the brief led to expect: then nothing was changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import edits
import trail


def main(kind: str) -> int:
    brief = json.loads(Path(os.environ["NETRA_LOOP_BRIEF_JSON"]).read_text(encoding="utf-8"))
    try:
        finding = trail.worst_finding(brief)
        subject, done = cheat(finding) if kind == "cheat" else fix(finding, brief["said_no"])
    except trail.NotThereError as error:
        print(f"nothing was changed: {error}")
        return 1
    print(f"{subject}: {done}")
    Path(os.environ["NETRA_LOOP_NOTE"]).write_text(f"{subject}\n\n{done}\n", encoding="utf-8")
    Path(os.environ["NETRA_LOOP_CLAIM"]).write_text(json.dumps([finding["id"]]), encoding="utf-8")
    return 0


def fix(finding: dict, said_no: dict | None) -> tuple[str, str]:
    """What to try next depends on what was tried: a new problem is met with a guess, one that outlived a fix with a
    look at the failing line, and once the audit has refused to see that hidden, with the cause.
    """
    if said_no is not None:
        refused = [f":/{path}" for path in finding["attempts"][-1]["changed"]]
        subprocess.run(["git", "checkout", "--quiet", "--", *refused], check=True)  # as it was committed last
    place = trail.place_of(finding)
    if all(attempt["helped"] is not False for attempt in finding["attempts"]):
        return edits.raise_timeout(trail.origin(place))
    if said_no is None:
        return edits.swallow(place)
    return edits.make_anew(trail.origin(place))


def cheat(finding: dict) -> tuple[str, str]:
    tests = [test for test in finding["test_ids"] if not test.startswith("journey::")]
    return "Stabilise the tests", f"skipped for now: {', '.join(edits.skip(test) for test in tests)}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
