"""A single signal at any moment of a process's life: the exit code is true, and nothing is left that was not begun."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import sqlite3
import subprocess

import psutil
import pytest

LOOP = """
version: 1
name: night
environments: {here: {cloud: none}}
tests: {paths: [../tests], retries: 0, workers: 1}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record}
goal: {authenticity: off}
"""
# Counts what the interpreter tells of itself from the moment on at which it listens, and sends the signal at one such.
HOOK = """
import os, sys

MOMENTS = {"open", "sqlite3.connect", "socket.connect", "subprocess.Popen", "os.rename", "os.remove", "os.mkdir"}
if "netra_loop.cli.main" in sys.orig_argv and "SIGNAL_AT" in os.environ:
    at, kind = os.environ["SIGNAL_AT"], int(os.environ["SIGNAL"])
    told = os.open(os.environ["SIGNAL_MOMENTS"], os.O_CREAT | os.O_WRONLY)
    seen, sent = 0, False

    def count(name):
        global seen, sent
        heard = sys.modules.get("netra_loop.engine.heard")
        if not heard or not getattr(getattr(heard, "EARS", None), "open", False):
            return
        seen += 1
        os.pwrite(told, b"%d" % seen, 0)
        if at in (str(seen), name) and not sent:
            sent = True
            os.kill(os.getpid(), kind)

    class Imports:
        def find_spec(name, path=None, target=None):
            count(name)

    sys.meta_path.insert(0, Imports)
    sys.addaudithook(lambda event, arguments: count("") if event in MOMENTS else None)
"""
KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TOLD = "stopped by {} before a session was begun: nothing was done"


class Night:
    """A project with a short loop, whose processes get a signal at a moment of theirs."""

    def __init__(self, project):
        self.project = project
        for name, text in {"loops/night.yaml": LOOP, "tests/test_a.py": "def test_a(): pass\n"}.items():
            (project.folder / name).parent.mkdir()
            (project.folder / name).write_text(text)
        (project.temporary / "hook").mkdir()
        (project.temporary / "hook" / "sitecustomize.py").write_text(HOOK)
        self.moments = project.temporary / "moments"

    def call(self, at: int | str, kind: signal.Signals, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command that gets the signal at its moment number `at`, or as it imports the module `at`."""
        path = os.pathsep.join(filter(None, [str(self.project.temporary / "hook"), os.environ.get("PYTHONPATH")]))
        hook = {"PYTHONPATH": path, "SIGNAL_AT": str(at), "SIGNAL": str(int(kind)), "SIGNAL_MOMENTS": str(self.moments)}
        return subprocess.run(
            self.project.command(*words, "--plain"), cwd=self.project.folder, env=self.project.environ() | hook,
            text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    def count(self, *words: str) -> int:
        """How many moments such a command has when nothing disturbs it; its session ends with the goal met."""
        done = self.call("never", signal.SIGTERM, *words)
        assert done.returncode == 0, done.stderr
        return int(self.moments.read_text())

    def check(self, done: subprocess.CompletedProcess[str], kind: signal.Signals, before: str | None = None) -> None:
        """What the exit code says is so. `before` is the state that the session had; None where there was none."""
        told = done.stderr.splitlines()
        assert "Traceback" not in done.stderr
        if done.returncode == 128 + kind:
            assert told[-1] == TOLD.format(kind.name)
            assert self.state() == before
        elif done.returncode == 75:
            assert re.fullmatch("netra-loop resume night-.*", told[-1])
            assert self.state() == "paused"
        else:
            assert (done.returncode, self.state()) == (0, "met"), done.stderr
        if self.state() is None:
            assert not (self.project.folder / ".netra-loop").exists()
        assert self.project.wait_for_nobody() == []
        assert not [path for path in self.project.temporary.iterdir() if path.name.startswith("netra-loop-")]

    def state(self) -> str | None:
        """The newest session's; None where there is none."""
        store = self.project.folder / ".netra-loop" / "journal.db"
        if not store.exists():
            return None
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            (state,) = connection.execute("select state from sessions order by ordinal desc limit 1").fetchone()
        return str(state)


@pytest.fixture
def night(project) -> Night:
    return Night(project)


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("typer", 143),
        ("netra_loop.cli.opening", 143),
        ("netra_loop.app", 143),
        ("netra_loop.journal.store", 143),
        ("netra_loop.execution.pool", 143),
        ("netra_loop.cli.view", 0),
    ],
)
def test_while_we_import_nothing_was_begun_and_after_the_end_nothing_is_changed(night, module, code):
    done = night.call(module, signal.SIGTERM, "run", "night")
    assert done.returncode == code, done.stderr
    night.check(done, signal.SIGTERM)


@pytest.mark.timeout(600)
def test_at_any_moment_of_a_run_the_exit_code_is_true(night):
    last = night.count("run", "night")
    moments = random.Random(5)
    before = "met"
    codes = set()
    for turn in range(8):
        at, kind = moments.randint(last * turn // 8, last * (turn + 1) // 8), KINDS[turn % 3]
        done = night.call(at, kind, "run", "night")
        night.check(done, kind, before)
        before = night.state()
        codes.add(done.returncode)
    assert 75 in codes


@pytest.mark.timeout(600)
def test_at_any_moment_of_a_resume_the_exit_code_is_true(night):
    assert night.project.call("run", "night", "--budget", "1ms").returncode == 75
    moments = random.Random(6)
    for turn in range(5):
        kind = KINDS[turn % 3]
        done = night.call(moments.randint(1, 900), kind, "resume")
        night.check(done, kind, "paused")
        if done.returncode == 0:
            break


def test_a_hang_up_that_is_ignored_stays_ignored(night):
    words = " ".join(night.project.command("run", "night", "--plain"))
    started = ["sh", "-c", f"trap '' HUP; exec {words}"]  # as nohup does it
    process = subprocess.Popen(
        started, cwd=night.project.folder, env=night.project.environ(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    rest = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), "stopping" in first + rest) == (0, False), rest


def test_a_second_signal_before_a_session_ends_everything_at_once(night):
    """The first has come, and cleaning up after it takes a while: whoever asks again does not wait for it."""
    loop = night.project.folder / "loops" / "night.yaml"
    process = subprocess.Popen(
        night.project.command("run", str(loop), "--plain"), cwd=night.project.folder, env=night.project.environ(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = psutil.Process(process.pid)
    while b"netra" not in b" ".join(map(str.encode, child.cmdline())):  # it is still the one that forked
        pass
    assert process.stderr is not None
    while not _listens(process.pid):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == "SIGTERM: heard\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stderr.close()
    assert night.project.wait_for_nobody() == []


def _listens(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel's
        caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)
