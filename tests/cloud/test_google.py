"""The client against a real embedded cloud: what `cloud.base.Cloud` promises."""

import asyncio
import functools
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from google.cloud import run_v2

from netra_loop import processes
from netra_loop.clock import SystemClock
from netra_loop.cloud.base import Deployed, Failed, LogQuery
from netra_loop.cloud.google import CloudRun
from netra_loop.cloud.log_reads import ReadBudget
from netra_loop.errors import CloudCallFailed, ForeignChange


@pytest.fixture
async def cloud(endpoint):
    client = CloudRun(endpoint, "demo", "local", SystemClock(), reads=ReadBudget(SystemClock(), 10_000))
    yield client
    await client.close()


@pytest.fixture
def service(request):
    """A service of the test's own, in the cloud that all share."""
    return f"s{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture
def request_for(request_for, service):
    return functools.partial(request_for, service=service)


async def revisions(client, service):
    parent = f"projects/demo/locations/local/services/{service}"
    return [item.name async for item in await client._link.revisions.list_revisions(parent=parent, timeout=30)]


async def until_listed(client, service):
    async with asyncio.timeout(30):
        while not (found := await revisions(client, service)):
            await client._clock.sleep(0.01)
    return found


async def answer(url):
    async with httpx.AsyncClient() as http:
        return (await http.get(url)).json()


async def test_a_deploy_serves_at_its_url_under_its_name(cloud, request_for, progress, service):
    deployed = await cloud.deploy(request_for(), progress)
    assert isinstance(deployed, Deployed)
    assert not deployed.adopted
    revision = deployed.revision
    assert revision.name.startswith(f"{service}-00001-")
    assert revision.ws_url == revision.url.replace("http", "ws")
    assert (await answer(revision.url))["revision"] == revision.name
    assert await cloud.serving(service) == revision


async def test_nothing_serves_where_nothing_was_deployed(cloud, service):
    assert await cloud.serving(service) is None


async def test_repeating_a_deploy_adopts_its_revision(cloud, request_for, progress, service):
    first = await cloud.deploy(request_for(), progress)
    again = await cloud.deploy(request_for(), progress)
    assert again == replace(first, adopted=True)
    assert len(await revisions(cloud, service)) == 1


async def test_a_deploy_cut_off_in_the_middle_is_adopted(cloud, request_for, progress, service):
    request = request_for(command=("sh", "-c", "sleep 0.5; exec python app.py"))
    cut_off = asyncio.create_task(cloud.deploy(request, progress))
    await until_listed(cloud, service)
    cut_off.cancel()
    deployed = await cloud.deploy(request, progress)
    assert deployed.adopted
    assert len(await revisions(cloud, service)) == 1


async def test_the_next_iteration_is_a_new_revision_and_takes_the_traffic(
    cloud, request_for, progress, read_logs, service
):
    first = await cloud.deploy(request_for(), progress)
    second = await cloud.deploy(request_for(iteration=2), progress)
    assert second.revision.name.startswith(f"{service}-00002-")
    assert second.revision.url == first.revision.url
    assert (await answer(second.revision.url))["revision"] == second.revision.name


async def test_an_old_instance_ends_after_its_last_request(cloud, request_for, progress):
    first = (await cloud.deploy(request_for(), progress)).revision
    instance = processes.identify((await answer(first.url))["pid"])
    slow = asyncio.create_task(answer(first.url + "/slow"))
    await cloud.deploy(request_for(iteration=2), progress)
    assert (await slow)["revision"] == first.name
    async with asyncio.timeout(30):
        while processes.same(instance):
            await cloud._clock.sleep(0.02)


async def test_a_revision_that_dies_at_start_fails_at_once_with_its_last_lines(cloud, request_for, progress):
    failed = await cloud.deploy(request_for(command=("python", "-c", "print('no luck'); exit(3)")), progress)
    assert isinstance(failed, Failed)
    assert failed.reason == "HEALTH_CHECK_CONTAINER_ERROR"
    assert "failed to start and listen on the port" in failed.message
    assert "no luck" in failed.log_lines
    assert failed.log_lines[-1] == "WARNING: Container called exit(3)."


async def test_a_probe_that_never_passes_fails_the_revision_and_the_last_good_one_serves(
    cloud, request_for, progress, service
):
    good = await cloud.deploy(request_for(), progress)
    silent = ("python", "-c", "import time; time.sleep(300)")
    failed = await cloud.deploy(request_for(iteration=2, command=silent, probe_timeout_s=1.0), progress)
    assert "failed the configured startup probe checks" in failed.message
    again = await cloud.deploy(request_for(iteration=2, command=silent), progress)
    assert again == replace(failed, adopted=True)
    assert (await cloud.serving(service)).name == good.revision.name
    assert (await answer(good.revision.url))["revision"] == good.revision.name


@pytest.mark.parametrize("change", [{"command": ("no-such-program",)}, {"source": "/no/such/folder"}])
async def test_what_cannot_be_started_is_a_failed_revision(cloud, request_for, progress, change):
    failed = await cloud.deploy(request_for(**change), progress)
    assert isinstance(failed, Failed)
    assert "no-such-program" in failed.message or "/no/such/folder" in failed.message


async def test_somebody_elses_revision_is_named_and_left_alone(cloud, request_for, progress, service):
    ours = await cloud.deploy(request_for(), progress)
    theirs = await cloud.deploy(request_for(session="another", iteration=5), progress)
    with pytest.raises(ForeignChange) as caught:
        await cloud.deploy(request_for(), progress)
    assert (caught.value.expected, caught.value.found) == (ours.revision.name, theirs.revision.name)
    assert (await cloud.serving(service)).name == theirs.revision.name


async def test_a_refusal_names_call_code_and_next_step(cloud, request_for, progress):
    with pytest.raises(CloudCallFailed, match=r"reserved") as caught:
        await cloud.deploy(request_for(env={"K_SERVICE": "mine"}), progress)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "netra-loop validate" in caught.value.hint


async def test_a_cloud_that_is_not_there_is_an_environment_failure(tmp_path):
    client = CloudRun(f"unix:{tmp_path}/nobody.sock", "demo", "local", _HurriedClock())
    with pytest.raises(CloudCallFailed) as caught:
        await client.serving("backend")
    await client.close()
    assert caught.value.code == "UNAVAILABLE"


async def test_what_a_service_says_becomes_entries(cloud, request_for, progress, read_logs):
    revision = (await cloud.deploy(request_for(), progress)).revision
    await answer(revision.url + "/say")
    entries = await read_logs(cloud, revision.name, lambda entry: entry.log == "requests")
    said = {entry.log: entry for entry in entries if entry.log in {"stdout", "stderr", "requests"}}
    assert said["stdout"].severity == "NOTICE"
    assert said["stdout"].payload == {"message": "said", "revision": revision.name}
    assert said["stderr"].message == "on stderr"
    assert said["requests"].message == "GET /say 200"
    assert len(said["requests"].trace_id) == 32
    assert entries == sorted(entries, key=lambda entry: entry.timestamp)


async def test_of_a_service_the_request_log_of_every_revision_is_read(cloud, request_for, progress, read_logs, service):
    first = (await cloud.deploy(request_for(), progress)).revision
    await answer(first.url + "/say")
    await read_logs(cloud, first.name, lambda entry: entry.log == "requests")
    second = (await cloud.deploy(request_for(iteration=2), progress)).revision
    await answer(second.url + "/say")
    await read_logs(cloud, second.name, lambda entry: entry.log == "requests")
    since = datetime.now(UTC) - timedelta(minutes=5)

    async def read(*services):
        query = LogQuery((second.name,), since, severity="WARNING", services=services)
        return {(one.log, one.revision) async for page in cloud.entries(query) for one in page.entries}

    alone = await read()
    assert ("requests", second.name) in alone
    assert {revision for _, revision in alone} == {second.name}
    assert await read(service) == alone | {("requests", first.name)}


async def test_a_crashed_instance_comes_back_with_the_next_request(cloud, request_for, progress, read_logs):
    revision = (await cloud.deploy(request_for(), progress)).revision
    before = await answer(revision.url)
    async with httpx.AsyncClient() as http:
        assert (await http.get(revision.url + "/crash")).status_code == 503
    assert (await answer(revision.url))["pid"] != before["pid"]
    await read_logs(cloud, revision.name, lambda entry: entry.message == "Container called exit(7).")


async def test_a_tag_reaches_its_revision_whatever_the_traffic(cloud, request_for, progress, service):
    first = (await cloud.deploy(request_for(), progress)).revision
    await cloud.deploy(request_for(iteration=2), progress)
    found = await cloud._link.services.get_service(name=f"projects/demo/locations/local/services/{service}")
    found.traffic.append(run_v2.TrafficTarget(type_=2, revision=first.name, percent=0, tag="nl-old"))
    found = await (await cloud._link.services.update_service(service=found)).result()
    (url,) = [status.uri for status in found.traffic_statuses if status.tag == "nl-old"]
    assert (await answer(url))["revision"] == first.name
    assert len(await revisions(cloud, service)) == 2


class _HurriedClock(SystemClock):
    """Retries take no time, and the budget is soon used up."""

    def __init__(self):
        self._at = 0.0

    def monotonic(self):
        return self._at

    async def sleep(self, seconds):
        self._at += 10.0
