"""Tests of the command line's front door."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netra_loop import __version__
from netra_loop.cli.boundary import _run
from netra_loop.cli.words import command_of, store_first
from netra_loop.core.events import SessionStarted
from netra_loop.core.records import Batch, Evidence, Frame, Outcome, Result
from netra_loop.journal.base import SessionHead
from netra_loop.journal.store import open_store

LOOP = """\
version: 1
name: plain
tests: {paths: [../t]}
environments: {here: {cloud: none}}
phases: {select: {uses: select}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops" / "plain.yaml").write_text(LOOP)
    return tmp_path


@dataclass(frozen=True)
class Done:
    """What a call left: its exit code and what it said."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def call(project, monkeypatch, capsys):
    """Types a command line in the project; the store is the default one."""
    monkeypatch.chdir(project)
    monkeypatch.delenv("NETRA_LOOP_STORE", raising=False)

    def typed(*words: str) -> Done:
        code = _run(list(words))
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return typed


def test_the_version_is_told(call):
    assert call("--version").stdout == f"netra-loop {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("run",),
        ("run", "plain", "--nonsense"),
        ("run", "nowhere"),
        ("run", "plain", "--var", "novalue"),
        ("run", "plain", "--budget", "soon"),
        ("run", "plain", "--env", "mars"),
        ("run", "plain", "--only", "P9"),
        ("run", "plain", "--max-iterations", "0"),
        ("run", "plain", "--session-name", "No Name"),
        ("resume",),
        ("status",),
        ("results", "nobody"),
        ("results", "latest", "--iteration", "first"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_2_and_says_so_on_stderr(call, words):
    done = call(*words)
    assert done.code == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_a_wrong_loop_file_is_2_with_its_places(project, call):
    (project / "loops" / "bad.yaml").write_text(LOOP + "fases: {}\n")
    done = call("validate", "bad")
    assert done.code == 2
    assert f"{project}/loops/bad.yaml:6:1: " in done.stderr
    assert "phases" in done.stderr


def test_a_good_loop_file_is_fine(call):
    done = call("validate", "plain")
    assert (done.code, "warning" in done.stderr) == (0, False)


def test_what_decides_nothing_is_warned_of_and_no_mistake(project, call):
    last = "  record: {uses: record}\n  compare: {uses: compare}\n"
    (project / "loops" / "idle.yaml").write_text(
        f"name: idle\ntests: {{}}\nphases:\n  execute: {{uses: execute}}\n{last}"
    )
    done = call("validate", "idle")
    assert (done.code, done.stdout) == (0, "")
    assert f"{project}/loops/idle.yaml:6:3: warning: phase 'compare' decides nothing: " in done.stderr
    assert ": fine: 3 phases" in done.stderr


def test_nothing_to_list_is_no_failure(call):
    done = call("list", "--json")
    assert (done.code, done.stdout) == (0, "")


def test_the_schema_is_json_on_stdout(call):
    done = call("schema")
    assert json.loads(done.stdout)["type"] == "object"


@pytest.fixture
def stored(project):
    """The project with a session whose one test said half a surrogate pair wherever it could."""

    async def write() -> None:
        (project / ".netra-loop").mkdir(mode=0o700)
        store = open_store(f"sqlite:///{project}/.netra-loop/journal.db")
        at, odd = datetime(2026, 11, 21, tzinfo=UTC), "half \ud83d of a pair"
        head = SessionHead("plain-1", "plain", "here", "running", 1, None, at, at)
        started = SessionStarted(loop="plain", loop_file="f", loop_text=odd, environment="here", first_phase="select")
        frame = Frame("ws://x/ws", "text", "received", at, event=odd, text=odd)
        told: dict[str, Any] = {"tier": None, "iteration": 1, "attempt": 1, "duration_s": 1.0, "started_at": at}
        result = Result(
            **told, id="t.py::test_odd", outcome=Outcome.FAILED, worker="gw0", revision=None, trace_id="t", output=odd,
            reasons=(odd,), message=odd, traceback=odd, evidence=Evidence(frames=(frame,), mocked=(odd,)),
        )  # fmt: skip
        try:
            async with store.own(head.id):
                await store.create(head, Batch(events=(started,)))
                await store.append(head.id, Batch(results=(result,)))
        finally:
            await store.close()

    asyncio.run(write())
    return project


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "people"])
@pytest.mark.parametrize(
    "words", [("results", "latest"), ("results", "latest", "--test", "test_odd"), ("journal", "latest")], ids=" ".join
)
def test_no_text_of_a_test_or_service_keeps_a_command_from_telling_of_it(stored, words, as_json):
    command = [sys.executable, "-m", "netra_loop.cli.main", *words, *(["--json"] if as_json else [])]
    narrow = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    for environ in (os.environ, narrow):
        done = subprocess.run(command, cwd=stored, env=environ, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert [json.loads(line) for line in done.stdout.splitlines()] if as_json else done.stdout


@pytest.mark.parametrize("asked", ["2", "0", "9" * 5000], ids=["2", "0", "9s"])
@pytest.mark.parametrize("word", ["results", "findings", "logs"])
def test_an_iteration_that_there_never_was_is_the_command_line_s_fault(stored, call, word, asked):
    done = call(word, "latest", "--iteration", asked)
    assert (done.code, done.stdout) == (2, "")
    assert "--iteration all" in done.stderr


def test_a_reader_that_goes_away_changes_no_exit_code(project):
    outlet, inlet = os.pipe()
    os.close(outlet)
    command = [sys.executable, "-m", "netra_loop.cli.main", "schema"]
    try:
        done = subprocess.run(command, cwd=project, stdout=inlet, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(inlet)
    assert (done.returncode, done.stderr) == (0, b"")


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")


def spoken(project, words, redirect):
    command = f'"{sys.executable}" -m netra_loop.cli.main {words} {redirect}'
    return subprocess.run(["sh", "-c", command], cwd=project, capture_output=True, text=True, timeout=60, check=False)


@full
@pytest.mark.parametrize("words", ["schema", "--help", "journal latest --json"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_cannot_be_written_is_the_environment_s_fault(stored, monkeypatch, words, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = spoken(stored, words, ">/dev/full")
    assert (done.returncode, done.stderr) == (
        3,
        "error: standard output cannot be written: No space left on device\n",
    )


@full
@pytest.mark.parametrize(("words", "code"), [("schema", 0), ("nonsense", 2), ("results nobody", 2)])
def test_an_error_stream_that_cannot_be_written_changes_no_exit_code(project, words, code):
    assert spoken(project, words, "2>/dev/full").returncode == code


@full
@pytest.mark.parametrize("redirect", [">/dev/full", "2>/dev/full"])
def test_a_session_goes_on_though_nobody_can_be_told(project, redirect):
    done = spoken(project, "run plain", redirect)
    assert done.returncode == spoken(project, "run plain", "").returncode
    assert "defect" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (["list"], "list"),
        (["--store", "run", "results", "run"], "results"),
        (["run", "x", "--store=y"], "run"),
        (["--help"], None),
    ],
)
def test_the_command_is_the_first_word_that_is_no_option(typed, command):
    assert command_of(typed) == command


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_changes_no_exit_code(project, closed):
    command = f'"{sys.executable}" -m netra_loop.cli.main list {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_store_that_is_none_is_5_before_any_effect(project, call):
    (project / ".netra-loop").mkdir(mode=0o700)
    (project / ".netra-loop" / "journal.db").write_bytes(b"this is no database" * 100)
    done = call("run", "plain")
    assert done.code == 5
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["list", "--store", "x"], ["--store", "x", "list"]),
        (["results", "latest", "--store=x", "--json"], ["--store=x", "results", "latest", "--json"]),
        (["--store", "x", "list"], ["--store", "x", "list"]),
        (["results", "--", "--store", "x"], ["results", "--", "--store", "x"]),
        ([], []),
    ],
)
def test_the_store_may_be_named_anywhere(typed, read):
    assert store_first(typed) == read


@pytest.mark.parametrize("limit", [12, 16, 20])
def test_a_limit_of_open_files_that_is_too_low_is_said_with_what_to_type(project, limit):
    command = f'ulimit -Sn {limit}; "{sys.executable}" -m netra_loop.cli.main run plain'
    done = subprocess.run(["sh", "-c", command], cwd=project, capture_output=True, text=True, timeout=60, check=False)
    *_, told, hint = done.stderr.splitlines()
    assert done.returncode == 3
    assert told.startswith(f"error: too many open files: this process may have {limit} open at once, expected 1024")
    assert hint == "ulimit -n 1024"


@pytest.mark.parametrize("words", ["run plain", "list"])
def test_a_working_directory_that_was_removed_is_told_so(tmp_path, words):
    command = f'mkdir gone; cd gone; rmdir ../gone; "{sys.executable}" -m netra_loop.cli.main {words}'
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the working directory was removed")
