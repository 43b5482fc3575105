"""Real processes, sockets and signals: the command line, as a user calls it, in a project of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from netra_loop.cli.boundary import _run

collect_ignore = ["corpus"]  # tests of known truth, run by the command line: data, not tests of ours
REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


@dataclass
class Project:
    """A user's project: a folder with `loops/`, and the command line in it.

    `temporary` is the system's temporary folder to it: what its sessions leave there, no other test's session finds.
    """

    folder: Path
    temporary: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "netra_loop.cli.main", *arguments]

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NETRA_LOOP", "PYTEST"))}
        return {**kept, "TMPDIR": str(self.temporary)}

    def call(self, *arguments: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environ(), text=True, capture_output=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts a command in a session of its own; it is ended with the test."""
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environ(), text=True, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.running.append(process)
        return process

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """The JSON lines a listing prints. Asked within this process, since it is asked so often; what a listing is in
        a process of its own is said by the tests about listings.
        """
        out, err = io.StringIO(), io.StringIO()
        with self._here(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _run([*arguments, "--json"])
        assert code == 0, err.getvalue()
        return [json.loads(line) for line in out.getvalue().splitlines()]

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        """This process as one that is started in the project."""
        folder, environ = Path.cwd(), dict(os.environ)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environ())
        try:
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environ)

    def status(self, session: str = "latest") -> dict[str, Any]:
        return self.json("status", session)[0]

    def stored(self, question: str) -> int:
        """A count asked of the store while another process writes it; 0 before there is one."""
        store = self.folder / ".netra-loop" / "journal.db"
        if not store.exists():
            return 0
        connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)
        try:
            return int(connection.execute(question).fetchone()[0] or 0)
        except sqlite3.OperationalError:
            return 0  # the tables are being made
        finally:
            connection.close()

    def wait_until(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
        """Polls until `condition`; False where the process ended first."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if condition():
                return True
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        pytest.fail("the condition never came true")

    def suspend(self, process: subprocess.Popen[str]) -> None:
        """SIGSTOP, but not amid a write: who stands still there keeps everybody else from the store."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            process.send_signal(signal.SIGSTOP)
            connection = sqlite3.connect(self.folder / ".netra-loop" / "journal.db", timeout=0, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
            else:
                return
            finally:
                connection.close()
        pytest.fail("it never stopped writing")

    def processes(self) -> list[psutil.Process]:
        """Everything that runs because of this project, told by its environment or command line naming the folder."""
        found = []
        for process in psutil.process_iter():
            try:
                told = " ".join(process.cmdline()) + process.cwd()
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if str(self.folder) in told:
                found.append(process)
        return found

    def kill_group(self, process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        process.stderr.close()

    def wait_for_nobody(self, within_s: float = 30.0) -> list[psutil.Process]:
        """What of this project still runs after `within_s`; empty as soon as nothing does."""
        end = time.monotonic() + within_s
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(PATIENCE_S)
            if process.stderr and not process.stderr.closed:
                process.stderr.close()


@contextlib.contextmanager
def _project(folder: Path) -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="nl-", ignore_cleanup_errors=True) as temporary:
        made = Project(folder, Path(temporary))
        made.folder.mkdir()
        yield made
        made.close()


def _with_demo(project: Project) -> Project:
    shutil.copytree(
        REPOSITORY / "loops", project.folder / "loops", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
    )
    return project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty project."""
    with _project(tmp_path / "project") as made:
        yield made


@pytest.fixture
def demo(project: Project) -> Project:
    """A project with the shipped demo in it."""
    return _with_demo(project)


@pytest.fixture(scope="module")
def shared_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The same for a module whose tests read what one session of it left, and change nothing."""
    with _project(tmp_path_factory.mktemp("shared") / "project") as made:
        yield _with_demo(made)
