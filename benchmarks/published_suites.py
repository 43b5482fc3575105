"""Published libraries' own test suites, by plain pytest and by netra-loop, compared test by test.

    python benchmarks/published_suites.py [--only NAME …] [--workers 1,8] [--isolation test] [--spawned] [--python PATH]

For each library: its source distribution is fetched, a virtual environment with the suite's dependencies (and without
netra-loop) is made, plain pytest runs twice with a reporter of a few lines, and then `netra-loop run` does, as a user
would, over the same files. A test is equal where it has the same outcome; a failure also the same kind of message, a
skip the same reason. Three things are named and not held against anyone: what differs between the two plain runs
(unsteady by itself), what comes out as in ours when plain pytest runs just the tests of that worker in their order (it
depends on the tests before it), and a complaint about garbage that some test left (pytest lays it on the test during
which the collector happens to run). One line for each run, the differences below it; exit 1 where there is one.

Everything is kept under --folder (the network is needed once); versions are fixed, so that figures can be had again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Suite:
    """`paths` are the tests, relative to the unpacked source; `needs` what they import beside the library."""

    version: str
    needs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("tests",)
    args: tuple[str, ...] = ()
    extra: str = ""


_ANYIO = ("blockbuster", "coverage", "hypothesis", "psutil", "pytest-mock", "pytest-timeout", "trustme", "truststore")
_STARLETTE = ("trio", "httpx2", "blockbuster", "opentelemetry-sdk", "importlib-metadata")
_WERKZEUG = ("cffi", "cryptography", "ephemeral-port-reserve", "pytest-timeout", "watchdog")

SUITES = {
    "anyio": Suite("4.16.0", (*_ANYIO, "uvloop"), extra="[trio]", args=("-m", "not network")),
    "attrs": Suite("26.1.0", ("cloudpickle", "hypothesis", "pympler", "pytest-xdist")),
    "click": Suite("8.5.1"),
    "idna": Suite("3.20", ("hypothesis",)),
    "itsdangerous": Suite("2.2.0", ("freezegun",)),
    "jinja2": Suite("3.1.6", ("trio",)),
    "more-itertools": Suite("11.2.1"),
    "packaging": Suite("26.3", ("hypothesis", "pip", "pretend", "tomli_w")),
    "pluggy": Suite("1.7.0", paths=("testing",)),
    "pyparsing": Suite("3.3.3", ("railroad-diagrams", "jinja2"), args=("--ignore=tests/test_matplotlib_cases.py",)),
    "python-dateutil": Suite("4.0.0", ("freezegun", "hypothesis", "pytest-cov")),
    "starlette": Suite("1.10.0", _STARLETTE, extra="[full]"),
    "toolz": Suite("1.2.0", paths=("toolz",)),
    "typing_extensions": Suite("4.16.0", paths=("src/test_typing_extensions.py",)),
    "werkzeug": Suite("3.1.9", _WERKZEUG, args=("-m", "not dev_server")),
    "wsproto": Suite("1.3.2", ("hypothesis",)),
}

# What plain pytest's terminal counts of each test.
_REPORTER = """
import json, os
import pytest

_rows = []

def pytest_runtest_logstart(nodeid):
    _rows.append([nodeid, []])

class Reporter:
    def __init__(self, config):
        self.config = config

    def pytest_runtest_logreport(self, report):
        status = self.config.hook.pytest_report_teststatus(report=report, config=self.config)
        if hasattr(report, "context") and not report.failed:
            return  # a subtest: what it was counts beside its test, not for it
        longrepr = report.longrepr
        if isinstance(longrepr, tuple):
            words = longrepr[2]
        elif hasattr(longrepr, "reprlocation_lines"):
            words = longrepr.reprlocation_lines[0][0].message
        elif getattr(longrepr, "reprcrash", None) is not None:
            words = longrepr.reprcrash.message
        else:
            words = str(longrepr or "")
        _rows[-1][1].append([status[0] or report.outcome, words])

    def pytest_sessionfinish(self):
        with open(os.environ["PUBLISHED_RESULTS"], "w") as file:
            json.dump(_rows, file)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        if "PUBLISHED_ORDER" not in os.environ:
            return
        named = {}
        for item in items:
            name, number = item.nodeid, 2
            while name in named:
                name, number = f"{item.nodeid} #{number}", number + 1
            named[name] = item
        with open(os.environ["PUBLISHED_ORDER"]) as file:
            items[:] = [named[name] for name in json.load(file)]

def pytest_configure(config):
    config.pluginmanager.register(Reporter(config))
"""

# With a thread alive after collection, netra-loop's workers are spawned, not forked.
_THREAD = """
import threading

def pytest_collection_finish():
    threading.Thread(target=threading.Event().wait, daemon=True, name="published_thread").start()
"""

_SHOWN = 20
_LITTER = "unraisable"
_NONE = ("", "")

Rows = dict[str, tuple[str, str]]  # by id: outcome, kind of message


def main() -> None:
    """Runs what was asked for, prints, and exits 1 where anything differs."""
    given = _arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else what a shell starts with `&` passes on its deafness
    folder = given.folder.resolve()
    unequal = False
    for name in given.only or sorted(SUITES):
        place = Place(folder, name, given.python)
        place.prepare(SUITES[name], pytest=given.pytest)
        first = place.plain("1")
        second = place.plain("2")
        unsteady = {test for test in first.keys() | second.keys() if first.get(test) != second.get(test)}
        for workers in given.workers.split(","):
            begun = time.monotonic()
            ours, orders = place.loop(int(workers), given=given)
            took = time.monotonic() - begun
            differ = {test for test in first.keys() | ours.keys() if first.get(test) != ours.get(test)} - unsteady
            littered = {test for test in differ if _LITTER in (first.get(test, _NONE)[1], ours.get(test, _NONE)[1])}
            differ -= littered
            leaning = place.leaning(differ, ours, orders) if 0 < len(differ) < _SHOWN else set()
            unequal |= bool(differ - leaning) or not (first and ours)
            _tell(name, f"{workers} workers", first, ours, sorted(differ - leaning), took)
            for what, tests in (
                ("unsteady in plain pytest", unsteady),
                ("leaning on those before it", leaning),
                ("of another's garbage", littered),
            ):
                for test in sorted(tests):
                    print(f"    {what}: {test}", flush=True)
    sys.exit(1 if unequal else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(SUITES), metavar="NAME")
    parser.add_argument("--workers", default="1,8")
    parser.add_argument("--isolation", default="worker", choices=["worker", "test"])
    parser.add_argument("--spawned", action="store_true", help="keep a thread alive, so that workers are not forked")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="makes the virtual environments")
    parser.add_argument("--pytest", default="pytest", help="a requirement such as 'pytest<9'")
    parser.add_argument("--netra-loop", type=Path, default=Path(sys.executable).parent / "netra-loop")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "netra-loop-published"))
    return parser.parse_args()


def _tell(name: str, how: str, plain: Rows, ours: Rows, differ: list[str], took: float) -> None:
    counts = Counter(outcome for outcome, _ in plain.values())
    said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    verdict = f"{len(differ)} DIFFER" if differ else "equal"
    if not plain or not ours:
        verdict = f"NOTHING RAN in {'netra-loop' if plain else 'plain pytest'}: see the logs in its folder"
    print(f"{name} {SUITES[name].version}, {how}: {verdict} ({said}; {took:.0f} s)", flush=True)
    for test in differ[:_SHOWN]:
        print(f"    {test}\n        plain {plain.get(test)}\n        ours  {ours.get(test)}")
    if len(differ) > _SHOWN:
        print(f"    and {len(differ) - _SHOWN} more")


class Place:
    """A library's corner of the folder: its source, its virtual environments, what the runs said."""

    def __init__(self, folder: Path, name: str, python: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.source = self.folder / "source"
        version = _said(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        self.base = python
        self.environment = self.folder / f"venv-{version}"
        self.python = self.environment / "bin" / "python"

    def prepare(self, suite: Suite, pytest: str) -> None:
        """Fetches and installs what is not there yet."""
        self.suite = suite
        requirement = f"{self.name}{suite.extra}=={suite.version}"
        if not self.source.exists():
            self._unpack(f"{self.name}=={suite.version}")
        done = self.environment / "done"
        wanted = f"{requirement} {pytest} {suite.needs}"
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(self.environment, ignore_errors=True)
            _said(self.base, "-m", "venv", str(self.environment))
            _said(self.python, "-m", "pip", "install", "-q", requirement, pytest, *suite.needs)
            done.write_text(wanted)
        (packages,) = self.environment.glob("lib/python*/site-packages")
        (packages / "published_reporter.py").write_text(_REPORTER)
        (packages / "published_thread.py").write_text(_THREAD)

    def _unpack(self, requirement: str) -> None:
        fetched = self.folder / "fetched"
        command = ["download", "-q", "--no-deps", "--no-binary", self.name, "-d", str(fetched), requirement]
        _said(Path(sys.executable), "-m", "pip", *command)
        (archive,) = fetched.glob("*.tar.gz")
        with tarfile.open(archive) as file:
            file.extractall(fetched, filter="data")
        (folder,) = (entry for entry in fetched.iterdir() if entry.is_dir())
        folder.rename(self.source)

    def plain(self, run: str, order: list[str] | None = None) -> Rows:
        """Plain pytest's outcomes; of the tests of `order` alone, in that order, where it is given."""
        said = self.folder / f"plain-{run}.json"
        said.unlink(missing_ok=True)
        command = [str(self.environment / "bin" / "pytest"), "-q", "-p", "published_reporter", "-p", "no:cacheprovider"]
        command.append("--continue-on-collection-errors")  # as netra-loop does
        with (self.folder / f"plain-{run}.log").open("w") as log:
            env = {**_environment(), "PUBLISHED_RESULTS": str(said)}
            if order is not None:
                (self.folder / "order.json").write_text(json.dumps(order))
                env["PUBLISHED_ORDER"] = str(self.folder / "order.json")
            arguments = [*command, *self.suite.args, *self.suite.paths]
            subprocess.run(arguments, cwd=self.source, env=env, stdout=log, stderr=log, check=False)
        rows: Rows = {}
        for test, reports in json.loads(said.read_text()):
            name, number = test, 2
            while name in rows:  # of one id: told apart as netra-loop does
                name, number = f"{test} #{number}", number + 1
            rows[name] = _outcome(reports)
        return rows

    def leaning(self, differ: set[str], ours: Rows, orders: list[list[str]]) -> set[str]:
        """Those of `differ` that come out as ours when plain pytest runs their worker's tests in its order; what leans
        on its time as well as on its order gets three tries.
        """
        found: set[str] = set()
        for order in orders * 3:
            mine = [number for number, test in enumerate(order) if test in differ - found]
            if mine:
                plain = self.plain("ordered", order[: mine[-1] + 1])
                found |= {order[number] for number in mine if plain.get(order[number]) == ours[order[number]]}
        return found

    def loop(self, workers: int, given: argparse.Namespace) -> tuple[Rows, list[list[str]]]:
        """netra-loop's outcomes, and the tests of each process in the order in which it ran them."""
        loops = self.folder / "loops"
        loops.mkdir(exist_ok=True)
        shutil.rmtree(self.folder / ".netra-loop", ignore_errors=True)
        args = [*self.suite.args, "-p", "no:cacheprovider", *(["-p", "published_thread"] if given.spawned else [])]
        loop = {
            "version": 1,
            "name": "published",
            "environments": {"here": {"cloud": "none"}},
            "tests": {
                "paths": [f"../source/{path}" for path in self.suite.paths],
                "root": "../source",
                "python": str(self.python),
                "args": args,
                "workers": workers,
                "isolation": given.isolation,
                "timeout": "120s",
            },
            "phases": {name: {"uses": name} for name in ("select", "execute", "record")},
            "goal": {"authenticity": "report"},
        }
        (loops / "published.yaml").write_text(json.dumps(loop, indent=1))  # JSON is YAML, too
        command = [str(given.netra_loop.absolute())]
        with (self.folder / "loop.log").open("w") as log:
            run = [*command, "run", "published", "--plain"]
            subprocess.run(run, cwd=self.folder, env=_environment(), stdout=log, stderr=log, check=False)
        results = subprocess.run(
            [*command, "results", "latest", "--json"], cwd=self.folder, capture_output=True, text=True, check=False
        )
        rows: Rows = {}
        orders: dict[str, list[str]] = {}
        for row in sorted(map(json.loads, results.stdout.splitlines()), key=lambda row: row["started_at"]):
            rows[row["id"]] = (row["outcome"], _kind(row["outcome"], row["message"] or ""))
            process = row["worker"] if given.isolation == "worker" else row["id"]
            orders.setdefault(process, []).append(row["id"])
        return rows, list(orders.values())


def _outcome(reports: list[tuple[str, str]]) -> tuple[str, str]:
    """What pytest's terminal counts of one test, as one word: the worst."""
    for wanted in ("failed", "error", "xfailed", "xpassed", "skipped"):
        for category, words in reports:
            if category == wanted:
                return wanted, _kind(wanted, words)
    return "passed", ""


def _kind(outcome: str, words: str) -> str:
    """What must be equal of a message: a skip's reason, a failure's class."""
    line = (words.strip().splitlines() or [""])[0]
    if outcome == "skipped":
        return line.removeprefix("Skipped: ")
    if "unraisable" in line.lower():
        return _LITTER
    if outcome == "error":
        stage, _, rest = line.partition(": ")
        line = rest if stage in {"setup", "call", "teardown"} else line
    return line.partition(":")[0].partition(" ")[0] if outcome in {"failed", "error"} else ""


def _environment() -> dict[str, str]:
    ours = ("PYTEST", "NETRA_LOOP", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _said(python: Path, *command: str) -> str:
    done = subprocess.run([str(python), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
