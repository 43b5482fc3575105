"""Stopped again and again, by every way there is to ask: each time soon, and in the end as if nothing had been."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

STOPS = 4  # one by each way; `benchmarks/stopping.py --moments 10` asks more often
LATEST_S = 4.0
WAYS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, "netra-loop stop")


@dataclass
class Running:
    """A `run` or `resume` whose words are read as they come."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))
            self.begun.set()
        self.begun.set()

    def end(self) -> tuple[int, float, str]:
        """Exit code, when it ended, the last line."""
        code, at = self.process.wait(60), time.monotonic()
        self._thread.join(60)
        return code, at, self.lines[-1][1]

    def phase(self) -> str:
        """Where it stood when it was told to stop; "" before the first phase."""
        said = [re.search(r"\[\d+\] ([a-z]+):", line) for _, line in self.lines]
        return next((found[1] for found in reversed(said) if found), "")

    def said_at(self, word: str) -> float | None:
        return next((at for at, line in self.lines if word in line), None)


def essence(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What a run came to: how each test's last attempt ended."""
    return {row["id"]: (row["tier"], row["outcome"], row["authenticity"] != "fake") for row in rows}


def ask(demo, way, running: Running) -> float:
    """Asks it to stop, and answers when: for the command, once its request is there to be seen."""
    if isinstance(way, signal.Signals):
        running.process.send_signal(way)
        return time.monotonic()
    command = demo.start("stop", "latest", "--no-wait")
    while command.poll() is None and not list(demo.folder.glob(".netra-loop/sessions/*.stop")):
        time.sleep(0.001)
    asked = time.monotonic()
    command.wait(60)
    return asked


@pytest.mark.timeout(900)
def test_stopped_at_random_moments_the_golden_path_ends_as_if_it_had_not_been(demo, capsys):
    began = time.monotonic()
    undisturbed = demo.call("run", "golden-path", "--plain")
    took_s = time.monotonic() - began
    assert undisturbed.returncode == 0, undisturbed.stderr
    expected = essence(demo.json("results", "latest"))

    moments = random.Random(20)
    stops: list[str] = []
    ended = [demo.status()["session"]]
    begin = anew = ["run", "golden-path"]
    while len(stops) < STOPS:
        running = Running(demo.start(*begin, "--plain"))
        assert running.begun.wait(60)
        wait_s, way = moments.uniform(0, min(took_s, LATEST_S)), WAYS[len(stops) % len(WAYS)]
        time.sleep(wait_s)
        asked = ask(demo, way, running)
        code, at, last = running.end()
        if code == 0:  # it was there before it was asked
            ended.append(demo.status()["session"])
            begin = anew
            continue
        assert (code, last.startswith("netra-loop resume golden-path-")) == (75, True), running.lines
        assert at - asked < 30
        assert demo.wait_for_nobody() == []
        begin = last.split()[1:]
        noticed = running.said_at("stopping (")
        notice = f"{(noticed - asked) * 1000:5.0f} ms" if noticed is not None else "    none"
        name = getattr(way, "name", way)
        stops.append(f"{len(stops) + 1:4} {wait_s:6.2f} s {name:16} {running.phase():8} {notice} {at - asked:6.2f} s")
    if begin is not anew:
        assert demo.call(*begin, "--plain").returncode == 0
        ended.append(begin[-1])

    with capsys.disabled():
        print("\nstop  moment   asked by         phase      notice    exit", *stops, sep="\n")  # noqa: T201 - the figures
    for session in ended:
        assert essence(demo.json("results", session)) == expected
        ready = [row["detail"] for row in demo.json("journal", session) if row["event"] == "revision_ready"]
        assert len({detail["revision"] for detail in ready}) == 1


def test_stop_from_another_terminal_waits_until_the_session_is_paused_and_says_how_to_go_on(demo):
    process = demo.start("run", "golden-path", "--plain", "--var", "defect=blocked")
    assert demo.wait_until(lambda: demo.stored("select count(*) from attempts") >= 1, process)
    done = demo.call("stop", "latest")
    session = demo.status()["session"]
    assert (done.returncode, done.stdout) == (0, f"netra-loop resume {session}\n"), done.stderr
    assert (demo.status()["state"], process.wait(30)) == ("paused", 75)
    paused = demo.json("journal", "latest")[-1]
    assert (paused["event"], paused["detail"]["why"]) == ("session_paused", "netra-loop stop")


def test_what_has_ended_or_never_was_cannot_be_stopped(demo):
    assert demo.call("stop", "latest").returncode == 2
    assert demo.call("run", "golden-path", "--plain").returncode == 0
    for name, told in {"latest": "does not run: it has ended, met", "nosuch": "there is no session 'nosuch'"}.items():
        done = demo.call("stop", name)
        assert done.returncode == 2
        assert told in done.stderr


def test_a_session_whose_process_was_killed_is_said_to_be_no_longer_running(demo):
    process = demo.start("run", "golden-path", "--plain")
    assert demo.wait_until(lambda: demo.stored("select count(*) from events") >= 2, process)
    demo.kill_group(process)
    done = demo.call("stop", "latest")
    assert done.returncode == 2
    assert "its process was killed" in done.stderr
    assert done.stderr.splitlines()[-1] == f"netra-loop resume {demo.status()['session']}"
