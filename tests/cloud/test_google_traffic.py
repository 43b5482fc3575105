"""Who gets the traffic: tags beside what serves, promotion, restoring, and changes of others."""

import asyncio

import httpx
import pytest
from google.cloud import run_v2

from netra_loop.cloud.base import Failed, Target
from netra_loop.cloud.google_targets import BY_NAME
from netra_loop.cloud.google_views import LATEST
from netra_loop.errors import CloudCallFailed, ForeignChange


@pytest.fixture
def cloud(connect, endpoint):
    return connect(endpoint)


async def answered_by(url):
    async with httpx.AsyncClient() as http:
        return (await http.get(url)).json()["revision"]


async def change(client, service, **fields):
    """What another operator does, with a tool of their own."""
    found = await client._link.services.get_service(name=client._resources.full_name(service))
    found.client = "gcloud"
    for name, value in fields.items():
        setattr(found, name, value)
    await (await client._link.services.update_service(service=found)).result()


async def test_a_tagged_revision_is_reached_at_its_tag_and_gets_no_traffic(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    second = (await cloud.deploy(ask(iteration=2, tag="nl-abcd-2"), progress)).revision
    assert second.tag == "nl-abcd-2"
    assert second.url != first.url
    assert await answered_by(second.url) == second.name
    assert await answered_by(first.url) == first.name
    assert await cloud.serving(service) == first
    assert await cloud.serving(service, "nl-abcd-2") == second
    assert await cloud.serving(service, "nl-abcd-3") is None
    standing = await cloud.standing(service)
    assert standing.targets == (Target(first.name, 100), Target(second.name, 0, "nl-abcd-2", second.url))
    assert (standing.serving, standing.latest_created) == (first.name, second.name)


async def test_the_first_revision_of_a_service_serves_though_it_is_tagged(cloud, ask, progress, service):
    only = (await cloud.deploy(ask(tag="nl-abcd-1"), progress)).revision
    assert only.tag == "nl-abcd-1"
    assert (await cloud.serving(service)).name == only.name


async def test_promotion_pins_the_traffic_and_takes_the_tag_off(cloud, ask, progress, service):
    await cloud.deploy(ask(), progress)
    second = (await cloud.deploy(ask(iteration=2, tag="nl-abcd-2"), progress)).revision
    assert await cloud.route(service, second.name, drop_tag="nl-abcd-2")
    assert not await cloud.route(service, second.name, drop_tag="nl-abcd-2")
    assert (await cloud.standing(service)).targets == (Target(second.name, 100),)
    assert await answered_by((await cloud.serving(service)).url) == second.name


async def test_a_tag_is_taken_off_once(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    await cloud.deploy(ask(iteration=2, tag="nl-abcd-2"), progress)
    assert await cloud.untag(service, "nl-abcd-2")
    assert not await cloud.untag(service, "nl-abcd-2")
    assert (await cloud.standing(service)).targets == (Target(first.name, 100),)
    assert not await cloud.untag("nobody", "nl-abcd-2")


async def test_a_tag_is_put_on_an_earlier_revision_and_the_traffic_stays(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    second = (await cloud.deploy(ask(iteration=2), progress)).revision
    url = await cloud.tag(service, first.name, "nl-abcd-1")
    assert await answered_by(url) == first.name
    assert await answered_by((await cloud.serving(service)).url) == second.name
    before = await cloud.standing(service)
    assert await cloud.tag(service, first.name, "nl-abcd-1") == url
    assert (await cloud.standing(service)).change == before.change
    assert await cloud.untag(service, "nl-abcd-1")
    assert (await cloud.standing(service)).targets == (Target(None, 100),)


async def test_a_tag_needs_a_revision_that_is_there(cloud, ask, progress, service):
    await cloud.deploy(ask(), progress)
    with pytest.raises(CloudCallFailed, match="there is no revision 'gone-00001-abc'"):
        await cloud.tag(service, "gone-00001-abc", "nl-abcd-1")


async def test_the_next_deploy_takes_the_traffic_back_from_a_pinned_revision(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    await cloud.deploy(ask(iteration=2), progress)
    assert await cloud.route(service, first.name)
    assert await answered_by(first.url) == first.name
    third = (await cloud.deploy(ask(iteration=3), progress)).revision
    assert await answered_by(third.url) == third.name
    assert (await cloud.standing(service)).targets == (Target(None, 100),)


async def test_a_deploy_repeated_after_it_was_taken_back_serves_again(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    second = (await cloud.deploy(ask(iteration=2), progress)).revision
    await cloud.route(service, first.name)
    assert (await cloud.deploy(ask(iteration=2), progress)).adopted
    assert (await cloud.serving(service)).name == second.name
    assert await cloud.route(service, first.name)
    assert await cloud.route(service, None)
    assert (await cloud.serving(service)).name == second.name


async def test_traffic_that_somebody_else_moved_stays_where_it_is(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    await cloud.deploy(ask(iteration=2), progress)
    await change(cloud, service, traffic=[run_v2.TrafficTarget(type_=BY_NAME, revision=first.name, percent=100)])
    with pytest.raises(ForeignChange) as caught:
        await cloud.deploy(ask(iteration=2), progress)
    assert caught.value.found == first.name
    assert (await cloud.serving(service)).name == first.name


async def test_a_failed_tagged_revision_moves_nothing_and_the_next_is_pinned_beside_the_good_one(
    cloud, ask, progress, service
):
    good = (await cloud.deploy(ask(), progress)).revision
    bad = ("python", "-c", "exit(3)")
    assert isinstance(await cloud.deploy(ask(iteration=2, tag="nl-abcd-2", command=bad), progress), Failed)
    assert await cloud.serving(service) == good
    third = (await cloud.deploy(ask(iteration=3, tag="nl-abcd-3"), progress)).revision
    assert await answered_by(third.url) == third.name
    assert await cloud.serving(service) == good


async def test_traffic_can_be_pinned_to_the_good_one_after_a_deploy_that_failed(cloud, ask, progress, service):
    good = (await cloud.deploy(ask(), progress)).revision
    await cloud.deploy(ask(iteration=2, command=("python", "-c", "exit(3)")), progress)
    assert await cloud.route(service, good.name)
    assert (await cloud.standing(service)).targets == (Target(good.name, 100),)
    assert await answered_by(good.url) == good.name


async def test_tags_of_others_outlive_our_deploys(cloud, ask, progress, service):
    first = (await cloud.deploy(ask(), progress)).revision
    theirs = run_v2.TrafficTarget(type_=BY_NAME, revision=first.name, percent=0, tag="green")
    await change(cloud, service, traffic=[run_v2.TrafficTarget(type_=LATEST, percent=100), theirs])
    await cloud.deploy(ask(iteration=2), progress)
    assert (await cloud.serving(service, "green")).name == first.name
    await cloud.route(service, first.name)
    assert (await cloud.serving(service, "green")).name == first.name


async def test_what_is_not_ours_to_set_stays(cloud, ask, progress, service):
    await cloud.deploy(ask(), progress)
    mine = {
        "description": "payments, ask Kim",
        "labels": {"team": "core"},
        "annotations": {"example.com/owner": "kim"},
        "ingress": run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL,
        "scaling": run_v2.ServiceScaling(min_instance_count=1),
        "invoker_iam_disabled": True,
    }
    await change(cloud, service, **mine)
    await cloud.deploy(ask(iteration=2), progress)
    await cloud.route(service, None)
    found = await cloud._link.services.get_service(name=cloud._resources.full_name(service))
    assert {name: getattr(found, name) for name in mine} == mine
    assert (found.client, found.generation) == ("netra-loop", 3)


async def test_traffic_to_a_revision_that_is_gone_is_refused_with_its_name(cloud, ask, progress, service):
    await cloud.deploy(ask(), progress)
    with pytest.raises(CloudCallFailed, match=f"{service}-gone"):
        await cloud.route(service, f"{service}-gone")
    with pytest.raises(CloudCallFailed, match="there is no service"):
        await cloud.route("nobody", "nobody-00001-abc")


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
async def test_a_lost_answer_to_a_promotion_is_looked_into(connect, trouble, ask, progress, service, code):
    client = connect(trouble.endpoint)
    await client.deploy(ask(), progress)
    second = (await client.deploy(ask(iteration=2, tag="nl-abcd-2"), progress)).revision
    trouble.fail("UpdateService", code, after_effect=True)
    assert await client.route(service, second.name, drop_tag="nl-abcd-2")
    assert trouble.calls()["UpdateService"] == 3
    assert (await client.serving(service)).name == second.name


async def test_an_etag_refused_at_a_promotion_is_read_again_once_unless_somebody_deployed(
    connect, trouble, ask, progress, service
):
    client = connect(trouble.endpoint)
    first = (await client.deploy(ask(), progress)).revision
    second = (await client.deploy(ask(iteration=2, tag="nl-abcd-2"), progress)).revision
    trouble.fail("UpdateService", "ABORTED")
    assert await client.route(service, second.name)
    trouble.fail("UpdateService", "OK", hold_s=2.0)
    routing = asyncio.create_task(client.route(service, first.name))
    await trouble.called("UpdateService", 5)
    theirs = await connect(trouble.endpoint).deploy(ask(session="another", iteration=9), progress)
    with pytest.raises(ForeignChange) as caught:
        await routing
    assert caught.value.found == theirs.revision.name
