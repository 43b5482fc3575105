"""Clients on the embedded cloud that all tests share, and on one whose knobs a test may turn."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import httpx
import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.longrunning import operations_pb2

from netra_loop import processes
from netra_loop.cloud.embedded.files import read_json, write_json
from netra_loop.cloud.embedded.instance import MARK, SERVER_ONLY
from netra_loop.cloud.embedded.knobs import FILE, set_knobs

PARENT = "projects/demo/locations/local"


class Api:
    """The clients, and shorthands for one service."""

    def __init__(self, channel, service):
        self.services = run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel))
        self.revisions = run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel))
        self.id = service
        self.name = f"{PARENT}/services/{service}"

    def service(self, **changes):
        container = {"image": "embedded://x", "command": ["python", "app.py"], "working_dir": self.source}
        container |= changes.pop("container", {})
        template = {"containers": [container], **changes.pop("template", {})}
        return run_v2.Service({"name": self.name, "template": template, **changes})

    async def update(self, **changes):
        asked = self.service(**changes)
        operation = await self.services.update_service(
            run_v2.UpdateServiceRequest(service=asked, allow_missing=True), timeout=30
        )
        return await self.result(operation)

    async def result(self, operation):
        """What the operation came to. Not the client's own waiting, which sleeps up to a second between its looks."""
        waiting = operations_pb2.WaitOperationRequest(name=operation.operation.name)
        ended = operations_pb2.Operation.FromString(await self.services.wait_operation(waiting, timeout=60))
        if ended.HasField("error"):
            raise exceptions.GoogleAPICallError(ended.error.message, errors=[ended.error])
        return run_v2.Service.deserialize(ended.response.value)

    async def revision_names(self):
        pages = await self.revisions.list_revisions(parent=self.name, timeout=30)
        return [revision.name.rpartition("/")[2] async for revision in pages]

    async def answer(self, url):
        async with httpx.AsyncClient(timeout=20) as http:
            return (await http.get(url)).json()


@dataclass(frozen=True)
class Turnable:
    """An embedded cloud of its own, with a secret `key` of two versions."""

    endpoint: str
    folder: Path

    def turn(self, **values):
        set_knobs(self.folder, **values)

    @property
    def metadata(self):
        return read_json(self.folder / "cloud.json")["metadata"]


@pytest.fixture(scope="session")
def turnable_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turnable")
    command = [sys.executable, "-m", "netra_loop.cloud.embedded", "--state", str(folder), "--secrets-stdin"]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | SERVER_ONLY, text=True
    )
    with server.stdin:
        server.stdin.write(json.dumps({"key:1": "old", "key:2": "new"}))
    with server.stdout:
        yield Turnable(json.loads(server.stdout.readline())["endpoint"], folder)
    server.terminate()
    assert server.wait(timeout=20) == 0
    assert processes.carrying(MARK, str(folder)) == []


@pytest.fixture
def turnable(turnable_server):
    """All knobs as they were when the test ends."""
    yield turnable_server
    write_json(turnable_server.folder / FILE, {}, durable=False)


@pytest.fixture
async def api(endpoint, request, source):
    async with grpc.aio.insecure_channel(endpoint) as channel:
        made = Api(channel, f"a{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}")
        made.source = str(source)
        yield made


@pytest.fixture
async def odd(turnable, request, source):
    """Like `api`, on the cloud whose knobs can be turned."""
    async with grpc.aio.insecure_channel(turnable.endpoint) as channel:
        made = Api(channel, f"a{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}")
        made.source = str(source)
        yield made
