"""A phase that takes netra-loop itself along, each time: given up, by name, and never an endless loop."""

from __future__ import annotations

import signal

import pytest

LOOP = """
version: 1
name: night
environments: {{here: {{cloud: none}}}}
tests: {{paths: [../tests], retries: 0}}
phases: {phases}
goal: {{authenticity: off}}
"""
KILLER = """
import os, psutil, signal

def test_kills_whoever_runs_it():
    for above in psutil.Process().parents():
        if "netra_loop.cli.main" in above.cmdline():
            above.send_signal(signal.SIGKILL)
    signal.pause()
"""


@pytest.mark.parametrize(
    ("phases", "phase"),
    [
        ("{fix: {uses: run, with: {command: 'kill -9 $PPID; sleep 60'}}}", "fix"),
        ("{select: {uses: select}, execute: {uses: execute}}", "execute"),
    ],
)
def test_the_third_recovery_of_a_phase_that_kills_netra_loop_ends_with_three_and_names_it(project, phases, phase):
    for name, text in {"loops/night.yaml": LOOP.format(phases=phases), "tests/test_a.py": KILLER}.items():
        (project.folder / name).parent.mkdir()
        (project.folder / name).write_text(text)

    codes = [project.call("run", "night", "--plain").returncode]
    while codes[-1] == -signal.SIGKILL and len(codes) < 10:
        done = project.call("resume", "--plain")
        codes.append(done.returncode)

    assert codes == [-signal.SIGKILL] * 3 + [3]
    assert f"phase '{phase}' ended netra-loop's process 3 times in a row" in done.stderr
    session = project.status()["session"]
    assert (project.status()["state"], project.status()["exit_code"]) == ("failed", 3)
    assert done.stderr.splitlines()[-1].endswith(f"netra-loop resume {session}")
    events = [row["event"] for row in project.json("journal", session)]
    assert events.count("phase_recovered") == 3
    assert project.wait_for_nobody() == []
