"""What the benchmarks share: suites on disk, ways to run them, and pairs of runs in turn.

A suite is a folder with `tests/` and a loop `bench` that selects, executes and records. Every run starts without a
store and without pytest's cache. Runs of ours and of the peer take turns, so that a change in the machine's speed meets
both, and the ratio is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_LOOP = """\
version: 1
name: bench
environments: {{here: {{cloud: none}}}}
tests: {{paths: [../tests], workers: {workers}, retries: 0, timeout: 10m}}
phases:
  select: {{uses: select}}
  execute: {{uses: execute}}
  record: {{uses: record, next: {{met: done, unmet: stop}}}}
goal: {{authenticity: report}}
"""
# A machine's own settings are not to meet one side alone: without bytecode kept, what is installed in place, as here,
# is compiled anew by every process, and what pip compiled, as the peers, is not.
_OURS = ("NETRA_LOOP_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
_ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}

Watch = Callable[[int], None]


class Failed(Exception):
    """A run did not do what is measured: there is nothing to report."""


@dataclass(frozen=True)
class Suite:
    """`tests` tests under `root`. Every way to run it gives seconds, the interpreter's start and end included."""

    root: Path
    tests: int

    def netra_loop(self, workers: int, watch: Watch | None = None, loop_text: str = _LOOP) -> float:
        """`netra-loop run` as a user types it: store, console and verdict included. `loop_text` takes `workers`."""
        loop = self.root / "loops" / "bench.yaml"
        loop.parent.mkdir(exist_ok=True)
        loop.write_text(loop_text.format(workers=workers))
        shutil.rmtree(self.root / ".netra-loop", ignore_errors=True)
        seconds, output = self._run(["netra_loop.cli.main", "run", "bench", "--plain"], watch)
        self._expect(f"{self.tests} of {self.tests} passed", output)
        return seconds

    def phase(self, name: str) -> float:
        """Seconds that a phase of the last `netra_loop` run took, by its journal."""
        _, output = self._run(["netra_loop.cli.main", "journal", "latest", "--json"], None)
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        ended = [one for one in events if one["event"] == "phase_finished" and one["phase"] == name]
        if not ended:
            raise Failed(f"the journal tells of no end of phase {name!r}")
        return float(ended[-1]["detail"]["duration_s"])

    def pool(self, workers: int, *, evidence: bool = True, watch: Watch | None = None) -> float:
        """The pool alone, in a process of its own: no store, no console."""
        script = str(HERE / "pool_process.py")
        more = [] if evidence else ["--no-evidence"]
        seconds, output = self._run([script, "--workers", str(workers), *more], watch)
        self._expect(f"{self.tests} passed", output)
        return seconds

    def pytest(self, watch: Watch | None = None) -> float:
        """Plain pytest in one process."""
        return self._pytest(["-p", "no:xdist"], watch)

    def xdist(self, workers: int, *args: str, watch: Watch | None = None) -> float:
        """pytest-xdist."""
        return self._pytest(["-n", str(workers), *args], watch)

    def _pytest(self, args: Sequence[str], watch: Watch | None) -> float:
        seconds, output = self._run(["pytest", "-q", "-p", "no:cacheprovider", *args], watch)
        self._expect(f"{self.tests} passed", output)
        return seconds

    def _run(self, words: Sequence[str], watch: Watch | None) -> tuple[float, str]:
        script = words[0].endswith(".py")
        command = [sys.executable, *([] if script else ["-m"]), *words]
        begun = time.monotonic()
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(command, cwd=self.root, env=self._environ(), stdout=output, stderr=output)
            if watch is not None:
                watch(process.pid)
            code = process.wait()
            seconds = time.monotonic() - begun
            output.seek(0)
            text = output.read()
        if code != 0:
            raise Failed(f"{' '.join(command)} exited with {code}:\n{text[-2000:]}")
        return seconds, text

    def _environ(self) -> dict[str, str]:
        """pytest, ours and the peer's, removes at its end what earlier runs left in its temporary folder: seconds, if
        some large suite did. Here it finds but the suite's own.
        """
        folder = self.root / ".tmp"
        folder.mkdir(exist_ok=True)
        return {**_ENVIRON, "PYTEST_DEBUG_TEMPROOT": str(folder)}

    @staticmethod
    def _expect(words: str, output: str) -> None:
        if words not in output:
            raise Failed(f"expected {words!r}, found:\n{output[-2000:]}")


@contextlib.contextmanager
def suite(source: str, tests: int, **more: str) -> Iterator[Suite]:
    """A suite of one test module, and more modules by name, on disk while the block runs."""
    with tempfile.TemporaryDirectory(prefix="netra-loop-bench-") as folder:
        root = Path(folder)
        (root / "pytest.ini").write_text("[pytest]\n")
        (root / "tests").mkdir()
        (root / "tests" / "test_bench.py").write_text(source)
        for name, text in more.items():
            (root / "tests" / f"{name}.py").write_text(text)
        yield Suite(root, tests)


@contextlib.contextmanager
def http_server() -> Iterator[int]:
    """The port of a server in a process of its own, which ends with the block."""
    command = [sys.executable, str(HERE / "http_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def parser(doc: str | None, *, runs: int = 3) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=int, default=runs, help="pairs of runs, medians shown (default: %(default)s)")
    return made


@dataclass(frozen=True)
class Pairs:
    """What runs in turn took. `ratio` is the median of each pair's own ratio."""

    ours: float
    peer: float
    ratio: float

    def show(self, peer: str, target: float | None = None, unit: str = "s", digits: int = 2) -> str:
        """The end of a benchmark's line; `target` is the highest ratio meant, None where the target is no ratio."""
        figures = f"netra-loop {self.ours:.{digits}f} {unit}, {peer} {self.peer:.{digits}f} {unit}"
        return f"{figures}, ratio {self.ratio:.2f}" + ("" if target is None else f" (target {target:g})")


def in_turn(runs: int, ours: Callable[[], float], peer: Callable[[], float]) -> Pairs:
    """Runs both `runs` times, one after the other."""
    pairs = [(ours(), peer()) if number % 2 == 0 else (peer(), ours())[::-1] for number in range(runs)]
    return Pairs(
        statistics.median(mine for mine, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(mine / theirs for mine, theirs in pairs),
    )


# ---------------------------------------------------------------------------------------------------------- memory


class Peak:
    """A process's highest resident memory in MB, read until it is gone."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._thread: threading.Thread | None = None

    def __call__(self, pid: int) -> None:
        """Watches `pid` from here on; the figure is whole once the process has been waited for."""
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def _watch(self, pid: int) -> None:
        while (found := field_mb(Path(f"/proc/{pid}/status"), "VmHWM")) is not None:
            self.mb = max(self.mb, found)
            time.sleep(0.01)


def field_mb(file: Path, name: str) -> float | None:
    """A figure in kB of a file under /proc, in MB; None where it does not stand there (any more)."""
    try:
        for line in file.read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, itself left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            found.append(child)
            waiting.append(child)
    return found


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
