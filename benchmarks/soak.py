"""Thousands of short iterations under random faults: nothing lost, nothing twice, nothing left, nothing growing.

    python benchmarks/soak.py [--minutes 10] [--seed N] [--rounds R] [--round K] [--scale 1] [--store postgresql]

A round is one session of a project made for the run, from `netra-loop run` over as many `resume`s as it takes to its
end. What happens to it is drawn from the seed and the round's number: SIGKILL of the orchestrator, of one of its other
processes (a worker, the tests' interpreter, the embedded cloud's server), a polite stop by signal or by
`netra-loop stop`, a suspension, a full disk. Half of the rounds go round a loop of one command, the others run tests,
some of them over HTTP against a small service that is deployed to the embedded cloud. The store is on a small disk of
its own where one can be mounted (as root); elsewhere the size of the orchestrator's files is limited.
With `--store postgresql` the store is a server made for the run, and instead of a full disk it crashes and comes back.

After each process: every result that was told or seen is there, unchanged; the events before are the events still,
their sequence gapless, the chain whole; no process left. After each round: every iteration is judged and complete,
each test has one result and was not run again once it had one; each iteration has one revision by the cloud's own
list. At the end: file descriptors of living processes did not grow; by how much store and memory grow for each
iteration.

The first thing that does not hold ends the soak with exit 1, the seed, the round, and the command that does it again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import descendants, parser
from soak_project import Broken, Disk, Project, Run, adopt, end_all, is_cloud, left, patiently
from soak_witness import Seen, Witness, one_revision_each

from netra_loop.errors import NetraLoopError
from netra_loop.testing.postgres import PrivatePostgres

LOOPS = {"ticks": 400, "plain": 10, "served": 4}  # iterations of a round
_WEIGHTS = (5, 3, 2)
_BEFORE_FAULT = {"ticks": 250, "plain": 40, "served": 9}  # results, or ticks, before it at most
_DISK_MB = 512
_WARM = 20  # iterations until a process has everything it needs in memory
_PATIENCE_S = 180.0
_STOP_S = 15.0  # a stop takes 6 s at most; the machine may be busy with others
_FILES_MORE = 6  # descriptors that may be open by chance as an iteration begins
_ENDED, _ENVIRONMENT, _STORE, _PAUSED = 1, 3, 5, 75
FAULTS = ("kill", "kill", "kill", "other", "cloud", "signal", "stop", "suspend", "full")
SHARED_FAULTS = tuple("restart" if fault == "full" else fault for fault in FAULTS)  # PostgreSQL's disk is not ours


@dataclass
class Figures:
    """What the closing line tells."""

    rounds: int = 0
    iterations: int = 0
    results: int = 0
    revisions: int = 0
    processes: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    store: list[tuple[int, int]] = field(default_factory=list)  # of loops of one command: iterations so far, bytes
    size: int | None = None  # of the store after the last round; None before there is one
    memory: list[tuple[int, float]] = field(default_factory=list)  # of a process: iterations so far, kB
    most_files: int = 0


class Round:
    """One session, from its first process to its end."""

    def __init__(
        self, project: Project, ground: Disk | PrivatePostgres, seed: int, number: int, scale: float, figures: Figures
    ) -> None:
        self._project = project
        self._disk = ground if isinstance(ground, Disk) else None
        self._server = ground if isinstance(ground, PrivatePostgres) else None
        self._figures = figures
        self._draw = random.Random(f"{seed}/{number}")
        self.session = f"soak-{seed}-{number}"
        (self.loop,) = self._draw.choices(list(LOOPS), _WEIGHTS)
        self._iterations = max(2, round(scale * LOOPS[self.loop]))
        self._before_fault = max(1, round(scale * _BEFORE_FAULT[self.loop]))
        self._plan = [
            self._draw.choice(FAULTS if self._disk else SHARED_FAULTS) for _ in range(self._draw.randint(1, 4))
        ]
        self._witness = Witness(project.store, self.session)

    def play(self) -> None:
        """Plays it. Broken where something does not hold."""
        words = ["run", self.loop, "--session-name", self.session, "--max-iterations", str(self._iterations)]
        for fault in [*self._plan, None]:
            code = self._process(words, fault)
            if self._witness.rest(self._project.executions(self.session)) is not None:
                words = ["resume", self.session]
            if code == _ENDED:
                break
        else:
            raise Broken(f"the session did not end, the last process ended with {code}")
        seen = self._witness.whole(self._project.executions(self.session))
        state = seen.state
        if state.status.value not in {"unmet", "inconclusive"} or state.iteration != self._iterations:
            raise Broken(f"ended {state.status.value} after {state.iteration} iterations, expected {self._iterations}")
        revisions = one_revision_each(self._project.root / ".netra-loop", seen, self.session)
        self._count(seen, revisions)
        verified = self._project.call("journal", self.session, "--verify")
        if verified.returncode != 0:
            raise Broken(f"journal --verify ended with {verified.returncode}: {verified.stderr}")
        self._nobody_left()

    def _process(self, words: list[str], fault: str | None) -> int:
        began = time.monotonic()
        run, reading = self._project.start(*words, "--plain", "-v")
        self._figures.processes += 1
        allowed = {_ENDED}
        try:
            if fault is not None:
                self._wait(run)
                allowed |= self._inflict(fault, run)
                self._figures.faults[fault] += 1
            with patiently(run, _PATIENCE_S):
                pass
        finally:
            if self._disk is not None:
                self._disk.free()
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()
        self._nobody_left()
        reading.join(10)
        assert run.process.stderr is not None
        run.process.stderr.close()
        self._witness.told |= run.told
        code = run.process.returncode
        if code not in allowed:
            raise Broken(
                f"after {fault or 'nothing'} {words[0]} ended with {code}, expected {sorted(allowed)}:\n{run.tail()}"
            )
        self._measure(run)
        took_s = time.monotonic() - began
        print(
            f"  {self.session} {self.loop}: {words[0]}, {fault or 'no fault'}: {code} after {took_s:.1f} s", flush=True
        )
        return code

    def _wait(self, run: Run) -> None:
        """Until a moment drawn by chance: so many results after the start, or, one time in four, so much time."""
        results, seconds = self._draw.randint(1, self._before_fault), self._draw.uniform(0, 2)
        by_time, pause_s = self._draw.random() < 0.25, self._draw.uniform(0, 0.08)
        end = time.monotonic() + (seconds if by_time else _PATIENCE_S)
        while run.process.poll() is None and time.monotonic() < end and (by_time or run.progress < results):
            time.sleep(0.002)
        time.sleep(pause_s)

    def _inflict(self, fault: str, run: Run) -> set[int]:
        """Does it; answers with the exit codes that may follow, beside that of a session which had just ended."""
        self._witness.look()
        inflict: dict[str, Callable[[Run], set[int]]] = {
            "kill": self._kill,
            "other": self._kill_other,
            "cloud": self._kill_cloud,
            "signal": self._signal,
            "stop": self._stop,
            "suspend": self._suspend,
            "full": self._fill,
            "restart": self._restart,
        }
        return inflict[fault](run)

    @staticmethod
    def _kill(run: Run) -> set[int]:
        run.process.kill()
        return {-signal.SIGKILL}

    def _kill_other(self, run: Run) -> set[int]:
        running = sorted(pid for pid in descendants(run.process.pid))
        if running:
            with suppress(ProcessLookupError):
                os.kill(self._draw.choice(running), signal.SIGKILL)
        return {_ENVIRONMENT}

    @staticmethod
    def _kill_cloud(run: Run) -> set[int]:
        for pid in descendants(run.process.pid):
            if is_cloud(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return {_ENVIRONMENT}

    def _signal(self, run: Run) -> set[int]:
        run.process.send_signal(self._draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
        with patiently(run, _STOP_S):
            pass
        # before it has taken its signals over, the system's own answer holds
        return {_PAUSED, 130, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT}

    def _stop(self, run: Run) -> set[int]:
        asked = self._project.call("stop", self.session)
        if asked.returncode == 0:
            with patiently(run, _STOP_S):
                pass
        return {_PAUSED}

    def _suspend(self, run: Run) -> set[int]:
        run.process.send_signal(signal.SIGSTOP)
        time.sleep(self._draw.uniform(0.1, 1.5))
        run.process.send_signal(signal.SIGCONT)
        return set()

    def _fill(self, run: Run) -> set[int]:
        if self._disk is not None:
            self._disk.fill(run.process.pid)
        return {_PAUSED, _STORE}

    def _restart(self, _: Run) -> set[int]:
        """The server crashes and comes back; whoever works with it waits."""
        if self._server is not None:
            self._server.stop(immediately=True)
            time.sleep(self._draw.uniform(0, 2))
            self._server.start()
        return set()

    def _nobody_left(self) -> None:
        running = left(str(self._server.folder) if self._server is not None else None)
        if running:
            raise Broken("left: " + "; ".join(running))

    def _measure(self, run: Run) -> None:
        if len(run.iterations) > 5:
            for name, files in (("the process", run.files[3:]), ("the embedded cloud", run.cloud_files[3:])):
                if files and files[-1] > files[0] + _FILES_MORE:
                    raise Broken(f"left: {name} had {files} files open as its iterations began")
        self._figures.most_files = max([self._figures.most_files, *run.files])
        if self.loop == "ticks" and len(run.rss_kb) > _WARM:
            begins = run.rss_kb[_WARM]
            self._figures.memory += [(n, kb - begins) for n, kb in enumerate(run.rss_kb) if n >= _WARM]

    def _count(self, seen: Seen, revisions: int) -> None:
        figures = self._figures
        figures.rounds += 1
        figures.iterations += seen.state.iteration
        figures.results += len(seen.results)
        figures.revisions += revisions
        size = self._stored()
        if self.loop == "ticks" and figures.size is not None:  # the others store more for each iteration: their tests
            before = figures.store[-1] if figures.store else (0, 0)
            figures.store.append((before[0] + seen.state.iteration, before[1] + size - figures.size))
        figures.size = size

    def _stored(self) -> int:
        """Bytes that the store takes, without its log, which whoever opens it next takes in and removes."""
        if self._server is not None:
            ((size,),) = self._server.execute("SELECT pg_database_size('postgres')")
            return int(size)
        assert self._disk is not None
        files = [file for file in self._disk.folder.glob("journal.db*") if not file.name.endswith(("-wal", "-shm"))]
        return sum(file.stat().st_size for file in files if file.is_file())


# ---------------------------------------------------------------------------------------------------------- growth


def slope(points: list[tuple[int, float]]) -> float:
    """By how much the second grows for each of the first, by least squares; 0 where that cannot be said."""
    if len(points) < 2:
        return 0.0
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


def growth(points: list[tuple[int, float]]) -> tuple[float, float | None]:
    """The slope of all, and the second half's against the first's; None for the latter where there are too few."""
    points = sorted(points)
    half = points[len(points) // 2][0] if points else 0
    first, second = ([point for point in points if (point[0] < half) is early] for early in (True, False))
    ratio = slope(second) / before if len(points) >= 8 and (before := slope(first)) > 0 else None
    return slope(points), ratio


def told(figures: Figures, seconds: float, seed: int) -> str:
    """The closing line."""
    faults = ", ".join(f"{number} {name}" for name, number in figures.faults.most_common())
    stored, stored_ratio = growth([(x, float(y)) for x, y in figures.store])
    grown, grown_ratio = growth(figures.memory)
    ratios = [
        f"second half to first {ratio:.2f}" if ratio is not None else "-" for ratio in (stored_ratio, grown_ratio)
    ]
    return (
        f"soak: seed {seed}: {seconds:.0f} s, {figures.rounds} rounds, {figures.processes} processes, "
        f"{figures.iterations} iterations, {figures.results} results, {figures.revisions} revisions; faults: {faults}; "
        f"nothing lost, nothing twice, chain whole, no process left; at most {figures.most_files} files open; "
        f"store {stored:,.0f} bytes an iteration ({ratios[0]}); memory {grown:.1f} kB an iteration ({ratios[1]})"
    )


def check_growth(figures: Figures) -> None:
    """Broken where the store or the memory grows faster and faster."""
    _, stored = growth([(x, float(y)) for x, y in figures.store])
    if stored is not None and stored > 1.5:
        raise Broken(f"the store grows {stored:.2f} times as fast in the second half: {figures.store}")


# ------------------------------------------------------------------------------------------------------------ main


def main() -> None:
    """Plays round after round until the time is over."""
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    options.add_argument("--seed", type=int, default=None, help="default: one drawn by chance, which is printed")
    options.add_argument("--rounds", type=int, default=None, help="end after so many, whatever the time")
    options.add_argument("--round", type=int, default=None, help="play this one alone")
    options.add_argument("--scale", type=float, default=1.0, help="how long a round is, beside its usual length")
    options.add_argument(
        "--store", default="sqlite", choices=["sqlite", "postgresql"], help="a disk, or a server, is made for it"
    )
    given = options.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    print(f"soak: seed {seed}", flush=True)
    adopt()
    figures, began = Figures(), time.monotonic()
    number = 0
    with tempfile.TemporaryDirectory(prefix="netra-loop-soak-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        ground = Disk(root / "disk", _DISK_MB) if given.store == "sqlite" else PrivatePostgres()
        store = f"sqlite:///{root}/disk/journal.db" if isinstance(ground, Disk) else ground.url()
        project = Project(root, store)
        try:
            numbers = [given.round] if given.round is not None else range(1, (given.rounds or 1_000_000) + 1)
            for number in numbers:
                play = Round(project, ground, seed, number, given.scale, figures)
                play.play()
                if time.monotonic() - began > 60 * given.minutes:
                    break
            check_growth(figures)
        except (Broken, NetraLoopError) as broken:
            again = f"--seed {seed} --round {number} --scale {given.scale:g}"
            again += "" if given.store == "sqlite" else f" --store {given.store}"
            print(f"soak: seed {seed}, round {number}: {broken}\nagain: python benchmarks/soak.py {again}", flush=True)
            sys.exit(1)
        finally:
            if isinstance(ground, PrivatePostgres):
                ground.close()
            end_all()
    print(told(figures, time.monotonic() - began, seed), flush=True)


if __name__ == "__main__":
    main()
