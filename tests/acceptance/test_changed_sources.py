"""A test that is edited while the session goes on: its passes are told apart from those of the test it was."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

LOOP = """
version: 1
name: edited
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 2, timeout: 20s, env: {URL: "URL-OF-THE-SERVICE"}}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: edit}}
  edit: {uses: run, with: {command: [PYTHON, loops/edit.py]}, next: {ok: select}}
limits: {iterations: 2}
seal: off
"""
ASKS = """
import os, urllib.request
def ask():
    with urllib.request.urlopen(os.environ["URL"]) as answer:
        return answer.status
"""
FILES = {
    "kept": ASKS + "def test_kept(): assert ask() == 200\n",
    "edited": ASKS + "def test_edited(): assert ask() == 200\n",
    "beside": ASKS + "def test_beside(): assert ask() == 200\n",
    "failing": "def test_failing(): assert False\n",
}
EDIT = """
from pathlib import Path
tests = Path(__file__).parent.parent / "tests"
with (tests / "test_edited.py").open("a") as file:
    file.write("# widened\\n")
(tests / "deep" / "conftest.py").write_text("")
(tests / "test_new.py").write_text((tests / "test_kept.py").read_text())
"""
SAID = "its source changed since the session began: "


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of what is tested."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def edited(project, service):
    """A loop whose `run` phase edits tests instead of mending anything."""
    loops, tests = project.folder / "loops", project.folder / "tests"
    (tests / "deep").mkdir(parents=True)
    loops.mkdir()
    for name, text in FILES.items():
        (tests / ("deep" if name == "beside" else "") / f"test_{name}.py").write_text(text)
    (loops / "edit.py").write_text(EDIT)
    (loops / "edited.yaml").write_text(LOOP.replace("URL-OF-THE-SERVICE", service).replace("PYTHON", sys.executable))
    return project


def told(project, *arguments):
    rows = project.json("results", "latest", *arguments)
    return {(row["iteration"], row["id"]): (row["authenticity"], row["reasons"]) for row in rows}


def test_what_a_phase_edits_between_iterations_passes_as_suspect(edited):
    done = edited.call("run", "edited", "--plain")
    assert done.returncode == 1, done.stderr
    assert told(edited, "--iteration", "all") == {
        (1, "tests/test_kept.py::test_kept"): ("real", []),
        (1, "tests/test_edited.py::test_edited"): ("real", []),
        (1, "tests/deep/test_beside.py::test_beside"): ("real", []),
        (1, "tests/test_failing.py::test_failing"): ("n/a", []),
        (2, "tests/test_kept.py::test_kept"): ("real", []),
        (2, "tests/test_edited.py::test_edited"): ("suspect", [SAID + "tests/test_edited.py"]),
        (2, "tests/deep/test_beside.py::test_beside"): ("suspect", [SAID + "tests/deep/conftest.py (added)"]),
        (2, "tests/test_new.py::test_kept"): ("real", []),
        (2, "tests/test_failing.py::test_failing"): ("n/a", []),
    }
    assert edited.status()["tests"]["suspect"] == 2


def test_what_is_edited_while_the_session_lies_killed_passes_as_suspect(edited):
    slow = edited.folder / "tests" / "test_slow.py"
    slow.write_text("import time\ndef test_slow(): time.sleep(60)\n")
    process = edited.start("run", "edited", "--plain", "--max-iterations", "1")
    assert edited.wait_until(lambda: edited.stored("select count(*) from results") >= 4, process)
    edited.kill_group(process)
    slow.write_text(ASKS + "def test_slow(): assert ask() == 200\n")
    assert edited.call("resume", "--plain").returncode == 1
    said = told(edited)
    assert said[1, "tests/test_slow.py::test_slow"] == ("suspect", [SAID + "tests/test_slow.py"])
    assert said[1, "tests/test_kept.py::test_kept"] == ("real", [])
