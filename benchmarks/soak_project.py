"""What the soak runs in: a project on disk, a disk of its own for the store, and the processes it starts and counts.

All that descends from this process comes back to it when its parent dies (`adopt`), so that whatever a session leaves
behind is seen, however it was started, and nothing else is ever signalled.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import descendants, field_mb

_SUBREAPER, _NEW_MOUNTS, _PRIVATE, _RECURSIVE = 36, 0x00020000, 1 << 18, 1 << 14
_RESULT = re.compile(r"\d\d:\d\d:\d\d \[(\d+)\] ([A-Z]+)(?:, but [A-Z]+)? (\S+) \(([^)]*)\)")
_ROUND_BEGINS = re.compile(r"\d\d:\d\d:\d\d \[(\d+)\] (?:select|tick): started")
_SERVER = "netra_loop.cloud.embedded"
TESTS, HTTP_TESTS, FAILING = 6, 3, 3

PLAIN = """\
version: 1
name: plain
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 2, retries: 0, timeout: 20s, env: {SOAK_LEDGER: "${env.SOAK_LEDGER}"}}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: select, inconclusive: select}}
goal: {authenticity: "off"}
limits: {iterations: 1000000, no_progress: 1000000}
"""
TICKS = """\
version: 1
name: ticks
environments: {here: {cloud: none}}
tests: {paths: [../tests]}
phases:
  tick:
    uses: run
    with: {command: 'echo "$NETRA_LOOP_SESSION $NETRA_LOOP_ITERATION tick" >>"$SOAK_LEDGER"'}
    next: {ok: tick, failed: tick}
limits: {iterations: 1000000, no_progress: 1000000}
"""
SERVED = """\
version: 1
name: served
environments: {local: {cloud: embedded}}
services:
  small:
    source: service
    command: [python, server.py]
    startup_probe: {path: /health, timeout: 30s, period: 250ms}
tests:
  paths: [../served]
  workers: 2
  retries: 0
  timeout: 20s
  env: {SOAK_LEDGER: "${env.SOAK_LEDGER}", SMALL_URL: "${services.small.url}"}
phases:
  deploy: {uses: deploy, next: {failed: record}}
  select: {uses: select}
  execute: {uses: execute}
  collect: {uses: collect-logs, with: {settle: 2s}}
  record: {uses: record, next: {met: done, unmet: deploy, inconclusive: deploy}}
goal: {authenticity: report}
limits: {iterations: 1000000, no_progress: 1000000}
"""
_NOTED = f'''\
"""Tests of no consequence: each notes that it ran, and one in {TESTS} fails."""

import os
import time

import pytest


@pytest.fixture(autouse=True)
def noted(request):
    line = f"{{os.environ['NETRA_LOOP_SESSION']}} {{os.environ['NETRA_LOOP_ITERATION']}} {{request.node.nodeid}}\\n"
    ledger = os.open(os.environ["SOAK_LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(ledger, line.encode())
    os.close(ledger)
'''
_TESTS = f"""\
{_NOTED}

@pytest.mark.parametrize("n", range({TESTS}))
def test_number(n):
    time.sleep(0.004 * n)
    print("number", n)
    assert n != {FAILING}
"""
_SERVED_TESTS = f"""\
{_NOTED}
import urllib.request


@pytest.mark.parametrize("n", range({HTTP_TESTS}))
def test_served(n):
    with urllib.request.urlopen(os.environ["SMALL_URL"] + f"/number/{{n}}", timeout=10) as answer:
        assert int(answer.read()) == n
    assert n != 1
"""
_SERVICE = """\
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.rpartition("/")[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Broken(Exception):
    """An invariant that does not hold."""


@dataclass
class Run:
    """One process of the command line, and what it said. `rss_kb` and `files` are of the process (and `cloud_files` of
    the embedded cloud's server) as each of its iterations began.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    told: dict[tuple[int, str, int], str] = field(default_factory=dict)
    iterations: list[int] = field(default_factory=list)
    rss_kb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    cloud_files: list[int] = field(default_factory=list)

    def read(self) -> None:
        """Takes in what it says until nobody can say anything any more; in a thread of its own."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if found := _RESULT.match(line):
                tries = re.search(r"attempt (\d+)", found[4])
                self.told[int(found[1]), found[3], int(tries[1]) if tries else 1] = found[2].lower()
            elif found := _ROUND_BEGINS.match(line):
                self.iterations.append(int(found[1]))
                self.rss_kb.append(1024 * (field_mb(Path(f"/proc/{self.process.pid}/status"), "VmRSS") or 0.0))
                self.files.append(open_files(self.process.pid))
                self.cloud_files += [open_files(pid) for pid in descendants(self.process.pid) if is_cloud(pid)]

    @property
    def progress(self) -> int:
        """Results told so far, or iterations where there are none."""
        return len(self.told) or len(self.iterations)

    def tail(self) -> str:
        return "\n".join(f"    | {line}" for line in self.lines[-25:])


class Disk:
    """A small disk for the store that can be filled. Where none can be mounted, the files of a process are limited."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.folder = folder
        folder.mkdir()
        self.is_own = _mounted(folder, size_mb)
        self._ballast = folder / "ballast"

    def fill(self, pid: int) -> None:
        """No more room, for anybody; or for process `pid` alone."""
        if not self.is_own:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            return
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (1 << 20, 4096):
                with suppress(OSError):
                    while os.write(descriptor, b"\0" * size) == size:
                        pass
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Room again. Safe to repeat."""
        self._ballast.unlink(missing_ok=True)


class Project:
    """A folder with two loops and their tests, and the command line in it."""

    def __init__(self, root: Path, store: str) -> None:
        self.root = root
        self.ledger = root / "ledger.txt"
        self.temporary = root / "tmp"
        self.store = store
        for name, text in {
            "pytest.ini": "[pytest]\naddopts = -p no:cacheprovider\n",
            "loops/plain.yaml": PLAIN,
            "loops/served.yaml": SERVED,
            "loops/ticks.yaml": TICKS,
            "loops/service/server.py": _SERVICE,
            "tests/test_numbers.py": _TESTS,
            "served/test_served.py": _SERVED_TESTS,
            "tmp/.keep": "",
        }.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "netra_loop.cli.main", "--store", self.store, *words]

    def environ(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("NETRA_LOOP", "PYTEST", "CI"))}
        more = {"SOAK_LEDGER": str(self.ledger), "TMPDIR": str(self.temporary), "PYTHONDONTWRITEBYTECODE": "1"}
        return kept | more

    def start(self, *words: str) -> tuple[Run, threading.Thread]:
        """Starts a command whose standard error is read as it comes."""
        process = subprocess.Popen(
            self.command(*words), cwd=self.root, env=self.environ(), text=True, errors="replace",
            start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        run = Run(process)
        reading = threading.Thread(target=run.read, daemon=True)
        reading.start()
        return run, reading

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            self.command(*words), cwd=self.root, env=self.environ(), text=True, capture_output=True, timeout=300,
            check=False,
        )  # fmt: skip

    def executions(self, session: str) -> dict[tuple[int, str], int]:
        """How often each test of each iteration ran, by its own account."""
        counted: dict[tuple[int, str], int] = {}
        for line in self.ledger.read_text().splitlines() if self.ledger.exists() else ():
            of, iteration, test = line.split(" ", 2)
            if of == session:
                counted[int(iteration), test] = counted.get((int(iteration), test), 0) + 1
        return counted


# ------------------------------------------------------------------------------------------------------- processes


def adopt() -> None:
    """From here on whatever descends from us is ours to wait for, also once its parent is dead."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def left(keep: str | None = None, within_s: float = 15.0) -> list[str]:
    """What still runs below us after `within_s`; empty as soon as nothing does. What has `keep` in its command line
    does not count, nor what is below that.
    """
    end = time.monotonic() + within_s
    while True:
        below = descendants(os.getpid())
        kept = {pid for pid in below if keep is not None and keep in _command_line(pid)}
        kept |= {pid for one in kept for pid in descendants(one)}
        running = [pid for pid in below if pid not in kept and not _reaped(pid)]
        if not running or time.monotonic() > end:
            return [f"{pid} {_command_line(pid)}" for pid in running]
        time.sleep(0.02)


def end_all() -> None:
    """Ends everything below us. For the very end."""
    for _ in range(100):
        running = [pid for pid in descendants(os.getpid()) if not _reaped(pid)]
        if not running:
            return
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _reaped(pid: int) -> bool:
    """Takes the end of a process that was left to us; False while it runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    if state != "Z":
        return False
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


def is_cloud(pid: int) -> bool:
    """Whether it is the embedded cloud's server."""
    return _SERVER in _command_line(pid).split()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def open_files(pid: int) -> int:
    """How many file descriptors it has open; 0 once it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - numbers alone
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def _mounted(folder: Path, size_mb: int) -> bool:
    """A tmpfs at `folder`, seen by us and what we start alone, and gone with us; False where we may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0:
        return False
    if libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None) != 0:
        return False
    done = libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size_mb}m,mode=0700".encode())
    if done != 0 and ctypes.get_errno() not in {errno.EPERM, errno.ENODEV, errno.EACCES}:
        raise OSError(ctypes.get_errno(), f"mount tmpfs at {folder}")
    return done == 0


@contextmanager
def patiently(run: Run, seconds: float) -> Iterator[None]:
    """Broken where `run` has not ended by itself `seconds` after the block."""
    yield
    try:
        run.process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise Broken(f"the process did not end within {seconds:g} s:\n{run.tail()}") from None
