"""What happens to the terminal, or to all of us at once: no test is blamed for it, and the night goes on or pauses."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time

import psutil
import pytest

LOOP = """
version: 1
name: night
environments: {here: {cloud: none}}
tests: {paths: [../tests], retries: 0, workers: 1, timeout: 3s}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record}
goal: {authenticity: off}
"""
TESTS = """
import pathlib, time

def test_waits():
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
"""
SUSPENDED_S = 5.0  # longer than the test's limit, which is what this is about
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)


@pytest.fixture
def night(project):
    for name, text in {"loops/night.yaml": LOOP, "tests/test_a.py": TESTS}.items():
        (project.folder / name).parent.mkdir()
        (project.folder / name).write_text(text)
    return project


def begun(night) -> bool:
    return (night.folder / "begun").exists()


@pytest.mark.parametrize("everything", [False, True], ids=["netra-loop alone", "everything"])
def test_a_long_suspension_is_blamed_on_no_test(night, everything):
    """As by Ctrl-Z, which only the terminal's own group hears; as by a container that is frozen, or a laptop."""
    process = night.start("run", "night", "--plain")
    assert night.wait_until(lambda: begun(night), process)
    own = psutil.Process(process.pid)
    stopped = [own, *(own.children(recursive=True) if everything else [])]
    for one in stopped:
        one.suspend()
    time.sleep(SUSPENDED_S)
    if not everything:
        (night.folder / "go").touch()
    for one in reversed(stopped):
        one.resume()
    (night.folder / "go").touch()
    assert process.wait(60) == 0, process.stderr.read()
    (row,) = night.json("results", "latest")
    assert (row["outcome"], row["attempt"]) == ("passed", 1)


def test_a_terminal_that_is_closed_pauses_the_session(night):
    terminal, ours = pty.openpty()
    environ = {name: value for name, value in night.environ().items() if name not in {"CI", "GITHUB_ACTIONS"}}
    command = [sys.executable, "-c", ON_TERMINAL, *night.command("run", "night")]
    process = subprocess.Popen(
        command, cwd=night.folder, env={**environ, "TERM": "xterm"}, start_new_session=True,
        stdin=ours, stdout=ours, stderr=ours,
    )  # fmt: skip
    os.close(ours)
    while not begun(night):
        assert process.poll() is None
        os.read(terminal, 65536)  # a screen is drawn, and nothing goes on once it takes no more
    os.close(terminal)
    assert process.wait(60) == 75
    paused = night.json("journal", "latest")[-1]
    assert (paused["event"], paused["detail"]["why"]) == ("session_paused", "SIGHUP")
    assert night.wait_for_nobody() == []


def test_a_reader_that_goes_away_in_the_middle_ends_nothing(night):
    process = night.start("run", "night", "--plain", "-v")
    assert process.stderr.readline()
    process.stderr.close()
    assert night.wait_until(lambda: begun(night), process)
    (night.folder / "go").touch()
    assert process.wait(60) == 0
    assert night.status()["state"] == "met"


def test_a_stop_of_what_is_suspended_is_heeded_once_it_goes_on(night):
    process = night.start("run", "night", "--plain")
    assert night.wait_until(lambda: begun(night), process)
    with contextlib.ExitStack() as stack:
        stack.callback(process.send_signal, signal.SIGCONT)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    assert night.status()["state"] == "paused"
