"""The session's own cloud is killed while its tests run: what they say from then on is nobody's failure."""

from __future__ import annotations

FILES = {
    "loops/night.yaml": """
version: 1
name: night
services: {svc: {source: svc, command: [python, app.py], startup_probe: {path: /, period: 100ms}}}
tests: {paths: [../tests], workers: 1, retries: 0}
phases:
  deploy: {uses: deploy}
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record}
""",
    "loops/svc/app.py": """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(7)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
""",
    "tests/test_a.py": """
import json, os, pathlib, signal, urllib.request

def get(path="/"):
    return urllib.request.urlopen(os.environ["NETRA_LOOP_URL"] + path, timeout=30).status

def test_a_crash():
    assert get("/crash") == 200

def test_b_kills_the_cloud_once():
    done = pathlib.Path("killed")
    if not done.exists():
        done.touch()
        (told,) = pathlib.Path(".netra-loop/sessions").glob("*/cloud/cloud.json")
        os.kill(json.loads(told.read_text())["server"]["pid"], signal.SIGKILL)
    assert get() == 200

def test_c():
    assert get() == 200
""",
}


def test_what_failed_for_want_of_it_runs_again_and_a_service_that_crashes_is_the_product_s(project):
    for name, text in FILES.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(text)

    done = project.call("run", "night", "--plain")
    assert done.returncode == 3
    assert "(signal 9), ended while it was in use" in done.stderr

    assert project.call("resume", "--plain").returncode == 1
    final = {row["id"].rpartition("::")[2]: row["outcome"] for row in project.json("results", "latest")}
    assert final == {"test_a_crash": "failed", "test_b_kills_the_cloud_once": "passed", "test_c": "passed"}
    (finding,) = project.json("findings", "latest")
    assert finding["tests"] == ["tests/test_a.py::test_a_crash"]
