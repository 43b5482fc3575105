"""What a deploy is, wherever: the same calls must come to the same on the embedded cloud and on Google's."""

from dataclasses import replace

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from netra_loop.cloud.base import Deployed, Failed
from netra_loop.errors import CloudCallFailed


async def answers(url):
    async with httpx.AsyncClient(timeout=60) as http:
        return (await http.get(url)).status_code


async def found(place, service):
    link = await place.link()
    return await link.services.get_service(name=place.name(service), timeout=30)


async def test_nothing_is_there_before_it_is_deployed(cloud, service):
    assert await cloud.serving(service) is None
    assert await cloud.standing(service) is None


async def test_a_deploy_serves_and_is_settled(cloud, place, service, progress):
    deployed = await cloud.deploy(place.request(service), progress)
    assert isinstance(deployed, Deployed)
    assert deployed.revision.name.startswith(f"{service}-")
    assert await answers(deployed.revision.url) == 200
    assert await cloud.serving(service) == deployed.revision
    resource = await found(place, service)
    assert not resource.reconciling
    assert resource.generation == resource.observed_generation
    assert resource.latest_ready_revision == resource.latest_created_revision
    assert resource.terminal_condition.state.name == "CONDITION_SUCCEEDED"


async def test_the_same_intent_makes_one_revision(cloud, place, service, progress):
    first = await cloud.deploy(place.request(service), progress)
    again = await place.client().deploy(place.request(service), progress)
    assert again == replace(first, adopted=True)


async def test_the_next_iteration_is_another_revision_and_gets_the_traffic(cloud, place, service, progress):
    first = await cloud.deploy(place.request(service), progress)
    second = await cloud.deploy(place.request(service, iteration=2), progress)
    assert second.revision.name != first.revision.name
    assert (await cloud.serving(service)).name == second.revision.name


async def test_a_tagged_revision_waits_beside_what_serves_until_promoted(cloud, place, service, progress):
    first = (await cloud.deploy(place.request(service), progress)).revision
    tagged = (await cloud.deploy(place.request(service, iteration=2, tag="nl-abcd-2"), progress)).revision
    assert tagged.url != first.url
    assert await answers(tagged.url) == 200
    assert (await cloud.serving(service)).name == first.name
    assert (await cloud.serving(service, "nl-abcd-2")).name == tagged.name
    assert await cloud.route(service, tagged.name)
    assert (await cloud.serving(service)).name == tagged.name
    assert await cloud.untag(service, "nl-abcd-2")
    assert await cloud.serving(service, "nl-abcd-2") is None
    assert [(target.revision, target.percent) for target in (await cloud.standing(service)).targets] == [
        (tagged.name, 100)
    ]


async def test_a_failed_revision_says_why_and_leaves_what_served(cloud, place, service, progress):
    first = (await cloud.deploy(place.request(service), progress)).revision
    failed = await cloud.deploy(place.failing(service, iteration=2), progress)
    assert isinstance(failed, Failed)
    assert failed.reason
    assert failed.message
    assert failed.revision != first.name
    standing = await cloud.standing(service)
    assert (standing.serving, standing.latest_ready, standing.latest_created) == (
        first.name,
        first.name,
        failed.revision,
    )
    assert await answers(first.url) == 200


async def test_a_change_under_an_old_etag_is_refused(cloud, place, service, progress):
    await cloud.deploy(place.request(service), progress)
    link = await place.link()
    stale = await found(place, service)
    await cloud.deploy(place.request(service, iteration=2), progress)
    stale.description = "by somebody who looked too early"
    with pytest.raises((exceptions.Aborted, exceptions.FailedPrecondition)):
        await link.services.update_service(run_v2.UpdateServiceRequest(service=stale), timeout=30)
    assert (await found(place, service)).description == ""


async def test_a_revision_s_name_is_used_once(cloud, place, service, progress):
    await cloud.deploy(place.request(service), progress)
    link = await place.link()
    resource = await found(place, service)
    resource.etag = ""
    resource.template.revision = resource.latest_ready_revision.rpartition("/")[2]
    resource.template.containers[0].env.append(run_v2.EnvVar(name="CHANGED", value="1"))
    with pytest.raises((exceptions.AlreadyExists, exceptions.Aborted)):
        await link.services.update_service(run_v2.UpdateServiceRequest(service=resource), timeout=30)


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {"PORT": "1"}},
        {"env": {"K_SERVICE": "x"}},
        {"labels": {"run.googleapis.com/x": "y"}},
        {"concurrency": 1001},
        {"request_timeout_s": 3601.0},
    ],
    ids=str,
)
async def test_what_is_not_allowed_is_refused_and_nothing_is_made(cloud, place, service, progress, changes):
    with pytest.raises(CloudCallFailed) as caught:
        await cloud.deploy(place.request(service, **changes), progress)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert await cloud.standing(service) is None


async def test_a_name_that_is_none_is_refused(place):
    link = await place.link()
    asked = run_v2.Service(name=place.name("Not_A_Name"), template={"containers": [{"image": "embedded://x"}]})
    with pytest.raises(exceptions.InvalidArgument):
        await link.services.update_service(run_v2.UpdateServiceRequest(service=asked, allow_missing=True), timeout=30)
