"""The embedded cloud as a process: what a kill leaves, what comes back, what never stays."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from netra_loop import processes
from netra_loop.clock import SystemClock
from netra_loop.cloud.embedded.instance import MARK
from netra_loop.cloud.embedded.launch import start_embedded
from netra_loop.cloud.google import CloudRun
from netra_loop.errors import EnvironmentFailed

OWNER = """
import asyncio, sys
from pathlib import Path
from netra_loop.cloud.embedded.instance import MARK
from netra_loop.cloud.embedded.launch import start_embedded
async def main():
    cloud = await start_embedded(Path(sys.argv[1]))
    print(cloud.endpoint, cloud.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def start_owner(folder):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE)
    with owner.stdout:
        endpoint, pid = owner.stdout.readline().decode().split()
    return owner, endpoint, int(pid)


def client_of(embedded):
    return CloudRun(embedded.endpoint, "demo", "local", SystemClock())


async def answer(url):
    async with httpx.AsyncClient(timeout=20) as http:
        return (await http.get(url)).json()


async def outliving(*pids, within_s=30.0):
    """Those that are still there after so long."""
    known = [identity for identity in map(processes.identify, pids) if identity is not None]
    end = time.monotonic() + within_s
    while (left := [one.pid for one in known if processes.same(one)]) and time.monotonic() < end:  # noqa: ASYNC110 - an end tells nobody
        await asyncio.sleep(0.02)
    return left


async def test_after_a_kill_the_serving_revision_is_back_and_its_logs_are_there(
    tmp_path, request_for, progress, read_logs
):
    embedded = await start_embedded(tmp_path / "cloud")
    client = client_of(embedded)
    revision = (await client.deploy(request_for(), progress)).revision
    before = await answer(revision.url + "/say")
    await read_logs(client, revision.name, lambda entry: entry.message == "on stderr")
    await client.close()
    os.kill(embedded.pid, signal.SIGKILL)
    assert await outliving(embedded.pid, before["pid"]) == []

    embedded = await start_embedded(tmp_path / "cloud")
    client = client_of(embedded)
    assert await client.serving("backend") == revision
    after = await answer(revision.url)
    assert after["revision"] == revision.name
    assert processes.identify(before["child"]) is None
    assert any(entry.message == "on stderr" for entry in await read_logs(client, revision.name))
    assert (await client.deploy(request_for(), progress)).adopted
    await client.close()
    await embedded.stop(grace_s=2.0)
    assert await outliving(after["pid"], after["child"], within_s=10) == []


async def test_a_deploy_goes_on_where_a_kill_cut_it_off(tmp_path, request_for, progress):
    request = request_for(command=("sh", "-c", "sleep 0.5; exec python app.py"))
    embedded = await start_embedded(tmp_path / "cloud")
    client = client_of(embedded)
    deploying = asyncio.create_task(client.deploy(request, progress))
    while not processes.carrying(MARK, str(tmp_path / "cloud")):
        await client._clock.sleep(0.01)
    os.kill(embedded.pid, signal.SIGKILL)
    deploying.cancel()
    await client.close()

    embedded = await start_embedded(tmp_path / "cloud")
    client = client_of(embedded)
    deployed = await client.deploy(request, progress)
    assert deployed.adopted
    assert (await answer(deployed.revision.url))["revision"] == deployed.revision.name
    await client.close()
    await embedded.stop(grace_s=0)


async def test_the_death_of_the_owner_ends_everything(tmp_path, request_for, progress):
    owner, endpoint, pid = start_owner(tmp_path / "cloud")
    client = CloudRun(endpoint, "demo", "local", SystemClock())
    revision = (await client.deploy(request_for(), progress)).revision
    instance = await answer(revision.url)
    await client.close()
    owner.kill()
    owner.wait()
    assert await outliving(pid, instance["pid"], instance["child"]) == []


async def test_a_folder_that_a_living_owner_holds_is_refused(tmp_path):
    owner, _, _ = start_owner(tmp_path / "cloud")
    with pytest.raises(EnvironmentFailed, match=f"belongs to process {owner.pid}"):
        await start_embedded(tmp_path / "cloud")
    await processes.end_tree(owner.pid, term_grace_s=0)
    owner.wait()


async def test_a_seed_hands_on_revisions_and_numbers(tmp_path, request_for, progress):
    embedded = await start_embedded(tmp_path / "one")
    client = client_of(embedded)
    old = (await client.deploy(request_for(), progress)).revision
    await client.close()
    await embedded.stop(grace_s=0)

    embedded = await start_embedded(tmp_path / "two", seed=tmp_path / "one/resources.json")
    client = client_of(embedded)
    serving = await client.serving("backend")
    assert serving.name == old.name
    assert (await answer(serving.url))["revision"] == old.name
    new = (await client.deploy(request_for(session="the-next-one"), progress)).revision
    assert new.name != old.name
    await client.close()
    await embedded.stop(grace_s=0)


async def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path):
    embedded = await start_embedded(tmp_path / ("long" * 30))
    path = Path(embedded.endpoint.removeprefix("unix:"))
    assert len(str(path)) < 107
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await embedded.stop()
    assert not path.parent.exists()


async def test_an_instance_that_ignores_sigterm_is_killed_in_the_time_given(tmp_path, request_for, progress, source):
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + (source / "app.py").read_text()
    (source / "app.py").write_text(stubborn)
    embedded = await start_embedded(tmp_path / "cloud")
    client = client_of(embedded)
    instance = await answer((await client.deploy(request_for(), progress)).revision.url)
    await client.close()
    before = time.monotonic()
    await embedded.stop(grace_s=0.3)
    assert time.monotonic() - before < 30
    assert await outliving(instance["pid"], within_s=10) == []


async def test_a_folder_that_holds_something_else_is_said(tmp_path):
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud/resources.json").write_text('{"version": 99}')
    with pytest.raises(EnvironmentFailed, match="holds no resources of version 2 or older"):
        await start_embedded(tmp_path / "cloud")


SAYS = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([os.environ.get("DB_PASSWORD"), os.environ["MODE"], *sys.argv[1:]]).encode())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def test_what_comes_back_is_given_what_was_declared_or_does_not_start(tmp_path, request_for, progress, source):
    (source / "says.py").write_text(SAYS)
    given = {"DB_PASSWORD": "open-sesame-1", "MODE": "my-open-sesame-1x"}
    declared = {f"services.backend.env.{name}": value for name, value in given.items()}
    declared |= {"services.backend.command.2": "--key=open-sesame-1"}
    hidden = {"everywhere": ["open-sesame-1"], "named": [], "kept": []}

    async def said(withheld: dict[str, str | None], deploy: bool = False) -> httpx.Response:
        embedded = await start_embedded(tmp_path / "cloud", hidden=hidden, withheld=withheld)
        client = client_of(embedded)
        request = request_for(command=("python", "says.py", "--key=open-sesame-1"), env=given)
        serving = (await client.deploy(request, progress)).revision if deploy else await client.serving("backend")
        async with httpx.AsyncClient(timeout=20) as http:
            answered = await http.get(serving.url)
        await client.close()
        await embedded.stop(grace_s=0)
        return answered

    assert (await said(declared, deploy=True)).json() == [*given.values(), "--key=open-sesame-1"]
    kept = [path for path in (tmp_path / "cloud").rglob("*") if path.is_file()]
    assert [path for path in kept if b"open-sesame" in path.read_bytes()] == []
    assert (await said(declared)).json() == [*given.values(), "--key=open-sesame-1"]
    refused = await said(declared | {"services.backend.env.DB_PASSWORD": None})
    assert refused.status_code == 503
    assert "The value of services.backend.env.DB_PASSWORD is a secret" in refused.text
    assert (await said(declared)).json() == [*given.values(), "--key=open-sesame-1"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_an_end_that_nobody_asked_for_is_known_once_a_request_is_lost_over_it(
    tmp_path, request_for, progress, number
):
    embedded = await start_embedded(tmp_path / "cloud")
    client = client_of(embedded)
    url = (await client.deploy(request_for(), progress)).revision.url
    async with httpx.AsyncClient(timeout=20) as http:
        assert (await http.get(url + "/crash")).status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert embedded.gone() is None  # an instance that ends by itself is the product's doing
    os.kill(embedded.pid, number)
    with contextlib.suppress(httpx.HTTPError, ValueError):
        while True:
            await answer(url)
    assert embedded.gone() is not None
    await embedded.until_gone()
    await client.close()
    await embedded.stop(grace_s=0)
