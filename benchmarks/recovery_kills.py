"""The recovery demo, killed (SIGKILL to its whole process group) at random moments and gone on with: what it came to.

    python benchmarks/recovery_kills.py [--kills 20] [--seed 6] [--git worktree]

One undisturbed session says how long it takes and what it comes to. Each kill is a session of its own in a project of
its own: half of the moments are drawn from its time, half from its events, since most of the time is spent in tests.
A session that differs from the undisturbed one in its commits (subjects, trees, parents), in how often something
happened, or in its end, is told and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOPS = Path(__file__).resolve().parents[1] / "loops"
COMMAND = [sys.executable, "-m", "netra_loop.cli.main"]
PATIENCE_S = 300.0
ONCE = ("committed", "goal_judged", "revisions_compared", "fixer_ran", "phase_finished", "session_ended")


@dataclass(frozen=True)
class CameTo:
    """What a session came to, in what does not depend on its id and its time. `commits` are subject and tree of each,
    `happened` counts events, a revision by its name; `strays` are commits that the journal does not know.
    """

    code: int
    state: str
    commits: tuple[str, ...]
    happened: tuple[tuple[str, int], ...]
    findings: tuple[str, ...]
    strays: int
    checkout: str


class Project:
    """A user's project with the demo in it; `kind` is the loop's `workspace`."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        shutil.copytree(LOOPS, folder / "loops", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        loop = folder / "loops" / "recovery.yaml"
        loop.write_text(loop.read_text().replace("workspace: {git: copy}", f"workspace: {{git: {kind}}}"))
        (folder / ".gitignore").write_text(".netra-loop\n__pycache__\n.pytest_cache\n")
        if kind == "worktree":
            for words in (["init"], ["add", "--all"], ["commit", "-m", "The project"]):
                self.git(folder, *words)
        self.before = self.checkout()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, *words, "--plain"], cwd=self.folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=self.folder.with_suffix(".txt").open("ab"),
        )  # fmt: skip

    def events(self) -> int:
        """How many there are; 0 before there is a store."""
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{self.folder}/.netra-loop/journal.db?mode=ro", uri=True)
            ) as db:
                return int(db.execute("select count(*) from events").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    def rows(self, *words: str) -> list[dict[str, Any]]:
        done = subprocess.run([*COMMAND, *words, "--json"], cwd=self.folder, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def git(self, folder: Path, *words: str) -> list[str]:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def checkout(self) -> str:
        """A hash of all that the user has there, git's own files left out."""
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        mine = [
            path
            for path in files
            if not {".git", ".netra-loop", "__pycache__"} & {*path.relative_to(self.folder).parts}
        ]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in mine)).hexdigest()

    def came_to(self, code: int) -> CameTo:
        status = self.rows("status", "latest")[0]
        journal = self.rows("journal", "latest")
        where = self.folder / ".netra-loop" / "sessions" / status["session"] / "workspace"
        made = [row["detail"]["commit"] for row in journal if row["event"] == "committed"]
        base = next(row["detail"]["base"] for row in journal if row["event"] == "workspace_made")
        there = self.git(where, "log", "--reverse", "--format=%H", f"{base}..HEAD")
        commits = self.git(where, "log", "--reverse", "--format=%s %T", f"{base}..HEAD")
        counts = Counter(row["event"] for row in journal if row["event"] in ONCE)
        counts["revisions"] = len({row["detail"]["revision"] for row in journal if row["event"] == "revision_ready"})
        counts["uncommitted"] = len(self.git(where, "status", "--short"))
        findings = [
            f"{one['state']} {[claim['verdict'] for claim in one['claims']]}" for one in self.rows("findings", "latest")
        ]
        return CameTo(
            code, status["state"], tuple(commits), tuple(sorted(counts.items())), tuple(findings),
            len(set(there) ^ set(made)), "untouched" if self.checkout() == self.before else "CHANGED",
        )  # fmt: skip


def undisturbed(folder: Path, kind: str) -> tuple[CameTo, float, int]:
    """What it comes to, how long it takes, how many events it has."""
    project = Project(folder, kind)
    began = time.monotonic()
    code = project.start("run", "recovery").wait(PATIENCE_S)
    return project.came_to(code), time.monotonic() - began, project.events()


def killed(folder: Path, kind: str, moment: tuple[str, float]) -> tuple[CameTo, str]:
    """The same, killed at a moment (of its time, or of its events), and where that was."""
    project = Project(folder, kind)
    process = project.start("run", "recovery")
    unit, value = moment
    began = time.monotonic()
    while process.poll() is None and (time.monotonic() - began if unit == "s" else project.events()) < value:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stood = "before its first event"
    if project.events():
        last = project.rows("journal", "latest")[-1]
        stood = f"[{last['iteration']}] {last['phase'] or '-'}, after {last['event']}"
    words = ["resume"] if project.events() else ["run", "recovery"]
    code = 0 if stood.endswith("session_ended") else project.start(*words).wait(PATIENCE_S)
    return project.came_to(code), stood


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--git", choices=("copy", "worktree"), default="copy")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="nl-kills-", ignore_cleanup_errors=True) as temporary:
        places = (Path(temporary) / str(number) for number in range(given.kills + 1))
        expected, took_s, events = undisturbed(next(places), given.git)
        print(f"undisturbed in {took_s:.1f} s, {events} events: {expected}\n")
        bad = 0
        for number, folder in enumerate(places, 1):
            moment = ("s", draw.uniform(0, 0.95 * took_s)) if number % 2 else ("events", draw.randrange(1, events))
            now, stood = killed(folder, given.git, moment)
            same = now == expected
            bad += not same
            at = f"{moment[1]:.1f} s" if moment[0] == "s" else f"event {moment[1]}"
            print(f"{number:3} {at:>9}  {stood:48} {'the same' if same else now}", flush=True)
            if same:
                shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{given.kills} kills, seed {given.seed}: {given.kills - bad} came to the same, {bad} did not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
