"""A store in PostgreSQL, by the command line: runs, kills, restarts, and two who want the same session."""

from __future__ import annotations

import re
import signal
import subprocess

import psycopg
import pytest

from netra_loop.testing.postgres import PrivatePostgres

LOOP = """
version: 1
name: plain
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 2, timeout: 60s}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
"""
TESTS = """
import pathlib, time, pytest
@pytest.mark.parametrize("n", range(30))
def test_n(n):
    while n == 20 and not pathlib.Path("go").exists():
        time.sleep(0.01)
    if n == 20:
        pathlib.Path("gone").touch()
"""


class Shared:
    """A project whose sessions are in a server's store."""

    def __init__(self, project, postgres: PrivatePostgres) -> None:
        self.project = project
        self.url = postgres.url_of_new_schema().replace("netra@", "netra:needle@")  # which the server does not ask for
        (project.folder / "loops").mkdir()
        (project.folder / "tests").mkdir()
        (project.folder / "loops" / "plain.yaml").write_text(LOOP)
        (project.folder / "tests" / "test_some.py").write_text(TESTS)

    def start(self, *arguments: str):
        return self.project.start("--store", self.url, *arguments)

    def call(self, *arguments: str):
        return self.project.call("--store", self.url, *arguments)

    def json(self, *arguments: str):
        return self.project.json("--store", self.url, *arguments)

    def let_go(self) -> None:
        (self.project.folder / "go").touch()

    def results(self) -> int:
        with psycopg.connect(self.url) as connection:
            if connection.execute("SELECT to_regclass('netra_loop_store')").fetchone() == (None,):
                return 0
            return connection.execute("SELECT count(*) FROM results").fetchone()[0]

    def half_way(self, process) -> bool:
        return self.project.wait_until(lambda: self.results() >= 15, process)

    def whole(self) -> None:
        """Every test has one result that counts, and the chain of events is whole."""
        results = self.json("results", "latest")
        assert {row["id"] for row in results} == {f"tests/test_some.py::test_n[{n}]" for n in range(30)}
        assert {row["outcome"] for row in results if row["attempt"] == max_attempt(results, row["id"])} == {"passed"}
        assert "chain whole" in self.call("journal", "latest", "--verify").stdout


def max_attempt(results, test: str) -> int:
    return max(row["attempt"] for row in results if row["id"] == test)


@pytest.fixture
def shared(project, postgres: PrivatePostgres) -> Shared:
    return Shared(project, postgres)


def test_a_run_and_what_is_asked_of_it_afterwards(shared: Shared):
    shared.let_go()
    done = shared.call("run", "plain", "--plain")
    assert done.returncode == 0, done.stderr
    shared.whole()
    assert [row["state"] for row in shared.json("list")] == ["met"]
    assert shared.json("status", "latest")[0]["tests"]["passed"] == 30
    doctor = shared.call("doctor")
    assert "store's server: PostgreSQL" in doctor.stdout
    for said in (done, doctor):
        assert "needle" not in said.stdout + said.stderr
    assert not (shared.project.folder / ".netra-loop" / "journal.db").exists()


def test_killed_half_way_it_goes_on_where_it_stood(shared: Shared):
    process = shared.start("run", "plain", "--plain")
    assert shared.half_way(process), process.stderr.read()
    shared.project.kill_group(process)
    before = {(row["id"], row["attempt"]): row for row in shared.json("results", "latest")}
    shared.let_go()
    done = shared.call("resume", "--plain")
    assert done.returncode == 0, done.stderr
    shared.whole()
    after = {(row["id"], row["attempt"]): row for row in shared.json("results", "latest")}
    assert {key: after[key] for key in before} == before


def test_a_server_that_crashes_half_way_is_waited_for(shared: Shared, postgres: PrivatePostgres):
    process = shared.start("run", "plain", "--plain")
    assert shared.half_way(process), process.stderr.read()
    postgres.stop(immediately=True)
    shared.let_go()
    postgres.start()
    assert process.wait(120) == 0, process.stderr.read()
    shared.whole()


def test_whoever_comes_second_is_refused_until_he_takes_over(shared: Shared):
    process = shared.start("run", "plain", "--plain")
    assert shared.half_way(process), process.stderr.read()
    refused = shared.call("resume", "--plain")
    assert refused.returncode == 5
    assert re.search(rf"held by process {process.pid} on ", refused.stderr)
    process.send_signal(signal.SIGSTOP)  # as a machine that sleeps
    taking = shared.start("resume", "--takeover", "--plain")
    shared.let_go()
    assert taking.wait(120) == 0, taking.stderr.read()
    process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 5
    said = process.stderr.read()
    assert "was taken over" in said
    assert "needle" not in said
    shared.whole()


def test_asked_to_stop_from_elsewhere_it_pauses_and_goes_on(shared: Shared):
    process = shared.start("run", "plain", "--plain")
    assert shared.half_way(process), process.stderr.read()
    assert shared.call("stop", "latest").returncode == 0
    assert process.wait(60) == 75
    last = process.stderr.read().splitlines()[-1]
    assert re.fullmatch(r"netra-loop --store '?postgresql://netra:\*\*\*@.* resume plain-\S+", last)
    shared.let_go()
    assert shared.call("resume", "--plain").returncode == 0
    shared.whole()


SPY = """
import os, pathlib, sys
pathlib.Path(sys.argv[1]).write_text("\\n".join(f"{name}={value}" for name, value in os.environ.items()))
"""


def test_the_stores_password_is_told_to_nobody_who_is_started(shared: Shared):
    folder = shared.project.folder
    (folder / "spy.py").write_text(SPY)
    (folder / "tests" / "test_some.py").write_text(
        "import os, pathlib\n"
        "def test_environment():\n"
        f"    pathlib.Path({str(folder / 'test.env')!r}).write_text('\\n'.join(os.environ.values()))\n"
        "    assert 'netra@' in os.environ['NETRA_LOOP_STORE']\n"
    )
    (folder / "service.py").write_text(
        "import http.server, os, runpy, sys\n"
        f"sys.argv = ['spy', {str(folder / 'service.env')!r}]\n"
        f"runpy.run_path({str(folder / 'spy.py')!r})\n"
        "answers = http.server.SimpleHTTPRequestHandler\n"
        "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), answers).serve_forever()\n"
    )
    (folder / "loops" / "plain.yaml").write_text(f"""
version: 1
name: plain
environments: {{here: {{cloud: embedded}}}}
services:
  s: {{source: .., command: [python, service.py], port: 8080, startup_probe: {{path: /, timeout: 60s, period: 100ms}}}}
tests: {{paths: [../tests], workers: 1, timeout: 60s}}
phases:
  deploy: {{uses: deploy}}
  fix: {{uses: run, with: {{command: [python, {folder / "spy.py"}, {folder / "fixer.env"}]}}}}
  select: {{uses: select}}
  execute: {{uses: execute}}
  record: {{uses: record, next: {{met: done, unmet: stop}}}}
goal: {{authenticity: off}}
""")
    done = subprocess.run(
        shared.project.command("run", "plain", "--plain"), cwd=folder, capture_output=True, text=True, check=False,
        env=shared.project.environ() | {"NETRA_LOOP_STORE": shared.url},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for who in ("test", "service", "fixer"):
        assert "needle" not in (folder / f"{who}.env").read_text()
    assert "needle" not in done.stderr


def test_a_stop_while_the_store_is_away_ends_soon_and_says_what_is_lost(shared: Shared, postgres: PrivatePostgres):
    process = shared.start("run", "plain", "--plain")
    assert shared.half_way(process), process.stderr.read()
    postgres.stop(immediately=True)
    shared.let_go()
    try:
        gone = shared.project.folder / "gone"
        assert shared.project.wait_until(gone.exists, process)  # so that there is something to lose
        process.send_signal(signal.SIGINT)
        code = process.wait(30)  # half of what the store alone would be waited for
    finally:
        postgres.start()
    said = process.stderr.read()
    assert (code, bool(re.search(r"could not be used for .*\n.* resume", said))) == (5, True), said
    assert re.search(r"not stored: \d+ (event|result)", said)
    done = shared.call("resume", "--plain")
    assert done.returncode == 0, done.stderr
    shared.whole()
