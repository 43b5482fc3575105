"""Changes as they are carried out: who serves, what is said while and after, what a failure leaves as it was."""

import asyncio

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.longrunning import operations_pb2

from netra_loop.clock import SystemClock

LATEST, REVISION = 1, 2
RECONCILING, FAILED, SUCCEEDED = 2, 3, 4
ENV = [{"name": "A", "value": "1"}]


def pinned(api, revision, **more):
    return {"type_": REVISION, "revision": f"{api.id}-{revision}", **more}


async def failed(updating):
    """The status of the operation that failed."""
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        await updating
    return caught.value.errors[0]


def conditions(resource):
    return {item.type_: item.state for item in resource.conditions}


async def revision(api, short):
    return await api.revisions.get_revision(name=f"{api.name}/revisions/{api.id}-{short}", timeout=30)


async def test_a_tag_has_a_url_of_its_own_and_takes_no_traffic(api):
    await api.update(template={"revision": f"{api.id}-one"})
    traffic = [pinned(api, "one", percent=100), pinned(api, "two", tag="nl-abcd-2")]
    service = await api.update(template={"revision": f"{api.id}-two"}, container={"env": ENV}, traffic=traffic)
    main, tagged = service.traffic_statuses
    assert (main.uri, tagged.percent, tagged.tag) == ("", 0, "nl-abcd-2")
    assert tagged.uri not in {"", service.uri}
    assert (await api.answer(tagged.uri))["revision"] == f"{api.id}-two"
    assert (await api.answer(service.uri))["revision"] == f"{api.id}-one"
    service = await api.update(container={"env": ENV}, traffic=[pinned(api, "two", percent=100)])
    assert (await api.answer(service.uri))["revision"] == f"{api.id}-two"
    assert [item.tag for item in service.traffic_statuses] == [""]
    assert conditions(await revision(api, "one"))["Active"] == FAILED
    assert conditions(await revision(api, "one"))["Ready"] == SUCCEEDED


async def test_traffic_is_split_by_percent(api):
    await api.update(template={"revision": f"{api.id}-one"})
    traffic = [pinned(api, "one", percent=50), pinned(api, "two", percent=50)]
    service = await api.update(template={"revision": f"{api.id}-two"}, container={"env": ENV}, traffic=traffic)
    seen = {(await api.answer(service.uri))["revision"] for _ in range(24)}
    assert seen == {f"{api.id}-one", f"{api.id}-two"}


async def test_a_revision_that_fails_leaves_what_served(api):
    good = await api.update(template={"revision": f"{api.id}-one"})
    status = await failed(api.update(template={"revision": f"{api.id}-two"}, container={"command": ["false"]}))
    assert status.code == 9
    assert f"Revision '{api.id}-two' is not ready and cannot serve traffic. " in status.message
    assert "failed to start and listen on the port defined provided by the PORT=8080" in status.message
    service = await api.services.get_service(name=api.name, timeout=30)
    assert service.latest_ready_revision == good.latest_ready_revision
    assert service.latest_created_revision == f"{api.name}/revisions/{api.id}-two"
    assert (service.generation, service.observed_generation, service.reconciling) == (2, 1, False)
    assert service.terminal_condition.state == FAILED
    assert service.terminal_condition.message == status.message
    assert conditions(service) == {"RoutesReady": SUCCEEDED, "ConfigurationsReady": FAILED}
    assert (await api.answer(service.uri))["revision"] == f"{api.id}-one"
    bad = await revision(api, "two")
    assert conditions(bad)["ContainerHealthy"] == conditions(bad)["Ready"] == FAILED
    assert {item.revision_reason.name for item in bad.conditions if item.state == FAILED} == {
        "HEALTH_CHECK_CONTAINER_ERROR"
    }


async def test_traffic_to_a_revision_that_failed_does_not_move(api):
    await api.update(template={"revision": f"{api.id}-one"})
    await failed(api.update(template={"revision": f"{api.id}-two"}, container={"command": ["false"]}))
    status = await failed(api.update(container={"command": ["false"]}, traffic=[pinned(api, "two", percent=100)]))
    assert "is not ready and cannot serve traffic" in status.message
    service = await api.services.get_service(name=api.name, timeout=30)
    assert (await api.answer(service.uri))["revision"] == f"{api.id}-one"


async def test_while_a_revision_starts_the_change_is_not_observed(api):
    asked = api.service(container={"command": ["sh", "-c", "sleep 0.3; exec python app.py"]})
    request = run_v2.UpdateServiceRequest(service=asked, allow_missing=True)
    operation = await api.services.update_service(request, timeout=30)
    service = await api.services.get_service(name=api.name, timeout=30)
    assert (service.generation, service.observed_generation, service.reconciling) == (1, 0, True)
    assert (service.latest_ready_revision, list(service.traffic_statuses)) == ("", [])
    assert service.terminal_condition.state == RECONCILING
    started = await api.revisions.get_revision(name=service.latest_created_revision, timeout=30)
    assert started.reconciling
    assert conditions(started)["Ready"] == RECONCILING
    assert (await api.result(operation)).observed_generation == 1


@pytest.mark.parametrize("code", [9, 13])
async def test_the_status_of_a_failed_deploy_is_the_one_asked_for(odd, turnable, code):
    turnable.turn(lro_error_code=code)
    assert (await failed(odd.update(container={"command": ["false"]}))).code == code


async def test_an_image_that_is_not_there_is_missing_and_one_that_is_known_runs(odd, turnable):
    image = "us-docker.pkg.dev/demo/app/backend:1"
    assert f"Image '{image}' not found" in (await failed(odd.update(container={"image": image}))).message
    newest = (await odd.services.get_service(name=odd.name, timeout=30)).latest_created_revision
    found = await odd.revisions.get_revision(name=newest, timeout=30)
    assert {item.reason.name for item in found.conditions if item.state == FAILED} == {"CONTAINER_MISSING"}
    turnable.turn(images=[image])
    assert (await odd.update(container={"image": image, "env": ENV})).terminal_condition.state == SUCCEEDED


async def test_an_image_that_the_platform_may_not_read(odd, turnable):
    turnable.turn(deny=["service-agent/artifactregistry.repositories.downloadArtifacts"])
    message = (await failed(odd.update(container={"image": "us-docker.pkg.dev/demo/app/backend:1"}))).message
    assert "must have permission to read the image" in message


@pytest.mark.parametrize(
    ("permission", "message"),
    [
        ("iam.serviceaccounts.actAs", "denied on service account me@demo.iam.gserviceaccount.com"),
        (
            "artifactregistry.repositories.downloadArtifacts",
            "denied on resource 'us-docker.pkg.dev/demo/app/backend:1'",
        ),
    ],
)
async def test_what_the_deployer_may_not_do_is_refused_at_once(odd, turnable, permission, message):
    turnable.turn(deny=[permission])
    changes = {"container": {"image": "us-docker.pkg.dev/demo/app/backend:1"}}
    with pytest.raises(exceptions.PermissionDenied, match=f"Permission '{permission}' {message}"):
        await odd.update(template={"service_account": "me@demo.iam.gserviceaccount.com"}, **changes)


GREEDY = "held = bytearray(300 * 2**20)\nimport time\ntime.sleep(60)\n"


async def test_an_instance_that_takes_too_much_memory_is_ended(api):
    limits = {"resources": {"limits": {"memory": "128Mi"}}}
    message = (await failed(api.update(container={"command": ["python", "-c", GREEDY], **limits}))).message
    assert "ran out of memory" in message
    assert "Memory limit of 128 MiB exceeded with " in message


def from_secret(name, version):
    return [{"name": "KEY", "value_source": {"secret_key_ref": {"secret": name, "version": version}}}]


@pytest.mark.parametrize(("version", "value"), [("latest", "new"), ("1", "old")])
async def test_a_variable_is_taken_from_a_secret(odd, version, value):
    command = ["sh", "-c", f'test "$KEY" = {value} && exec python app.py']
    service = await odd.update(container={"command": command, "env": from_secret("key", version)})
    assert service.terminal_condition.state == SUCCEEDED
    assert service.template.containers[0].env[0].value == ""


@pytest.mark.parametrize(
    ("deny", "name", "said"),
    [
        ([], "none", "Secret projects/demo/secrets/none/versions/latest was not found"),
        (["secretmanager.versions.access"], "key", "Permission denied on secret"),
    ],
)
async def test_a_secret_that_cannot_be_read_fails_the_revision(odd, turnable, deny, name, said):
    turnable.turn(deny=deny)
    assert said in (await failed(odd.update(container={"env": from_secret(name, "latest")}))).message
    service = await odd.services.get_service(name=odd.name, timeout=30)
    assert service.terminal_condition.reason.name == "SECRETS_ACCESS_CHECK_FAILED"


async def test_latest_ready_may_lag_behind_a_revision_that_is_ready(odd, turnable):
    await odd.update(template={"revision": f"{odd.id}-one"})
    turnable.turn(lagging_latest_ready_ms=700)
    service = await odd.update(template={"revision": f"{odd.id}-two"}, container={"env": ENV})
    assert (service.latest_ready_revision[-3:], service.latest_created_revision[-3:]) == ("one", "two")
    assert (service.reconciling, service.terminal_condition.state) == (False, SUCCEEDED)
    assert conditions(await revision(odd, "two"))["Ready"] == SUCCEEDED
    clock = SystemClock()
    while (await odd.answer(service.uri))["revision"] != f"{odd.id}-two":
        await clock.sleep(0.05)
    assert (await odd.services.get_service(name=odd.name, timeout=30)).latest_ready_revision.endswith("-two")


async def test_a_wait_may_return_early_and_operations_may_be_lost(odd, turnable):
    turnable.turn(wait_returns_early=True, cold_start_ms=1500)
    request = run_v2.UpdateServiceRequest(service=odd.service(), allow_missing=True)
    operation = (await odd.services.update_service(request, timeout=30)).operation
    waiting = operations_pb2.WaitOperationRequest(name=operation.name)
    answered = operations_pb2.Operation.FromString(await odd.services.wait_operation(waiting, timeout=30))
    assert not answered.done
    turnable.turn(lose_operations=True)
    with pytest.raises(exceptions.NotFound):
        await odd.services.get_operation(operations_pb2.GetOperationRequest(name=operation.name), timeout=30)


async def test_a_service_that_is_deleted_while_it_starts_is_gone(api):
    asked = api.service(container={"command": ["sh", "-c", "sleep 0.3; exec python app.py"]})
    request = run_v2.UpdateServiceRequest(service=asked, allow_missing=True)
    operation = await api.services.update_service(request, timeout=30)
    await (await api.services.delete_service(name=api.name)).result()
    assert "deleted" in (await failed(api.result(operation))).message
    with pytest.raises(exceptions.NotFound):
        await api.services.get_service(name=api.name, retry=None)


async def test_requests_beyond_an_instances_places_get_another_instance(api):
    template = {"max_instance_request_concurrency": 1, "scaling": {"max_instance_count": 2}}
    service = await api.update(template=template)
    answers = await asyncio.gather(*(api.answer(f"{service.uri}/slow") for _ in range(5)))
    assert len({answer["pid"] for answer in answers}) == 2
