"""Every call is counted; those that a knob names are refused or spoiled, before or after their work."""

import grpc.aio
import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport

from netra_loop.cloud.embedded.calls import read_calls
from netra_loop.cloud.embedded.knobs import Failure, set_knobs
from netra_loop.cloud.embedded.launch import start_embedded

PARENT = "projects/demo/locations/local"
NAME = f"{PARENT}/services/backend"


@pytest.fixture
async def services(tmp_path):
    embedded = await start_embedded(tmp_path, knobs={"empty_pages": 1})
    async with grpc.aio.insecure_channel(embedded.endpoint) as channel:
        client = run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel))
        client.folder = tmp_path
        yield client
    await embedded.stop(grace_s=0)


async def get(services):
    return await services.get_service(name=NAME, retry=None, timeout=30)


async def update(services):
    container = {"image": "embedded://x", "command": ["sleep", "60"], "working_dir": str(services.folder)}
    service = run_v2.Service({"name": NAME, "template": {"containers": [container]}})
    request = run_v2.UpdateServiceRequest(service=service, allow_missing=True)
    return await services.update_service(request, retry=None, timeout=30)


async def test_each_call_is_counted_before_it_is_answered(services):
    for _ in range(3):
        with pytest.raises(exceptions.NotFound):
            await get(services)
    assert read_calls(services.folder) == {"GetService": 3}


async def test_a_call_fails_as_often_as_it_was_told_and_then_works_again(services):
    set_knobs(services.folder, fail=[Failure("GetService", "UNAVAILABLE", times=2, skip=1, message="gone for a while")])
    seen = []
    for _ in range(4):
        with pytest.raises(exceptions.GoogleAPICallError) as caught:
            await get(services)
        seen.append(type(caught.value))
    assert seen == [exceptions.NotFound, *2 * [exceptions.ServiceUnavailable], exceptions.NotFound]
    assert read_calls(services.folder) == {"GetService": 4}


async def test_before_its_effect_nothing_happened_and_after_it_only_the_answer_is_lost(services):
    set_knobs(services.folder, fail=[{"call": "UpdateService"}])
    with pytest.raises(exceptions.ServiceUnavailable, match="injected UNAVAILABLE on UpdateService"):
        await update(services)
    with pytest.raises(exceptions.NotFound):
        await get(services)
    set_knobs(services.folder, fail=[{"call": "UpdateService", "code": "INTERNAL", "after_effect": True}])
    with pytest.raises(exceptions.InternalServerError):
        await update(services)
    assert (await get(services)).name == NAME


async def test_a_permission_that_is_missing_is_named_with_its_resource(services):
    set_knobs(services.folder, deny=["run.services.get"])
    with pytest.raises(exceptions.PermissionDenied, match=f"Permission 'run.services.get' denied on resource '{NAME}'"):
        await get(services)


async def test_a_file_of_knobs_that_is_none_is_said_with_each_call(services):
    (services.folder / "knobs.json").write_text('{"nonsense": 1}')
    with pytest.raises(exceptions.InternalServerError, match="unknown knob 'nonsense'"):
        await get(services)
