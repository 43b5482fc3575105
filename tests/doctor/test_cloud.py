"""Tests of what a doctor says of the cloud: against a real embedded one, with permissions taken away."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netra_loop.clock import SystemClock
from netra_loop.cloud.base import DeployRequest
from netra_loop.cloud.embedded.knobs import set_knobs
from netra_loop.cloud.embedded.launch import EmbeddedCloud, start_embedded
from netra_loop.cloud.google import CloudRun
from netra_loop.doctor.base import Status
from netra_loop.doctor.cloud import cloud
from tests.doctor.conftest import lines

THERE = """
environments: {{e: {{cloud: google, project: demo, region: local, endpoint: "{endpoint}"}}}}
services: {{backend: {{command: [serve], image: "r-docker.pkg.dev/p/a:1", startup_probe: {{path: /}}}}}}
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedCloud]:
    running = await start_embedded(tmp_path / "state")
    yield running
    await running.stop(grace_s=0)


async def test_every_permission_is_given(subject, server):
    found = await lines(cloud, subject(THERE.format(endpoint=server.endpoint)))
    assert {line.status for line in found} == {Status.OK}
    assert "service backend is not there yet" in found[0].detail


async def test_each_permission_that_is_lacking_is_named_with_its_role(subject, server, tmp_path):
    set_knobs(tmp_path / "state", deny=["run.services.update", "run.revisions.list", "logging.logEntries.list"])
    failed = [
        line
        for line in await lines(cloud, subject(THERE.format(endpoint=server.endpoint)))
        if line.status is Status.FAIL
    ]
    assert {line.check for line in failed} == {
        "permission to deploy",
        "permission to list revisions",
        "permission to read logs",
    }
    assert all("add-iam-policy-binding demo" in line.mend for line in failed)


async def test_a_service_that_is_there_is_asked_itself(subject, server, tmp_path):
    client = CloudRun(server.endpoint, "demo", "local", SystemClock())
    script = (
        "import http.server, os; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['PORT']))"
    )
    await client.deploy(
        DeployRequest("backend", "night-1", 1, str(tmp_path), (sys.executable, "-c", script)), lambda _: None
    )
    await client.close()
    set_knobs(tmp_path / "state", deny=["run.services.update"])
    found = {line.check: line for line in await lines(cloud, subject(THERE.format(endpoint=server.endpoint)))}
    assert found["permissions on backend"].status is Status.FAIL
    assert found["permissions on backend"].detail == "we lack run.services.update"
    assert found["permissions on backend"].mend == (
        "gcloud projects add-iam-policy-binding demo --member=MEMBER --role=roles/run.developer"
    )
    assert found["clock"].status is Status.OK
    assert found["url of backend"].detail.endswith("answers 200")
    set_knobs(tmp_path / "state", protected=["backend"])
    found = {line.check: line for line in await lines(cloud, subject(THERE.format(endpoint=server.endpoint)))}
    assert found["url of backend"].status is Status.WARN
    assert "identity_token" in found["url of backend"].mend


async def test_nobody_at_the_endpoint(subject, unused_tcp_port):
    (line,) = await lines(cloud, subject(THERE.format(endpoint=f"http://127.0.0.1:{unused_tcp_port}")))
    assert (line.check, line.status) == ("cloud", Status.FAIL)
    assert "UNAVAILABLE" in line.detail


async def test_a_login_that_is_missing(subject, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    text = THERE.replace(', endpoint: "{endpoint}"', "").format()
    (line,) = await lines(cloud, subject(text))
    assert (line.check, line.status, line.mend) == (
        "credentials",
        Status.FAIL,
        "gcloud auth application-default login",
    )
