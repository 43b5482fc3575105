"""The iteration that broke a test is found by the revisions of a real session, and nothing of that is left behind."""

import json
import os
import re
import signal
import sys

import pytest

LOOP = """
version: 1
name: steps
workspace: {git: copy}
services:
  backend: {source: ../service, command: [PYTHON, app.py], startup_probe: {path: /, timeout: 30s, period: 100ms}}
tests: {paths: [../tests], workers: 1, retries: 0, env: {FLAG: "FOLDER/not-now"}}
phases:
  deploy: {uses: deploy}
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: count, unmet: count, inconclusive: count, stuck: count}}
  count: {uses: run, with: {command: [PYTHON, count.py, FOLDER/not-now], paths: [../service]}}
  commit: {uses: commit, with: {paths: [../service]}, next: {ok: deploy}}
limits: {iterations: 3}
"""
APP = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from answer import ANSWER
class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(ANSWER).encode())
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers).serve_forever()
"""
COUNT = """
import os, pathlib, sys
answer, flag = pathlib.Path("service/answer.py"), pathlib.Path(sys.argv[1])
number = int(answer.read_text().split()[-1]) + 1
answer.write_text(f"ANSWER = {number}\\n")
flag.touch() if number < 3 else flag.unlink()
pathlib.Path(os.environ["NETRA_LOOP_NOTE"]).write_text(f"Answer {number}")
"""
TEST = """
import os, pathlib, pytest, urllib.request
def test_small():
    if pathlib.Path(os.environ["FLAG"]).exists():
        pytest.skip("not now")
    with urllib.request.urlopen(os.environ["NETRA_LOOP_URL"], timeout=10) as answer:
        assert int(answer.read()) < 2
"""


@pytest.fixture
def night(project):
    """Three iterations that answer 1, 2 and 3: the test passed in the first, failed in the last, and was skipped in
    the one between.
    """
    for name, text in {
        "loops/steps.yaml": LOOP.replace("PYTHON", sys.executable).replace("FOLDER", str(project.folder.parent)),
        "service/app.py": APP,
        "service/answer.py": "ANSWER = 1\n",
        "count.py": COUNT,
        "tests/test_it.py": TEST,
    }.items():
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text(text)
    done = project.call("run", "steps", "--plain")
    assert done.returncode == 1, done.stderr
    return project


def tags(project):
    (resources,) = project.folder.glob(".netra-loop/sessions/*/cloud/resources.json")
    return re.findall(r"nl-\w{4}-\d+", resources.read_text())


def test_the_iteration_in_between_is_found_and_the_session_is_as_it_was(night):
    before = night.json("journal", "latest")
    done = night.call("bisect", "latest", "test_small", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(one["iteration"], one["passed"]) for one in told["probes"]] == [(1, True), (3, False), (2, False)]
    assert told["found"]["iteration"] == 2
    (commit,) = told["found"]["commits"]
    assert (commit["subject"], commit["paths"]) == ("Answer 2", ["service/answer.py"])
    assert tags(night) == []
    assert night.json("journal", "latest") == before

    stopped = night.start("bisect", "latest", "test_small")
    for line in stopped.stderr:
        if "backend-00001" in line:
            break
    os.kill(stopped.pid, signal.SIGINT)
    assert stopped.wait(30) == 130
    assert tags(night) == []
    assert night.wait_for_nobody() == []
