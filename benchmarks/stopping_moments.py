"""The demo's golden path, stopped at random moments and gone on with: how long from each request to the end."""

from __future__ import annotations

import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOOPS = Path(__file__).resolve().parents[1] / "loops"
PATIENCE_S = 120.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND = [sys.executable, "-m", "netra_loop.cli.main"]


@dataclass(frozen=True)
class Stopped:
    """Seconds from the signal; for the command from the notice, since its own start is no part of it, so that it has
    no `notice_s`. `command_s` is how long the whole command took.
    """

    moment_s: float
    way: str
    phase: str
    notice_s: float | None
    exit_s: float
    command_s: float | None

    def line(self, number: int) -> str:
        notice = "-" if self.notice_s is None else f"{self.notice_s * 1000:.0f} ms"
        whole = "" if self.command_s is None else f"   the command {self.command_s:.2f} s"
        return (
            f"{number:4} {self.moment_s:6.2f} s  {self.way:16} {self.phase:8} {notice:>8} {self.exit_s:6.2f} s{whole}"
        )


class Running:
    """A `run` or `resume` whose words are read as they come."""

    def __init__(self, folder: Path, words: Sequence[str]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, *words, "--plain"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[tuple[float, str]] = []
        self.begun = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))
            self.begun.set()
        self.begun.set()

    def stopped(self, moment_s: float, way: signal.Signals | str) -> Stopped | None:
        """Asks it to stop so long after its first word; None where it had come to its end before."""
        self.begun.wait(PATIENCE_S)
        time.sleep(moment_s)
        asked, command_s = time.monotonic(), None
        if isinstance(way, signal.Signals):
            self.process.send_signal(way)
            way = way.name
        else:
            command = subprocess.run([*COMMAND, "stop", "latest"], cwd=self.folder, capture_output=True, check=False)
            command_s = time.monotonic() - asked
            if command.returncode == 2:  # there was nothing to stop any more
                self.process.wait(PATIENCE_S)
                return None
        code = self.process.wait(PATIENCE_S)
        ended = time.monotonic()
        self._thread.join(PATIENCE_S)
        if code == 0:
            return None
        if code != 75:
            sys.exit(f"exit code {code}, expected 75:\n" + "\n".join(line for _, line in self.lines))
        noticed = next((at for at, line in self.lines if "stopping (" in line), None)
        asked = asked if command_s is None or noticed is None else noticed  # the command's own start is no part of it
        phases = [line.split("] ")[1].split(":")[0] for _, line in self.lines if "] " in line]
        notice_s = None if noticed is None or command_s is not None else noticed - asked
        return Stopped(moment_s, way, phases[-1] if phases else "", notice_s, ended - asked, command_s)


def stop_often(times: int, seed: int, ways: Sequence[signal.Signals | str]) -> list[Stopped]:
    """Stops sessions of the demo so often, each going on where it stood; prints a line for each and one for all."""
    moments, stops = random.Random(seed), list[Stopped]()
    with tempfile.TemporaryDirectory(prefix="nl-stop-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        shutil.copytree(LOOPS, folder / "loops", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        began = time.monotonic()
        subprocess.run([*COMMAND, "run", "golden-path", "--plain"], cwd=folder, capture_output=True, check=True)
        took_s = time.monotonic() - began
        print(
            f"stop  moment   asked by         phase      notice    exit     (undisturbed {took_s:.1f} s, seed {seed})"
        )
        words = anew = ["run", "golden-path"]
        while len(stops) < times:
            way = ways[len(stops) % len(ways)]
            stopped = Running(folder, words).stopped(moments.uniform(0, took_s), way)
            if stopped is None:
                words = anew
                continue
            stops.append(stopped)
            print(stopped.line(len(stops)), flush=True)
            told = subprocess.run(
                [*COMMAND, "status", "latest", "--json"], cwd=folder, capture_output=True, text=True, check=True
            )
            words = ["resume", json.loads(told.stdout)["session"]]
    exits, notices = [one.exit_s for one in stops], [one.notice_s for one in stops if one.notice_s is not None]
    print(
        f"{len(stops)} stops by {' and '.join(sorted({one.way for one in stops}))}: exit after "
        f"{min(exits):.2f} s at least, {statistics.median(exits):.2f} s in the middle, {max(exits):.2f} s at most"
        + (f"; notice after {max(notices) * 1000:.0f} ms at most" if notices else "")
    )
    return stops
