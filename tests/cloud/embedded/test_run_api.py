"""The Admin API through Google's own client: what it answers, what it refuses."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

PARENT = "projects/demo/locations/local"
LATEST, REVISION = 1, 2
FAILED = run_v2.Condition.State.CONDITION_FAILED
SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED


async def test_a_service_that_was_carried_out(api):
    service = await api.update(template={"labels": {"team": "a"}})
    assert service.terminal_condition.state == SUCCEEDED
    assert service.latest_ready_revision == service.latest_created_revision
    assert service.generation == service.observed_generation == 1
    assert not service.reconciling
    assert [(item.type_, item.percent) for item in service.traffic_statuses] == [(LATEST, 100)]
    revision = await api.revisions.get_revision(name=service.latest_ready_revision, timeout=30)
    assert dict(revision.labels) == {"team": "a"}
    assert {item.type_: item.state for item in revision.conditions}["Ready"] == SUCCEEDED


async def test_no_change_makes_no_revision(api):
    first = await api.update()
    second = await api.update()
    assert first.latest_created_revision == second.latest_created_revision
    assert first.etag != second.etag
    assert len(await api.revision_names()) == 1


async def test_a_changed_template_makes_the_next_revision(api):
    await api.update()
    await api.update(container={"env": [{"name": "A", "value": "1"}]})
    newest, oldest = await api.revision_names()
    assert newest.startswith(f"{api.id}-00002-")
    assert oldest.startswith(f"{api.id}-00001-")


async def test_a_chosen_name_is_kept_and_cannot_be_used_for_something_else(api):
    await api.update(template={"revision": f"{api.id}-mine"})
    assert await api.revision_names() == [f"{api.id}-mine"]
    with pytest.raises(exceptions.AlreadyExists, match="with different configuration already exists"):
        await api.update(template={"revision": f"{api.id}-mine"}, container={"env": [{"name": "A", "value": "1"}]})


async def test_an_old_etag_is_refused(api):
    old = (await api.update()).etag
    await api.update(description="changed")
    with pytest.raises(exceptions.Aborted, match="current version"):
        await api.update(etag=old)


async def test_traffic_is_split_by_revision_and_pinned(api):
    await api.update(template={"revision": f"{api.id}-one"})
    pinned = [{"type_": REVISION, "revision": f"{api.id}-one", "percent": 100}]
    service = await api.update(template={"revision": f"{api.id}-two"}, traffic=pinned)
    assert service.latest_ready_revision.endswith("-two")
    assert [(item.revision, item.percent) for item in service.traffic_statuses] == [(f"{api.id}-one", 100)]


async def test_a_create_of_what_exists_is_refused(api):
    await api.update()
    with pytest.raises(exceptions.AlreadyExists):
        await api.services.create_service(parent=PARENT, service_id=api.id, service=api.service())


async def test_an_update_of_what_does_not_exist_is_refused(api):
    with pytest.raises(exceptions.NotFound):
        await api.services.update_service(service=api.service())


async def test_a_deleted_service_is_gone_with_its_revisions(api):
    await api.update()
    await (await api.services.delete_service(name=api.name)).result()
    with pytest.raises(exceptions.NotFound):
        await api.services.get_service(name=api.name, retry=None)
    assert await api.revision_names() == []


async def test_the_serving_revision_cannot_be_deleted_but_an_old_one_can(api):
    await api.update(template={"revision": f"{api.id}-one"})
    await api.update(template={"revision": f"{api.id}-two"})
    with pytest.raises(exceptions.FailedPrecondition, match="can receive traffic"):
        await api.revisions.delete_revision(name=f"{api.name}/revisions/{api.id}-two", timeout=30)
    await api.revisions.delete_revision(name=f"{api.name}/revisions/{api.id}-one", timeout=30)
    assert await api.revision_names() == [f"{api.id}-two"]


async def test_services_are_listed_page_by_page(api):
    await api.update()
    pages = await api.services.list_services(run_v2.ListServicesRequest(parent=PARENT, page_size=1))
    assert api.name in [service.name async for service in pages]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "backend"}, "malformed name"),
        ({"name": f"{PARENT}/services/Upper"}, "service id"),
        ({"name": f"{PARENT}/services/{'x' * 50}"}, "service id"),
        ({"container": {"env": [{"name": "PORT", "value": "1"}]}}, "reserved"),
        ({"container": {"env": [{"name": "CLOUD_RUN_X", "value": "1"}]}}, "reserved"),
        ({"container": {"env": [{"name": "A"}, {"name": "A"}]}}, "given twice"),
        ({"container": {"image": ""}}, "image is empty"),
        ({"container": {"command": []}}, "command is empty"),
        ({"container": {"startup_probe": {"period_seconds": 10, "failure_threshold": 25}}}, "at most 240"),
        ({"container": {"startup_probe": {"period_seconds": 1, "timeout_seconds": 2}}}, "at most its period"),
        ({"container": {"env": [{"name": "A", "value_source": {"secret_key_ref": {"secret": "s"}}}]}}, "a version"),
        ({"container": {"ports": [{"container_port": 70000}]}}, "1 to 65535"),
        ({"container": {"ports": [{"container_port": 80}, {"container_port": 81}]}}, "at most 1"),
        ({"container": {"ports": [{"name": "h2c", "container_port": 80}]}}, "http1 only"),
        ({"container": {"resources": {"limits": {"memory": "64Mi"}}}}, "128Mi to 32Gi"),
        ({"container": {"resources": {"limits": {"cpu": "3"}}}}, "1, 2, 4, 6, 8"),
        ({"container": {"resources": {"limits": {"disk": "1Gi"}}}}, "'disk'"),
        ({"container": {"liveness_probe": {"period_seconds": 1, "timeout_seconds": 2}}}, "at most its period"),
        ({"template": {"max_instance_request_concurrency": 1001}}, "0 to 1000"),
        ({"template": {"scaling": {"min_instance_count": 3, "max_instance_count": 2}}}, "at most max_instance_count"),
        ({"template": {"volumes": [{"name": "v"}]}}, "mounts none"),
        ({"template": {"labels": {f"k{number}": "" for number in range(65)}}}, "at most 64"),
        ({"template": {"annotations": {"serving.knative.dev/x": "y"}}}, "belongs to the platform"),
        ({"description": "x" * 513}, "at most 512"),
        ({"template": {"containers": []}}, "runs exactly 1"),
        ({"template": {"revision": "other-1"}}, "template.revision"),
        ({"template": {"timeout": {"seconds": 3601}}}, "at most 3600"),
        ({"template": {"labels": {"Upper": "x"}}}, "template.labels"),
        ({"labels": {"run.googleapis.com": "x"}}, "service.labels"),
        ({"annotations": {"run.googleapis.com/x": "y"}}, "belongs to the platform"),
        ({"traffic": [{"type_": LATEST, "percent": 99}]}, "add up to 99"),
        ({"traffic": [{"percent": 100}]}, "has no type"),
        ({"traffic": [{"type_": LATEST, "percent": 101}, {"type_": LATEST, "percent": -1}]}, "101 percent"),
        ({"traffic": [{"type_": LATEST, "percent": n, "tag": "t"} for n in (40, 60)]}, "used twice"),
        ({"traffic": [{"type_": LATEST, "percent": 100, "tag": "t" * 40}]}, "at most 46"),
        ({"traffic": [{"type_": REVISION, "percent": 100}]}, "exactly where the type is REVISION"),
        ({"traffic": [{"type_": LATEST, "percent": 100, "tag": "Bad_Tag"}]}, "tag 'Bad_Tag'"),
    ],
)
async def test_what_the_real_api_refuses_is_refused(api, changes, complaint):
    with pytest.raises(exceptions.InvalidArgument, match=complaint):
        await api.update(**changes)


async def test_a_revision_name_of_more_than_63_is_refused(api):
    with pytest.raises(exceptions.InvalidArgument, match="at most 63"):
        await api.update(template={"revision": f"{api.id}-{'x' * 60}"})


async def test_less_than_a_cpu_takes_one_request_at_a_time(api):
    template = {"max_instance_request_concurrency": 2}
    with pytest.raises(exceptions.InvalidArgument, match="concurrency > 1"):
        await api.update(template=template, container={"resources": {"limits": {"cpu": "500m"}}})


async def test_a_mask_changes_only_what_it_names(api):
    before = await api.update(description="kept", template={"revision": f"{api.id}-one"})
    traffic = [{"type_": REVISION, "revision": f"{api.id}-one", "percent": 100}]
    asked = run_v2.Service({"name": api.name, "traffic": traffic, "description": "not asked for"})
    operation = await api.services.update_service(service=asked, update_mask={"paths": ["traffic"]}, timeout=10)
    after = await api.result(operation)
    assert (after.description, after.latest_created_revision) == ("kept", before.latest_created_revision)
    assert [item.revision for item in after.traffic_statuses] == [f"{api.id}-one"]


@pytest.mark.parametrize("path", ["uri", "nonsense", "template.nonsense"])
async def test_a_mask_of_what_cannot_be_changed_is_refused(api, path):
    await api.update()
    with pytest.raises(exceptions.InvalidArgument, match="update_mask"):
        await api.services.update_service(service=api.service(), update_mask={"paths": [path]}, timeout=10)


async def test_traffic_to_a_revision_that_is_not_there_is_refused(api):
    traffic = [{"type_": REVISION, "revision": f"{api.id}-none", "percent": 100}]
    with pytest.raises(exceptions.GoogleAPICallError, match="does not exist or is deleted") as caught:
        await api.update(traffic=traffic)
    assert caught.value.errors[0].code == 9
    service = await api.services.get_service(name=api.name, timeout=5)
    assert service.terminal_condition.state == FAILED
    assert {item.type_: item.state for item in service.conditions} == {"RoutesReady": FAILED, "ConfigurationsReady": 4}
