"""An answer from another revision than the one under test: only the request log can tell, and it does."""

from __future__ import annotations

import sys

import pytest

LOOP = """
version: 1
name: revisions
environments: {local: {cloud: embedded}}
services:
  backend:
    source: golden-path/service
    command: [python, -m, agent_backend]
    env: {JWT_SECRET: demo-secret-for-the-golden-path-only}
    startup_probe: {path: /health, timeout: 30s, period: 250ms}
tests: {paths: [../tests], timeout: 20s, workers: 2}
phases:
  deploy: {uses: deploy}
  tag: {uses: run, with: {command: [PYTHON, loops/tag.py]}, next: {ok: select, failed: stop}}
  select: {uses: select}
  execute: {uses: execute}
  collect: {uses: collect-logs, with: {severity: DEFAULT, settle: 10s}}
  record: {uses: record, next: {met: done, unmet: stop, inconclusive: stop}}
limits: {iterations: 1}
"""
TAG = '''
"""Gives the service's first revision a URL of its own, as somebody may who compares it with the newest."""
import json, os
from pathlib import Path
import grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
where = Path(f".netra-loop/sessions/{os.environ['NETRA_LOOP_SESSION']}/cloud/cloud.json")
channel = grpc.insecure_channel(json.loads(where.read_text())["endpoint"])
name = "projects/PROJECT/locations/REGION/services/backend"
revisions = run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel))
services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
service = services.get_service(name=name)
oldest = min(revisions.list_revisions(parent=name), key=lambda one: one.create_time)
first = oldest.name.rpartition("/")[2]
service.traffic = [target for target in service.traffic if target.tag != "old"]
service.traffic.append(run_v2.TrafficTarget(type_=2, revision=first, percent=0, tag="old"))
(url,) = [one.uri for one in services.update_service(service=service).result().traffic_statuses if one.tag == "old"]
Path("old-url").write_text(url)
'''
TESTS = """
import os, pathlib, urllib.request
OLD = pathlib.Path("old-url").read_text()
NEW = os.environ["NETRA_LOOP_URL"]
def ask(url):
    with urllib.request.urlopen(url + "/health") as answer:
        assert answer.status == 200
def test_new(): ask(NEW)
def test_old(): ask(OLD)
def test_both():
    ask(OLD)
    ask(NEW)
"""


@pytest.fixture
def revisions(demo):
    """A loop whose service has had a revision before, which still answers at a tag."""
    (demo.folder / "tests").mkdir()
    (demo.folder / "tests" / "test_it.py").write_text(TESTS)
    (demo.folder / "loops" / "tag.py").write_text(TAG.replace("PROJECT", "demo").replace("REGION", "local"))
    (demo.folder / "loops" / "revisions.yaml").write_text(LOOP.replace("PYTHON", sys.executable))
    return demo


def test_a_pass_that_another_revision_answered_to_any_part_is_fake(revisions):
    first = revisions.call("run", "revisions", "--plain")
    assert first.returncode == 0, first.stderr  # the first revision is the one under test, whatever it is called by
    done = revisions.call("run", "revisions", "--plain")
    assert done.returncode == 1, done.stderr
    told = {row["id"].rpartition("::")[2]: row for row in revisions.json("results", "latest")}
    assert told["test_new"]["authenticity"] == "real"
    for name in ("test_old", "test_both"):
        assert told[name]["authenticity"] == "fake"
        assert told[name]["reasons"][0] == "wrong-revision"
        assert told[name]["reasons"][1].startswith("answered by backend-00001-")
