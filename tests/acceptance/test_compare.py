"""Two revisions that behave otherwise, of a real service at real tags, and what a night makes of the difference."""

from __future__ import annotations

import json

LOOP = """
version: 1
name: compared
services:
  backend:
    source: service
    command: [python, app.py]
    startup_probe: {path: /health, timeout: 30s, period: 100ms}
tests: {paths: [tests], env: {AT: "${services.backend.url}"}, timeout: 20s, workers: 4}
tiers:
  - {name: P1, select: {keyword: mended}}
  - {name: rest, max_failures: 100%, select: all}
phases:
  deploy: {uses: deploy}
  select: {uses: select}
  execute: {uses: execute}
  compare: {uses: compare}
  record: {uses: record, next: {met: done, unmet: fix}}
  fix: {uses: run, with: {command: sh loops/fix.sh}, next: {ok: deploy}}
limits: {iterations: 2}
"""
SERVICE = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({"/mended": 500, "/worse": 200}.get(self.path, 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FIX = """
sed -i 's/"\\/mended": 500, "\\/worse": 200/"\\/mended": 200, "\\/worse": 500/' loops/service/app.py
sed 's/.*"id": *"\\(F-[0-9a-f]*\\)".*/["\\1"]/; t; d' "$NETRA_LOOP_BRIEF_JSON" | head -1 > "$NETRA_LOOP_CLAIM"
"""
TESTS = """
import os, pathlib, urllib.request

def ask(path):
    assert urllib.request.urlopen(os.environ["AT"] + path, timeout=10).status == 200

def test_mended(): ask("/mended")
def test_worse(): ask("/worse")
def test_well(): ask("/")

def test_flaky():
    ask("/")
    seen = pathlib.Path("seen")
    if os.environ["NETRA_LOOP_ITERATION"] == "2" and not seen.exists():
        seen.touch()
        assert False, "once"
"""


def test_a_fix_a_flake_and_a_regression_are_told_apart(project):
    loops = project.folder / "loops"
    for name, text in {"service/app.py": SERVICE, "tests/test_it.py": TESTS, "fix.sh": FIX, "it.yaml": LOOP}.items():
        (loops / name).parent.mkdir(parents=True, exist_ok=True)
        (loops / name).write_text(text)
    ended = project.call("run", "it", "--plain")
    assert ended.returncode == 1, ended.stderr
    assert "regressions:\n  loops/tests/test_it.py::test_worse: passed in iteration 1 against backend-" in ended.stderr
    assert "3 tests compared with backend-00001-" in ended.stderr

    status = project.status()
    assert all(tier["met"] for tier in status["tiers"])  # only the regression keeps the goal from being met
    states = {one["tests"][0].rpartition("_")[2]: one for one in project.json("findings", "latest", "--iteration", "2")}
    assert {name: one["state"] for name, one in states.items()} == {
        "mended": "fixed",
        "worse": "regressed",
        "flaky": "flaky",
    }
    (claim,) = states["mended"]["claims"]
    assert (claim["iteration"], claim["verdict"], claim["revision"]) == (1, "verified", status["revisions"]["backend"])
    (left,) = project.folder.glob(".netra-loop/sessions/*/cloud/resources.json")
    assert json.loads(left.read_text())
    assert f"nl-{status['session'][-4:]}-1" not in left.read_text()
