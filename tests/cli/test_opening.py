"""How `run` begins: whatever was started ahead, the tests see what they would have seen, and are collected once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SELECTS = "select: {uses: select}, execute: {uses: execute}, record: {uses: record, next: {met: done, unmet: stop}}"
TEST = "def test_a(): pass\n"
CONFTEST = """\
import os
with open("told", "a") as told:
    print(os.environ["NETRA_LOOP_SESSION"], os.environ.get("WHO"), os.getcwd(), file=told)
"""


def run(
    folder: Path, *, tests: str = "paths: [../t]", before: str = "", options: tuple[str, ...] = (), code: str = TEST
) -> subprocess.CompletedProcess[str]:
    """Types `run` in a project of one test."""
    (folder / "loops").mkdir()
    (folder / "t").mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "t" / "test_a.py").write_text(code)
    (folder / "loops" / "night.yaml").write_text(
        f"version: 1\nname: night\nenvironments: {{here: {{cloud: none}}}}\ntests: {{{tests}}}\n"
        f"phases: {{{before}{SELECTS}}}\ngoal: {{authenticity: report}}\nseal: off\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NETRA_LOOP", "PYTEST"))}
    (folder / "tmp").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "netra_loop.cli.main", *options, "run", "night", "--session-name", "n-1", "--plain"],
        cwd=folder, env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(folder / "tmp")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tests", "who", "root"),
    [
        ("paths: [../t]", "None", "."),
        ("paths: [../t], env: {WHO: me}", "me", "."),
        ("paths: [../t], root: ../t", "None", "t"),
    ],
)
def test_tests_are_collected_once_and_told_all(tmp_path, tests, who, root):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run(tmp_path, tests=tests)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / root / "told").read_text() == f"n-1 {who} {(tmp_path / root).resolve()}\n"
    assert list((tmp_path / "tmp").glob("netra-loop-*")) == []


def test_what_a_phase_changes_first_is_what_is_collected(tmp_path):
    changes = "mend: {uses: run, with: {command: 'echo def test_b\\(\\): pass > t/test_a.py'}}, "
    done = run(tmp_path, before=changes)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "netra_loop.cli.main", "results", "n-1"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "test_b" in listed.stdout


def test_a_session_that_is_there_already_is_refused_and_nothing_is_left(tmp_path):
    assert run(tmp_path).returncode == 0
    again = subprocess.run(
        [sys.executable, "-m", "netra_loop.cli.main", "run", "night", "--session-name", "n-1", "--plain"],
        cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 5
    assert "exists already" in again.stderr
    assert len((tmp_path / "told").read_text().splitlines()) == 1  # nothing of the project's ran again
    assert list((tmp_path / "tmp").glob("netra-loop-*")) == []


@pytest.mark.parametrize("store", ["damaged.db", "shared"])
def test_nothing_of_the_project_s_runs_where_the_store_cannot_be_used(tmp_path, store):
    (tmp_path / "damaged.db").write_bytes(b"nothing that SQLite wrote" * 100)
    url = f"sqlite:///{tmp_path / store}" if store == "damaged.db" else "elsewhere://host/db"
    done = run(tmp_path, options=("--store", url))
    assert done.returncode in {2, 5}
    assert not (tmp_path / "told").exists()


def test_a_state_folder_that_is_none_is_no_fresh_one(tmp_path):
    (tmp_path / ".netra-loop").write_text("")
    assert run(tmp_path).returncode == 5
    assert not (tmp_path / "told").exists()


COUNTS = """\
import os
from pathlib import Path

def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

def is_child(pid, of):
    try:
        return parent(pid) == of
    except OSError:
        return False

def test_a():
    orchestrator = parent(parent(os.getppid()))
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    assert sum(is_child(pid, orchestrator) for pid in pids) == 1
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look in")
def test_one_that_was_guessed_wrong_does_not_stand_there_while_tests_run(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run(tmp_path, tests='paths: [../t], "ro\\x6ft": ../t', code=COUNTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "t" / "told").exists()
