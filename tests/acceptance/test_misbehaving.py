"""Some fifty tests that do what no test should, among as many good ones: one true outcome each, and nothing is left."""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

SUITE = Path(__file__).with_name("misbehaving_suite.py")
LOOP = """\
version: 1
name: bad
environments: {{local: {{cloud: none}}}}
tests: {{paths: [../tests], timeout: 2s, workers: 6, isolation: {isolation}}}
phases:
  select: {{uses: select}}
  execute: {{uses: execute}}
  record: {{uses: record}}
goal: {{authenticity: off}}
limits: {{iterations: 1}}
"""
MEGABYTE = 1 << 20
GOOD = "\n\ndef test_good_{number}():\n    print('good')\n    assert [1, 2] == list(map(int, '12'))\n"
TRUTH = re.compile(r'@truth\("(?P<outcome>\w+)"(?:, "(?P<message>.*)")?\)\ndef (?P<name>\w+)')


class Gauge(threading.Thread):
    """The most that a session's files and the orchestrator took."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__()
        self._folder = folder
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self.disk = self.memory = 0
        self.seen: set[psutil.Process] = set()

    def run(self) -> None:
        while not self._over.wait(0.1):
            try:
                self.seen.update(self._process.children(recursive=True))
                self.memory = max(self.memory, self._process.memory_info().rss)
                files = [path.stat() for path in self._folder.rglob("*") if path.is_file()]
            except (psutil.Error, OSError):
                continue
            self.disk = max(self.disk, sum(file.st_blocks * 512 for file in files))

    def stop(self) -> None:
        self._over.set()
        self.join()


def strays(project, gauge: Gauge, for_ever: str) -> list[str]:
    """What still runs of the session: by where it is, by having been seen below it, by the words only it has."""
    found = set(still_alive(gauge.seen)) | set(project.wait_for_nobody())
    found |= {process for process in psutil.process_iter() if for_ever in words(process)}
    return [str(process) for process in found]


@pytest.mark.parametrize("isolation", ["worker", "test"])
def test_each_has_its_one_true_outcome_and_nothing_is_left(project, isolation):
    for_ever = seconds()
    text = SUITE.read_text().replace("86399", for_ever)
    expected = {found["name"]: (found["outcome"], found["message"] or "") for found in TRUTH.finditer(text)}
    numbers = iter(range(1000))
    mixed = re.sub(r"\n\n\n(?=@truth)", lambda _: GOOD.format(number=next(numbers)) + "\n\n", text)
    (project.folder / "loops").mkdir()
    (project.folder / "tests").mkdir()
    (project.folder / "loops" / "bad.yaml").write_text(LOOP.format(isolation=isolation))
    (project.folder / "tests" / "test_misbehaving.py").write_text(mixed)
    begun = time.monotonic()
    process = project.start("run", "bad", "--plain")
    gauge = Gauge(project.folder, process.pid)
    gauge.start()
    _, errors = process.communicate(timeout=240)
    gauge.stop()
    took_s = time.monotonic() - begun
    assert process.returncode == 1, errors
    rows = project.json("results", "latest")
    good = {row["id"].partition("::")[2]: row["outcome"] for row in rows if "::test_good_" in row["id"]}
    bad = {row["id"].partition("::")[2]: row for row in rows if "::test_good_" not in row["id"]}
    assert len(rows) == len(good) + len(bad)
    assert set(good.values()) == {"passed"}, good
    assert len(good) >= 40
    assert len(bad) == len(expected) >= 40
    told = {name: (row["outcome"], row["message"] or "") for name, row in bad.items()}
    wrong = {
        name: told[name]
        for name, (outcome, message) in expected.items()
        if told[name][0] != outcome or not told[name][1].startswith(message)
    }
    assert wrong == {}
    assert strays(project, gauge, for_ever) == []
    assert gauge.disk < 600 * MEGABYTE
    assert gauge.memory < 250 * MEGABYTE
    assert took_s < 150


def seconds() -> str:
    """So long that nothing ends by itself, and nobody else's sleep is as long: who sleeps so is known by it."""
    return str(86_400_000 + secrets.randbelow(86_400_000))


LONG = """\
import os, subprocess, sys, time

DAEMON = '''
import os
ready, held = os.pipe()  # closed by exec and by an end
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "86399"], {marked} and dict(os.environ))
    os._exit(0)
os.wait()
os.close(held)
os.read(ready, 1)  # returns once the daemon is the program it is to be
'''

def test_long():
    if os.path.exists("second"):
        return
    subprocess.run([sys.executable, "-S", "-c", DAEMON], check=True)
    open("second", "w").close()
    time.sleep(600)
"""


@pytest.fixture
def long(project):
    def write(*, marked: bool) -> None:
        for name in ("loops", "tests"):
            (project.folder / name).mkdir()
        loop = LOOP.format(isolation="worker").replace("timeout: 2s", "timeout: 600s")
        (project.folder / "loops" / "bad.yaml").write_text(loop)
        (project.folder / "tests" / "test_long.py").write_text(LONG.replace("{marked}", str(marked)))

    return write


@pytest.fixture
def stranger():
    process = subprocess.Popen(["sleep", "86399"])
    yield process
    process.kill()
    process.wait()


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words(process: psutil.Process) -> list[str]:
    """Its command line; nothing of one that ended, at whatever moment it did."""
    try:
        return process.cmdline() if process.is_running() else []
    except psutil.NoSuchProcess:  # a zombie is one, too
        return []


def still_alive(processes: Iterable[psutil.Process], within_s: float = 30.0) -> list[psutil.Process]:
    """Who of them has not ended after `within_s`; empty as soon as all have."""
    end = time.monotonic() + within_s
    while (left := [process for process in processes if lives(process)]) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def start_and_kill(project, *, with_guardian: bool) -> list[psutil.Process]:
    """Kills the orchestrator, and its tests' guardian with it or not; everything else that was below it."""
    process = project.start("run", "bad", "--plain")
    assert project.wait_until((project.folder / "second").exists, process)
    process.send_signal(signal.SIGSTOP)  # so that it sees nothing of what comes
    orchestrator = psutil.Process(process.pid)
    guardians = [child for child in orchestrator.children() if "86399" not in words(child)]
    below = [child for child in orchestrator.children(recursive=True) if child not in guardians]
    for guardian in guardians if with_guardian else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            guardian.kill()
    process.kill()
    process.wait()
    return below


def test_a_killed_orchestrator_takes_its_tests_and_their_daemons_along(project, long):
    long(marked=False)
    left = start_and_kill(project, with_guardian=False)
    assert len(left) >= 3
    assert still_alive(left) == []
    assert project.call("resume", "--plain").returncode == 0


def test_what_outlived_its_orchestrator_and_its_guardian_is_ended_by_resume_before_anything_runs(
    project, long, stranger
):
    long(marked=True)
    for _ in range(5):  # now and then nothing outlives them
        left = start_and_kill(project, with_guardian=True)
        if any("86399" in words(one) for one in left):
            break
        (project.folder / "second").unlink()
    else:
        pytest.fail(f"the daemon never outlived its guardian: {[(one, words(one)) for one in left]}")
    done = project.call("resume", "--plain")
    assert done.returncode == 0, done.stderr
    assert not any(lives(one) for one in left)
    assert stranger.poll() is None
    rows = project.json("results", "latest")
    assert [(row["outcome"], row["attempt"]) for row in rows] == [("passed", 2)]
