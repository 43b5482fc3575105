"""Tests of the way back of a deploy that did not succeed."""

from __future__ import annotations

import asyncio

import pytest

from netra_loop.cloud.base import Target
from netra_loop.core.spec import ServiceSpec
from netra_loop.errors import CloudCallFailed, EnvironmentFailed, ForeignChange


@pytest.fixture
async def deployed(bench):
    """Two services that serve their first revisions, in the second iteration."""
    bench.change(services={"back": ServiceSpec(command=("serve",)), "front": ServiceSpec(command=("serve",))})
    await bench.act("deploy")
    bench.iteration = 2
    return bench


async def serving(bench):
    return {name: (await bench.cloud.serving(name)).name for name in bench.spec.services}


FIRST = {"back": "back-00001-fak", "front": "front-00001-fak"}


async def moved(bench, why):
    return [(event.service, event.revision) for event in await bench.events("traffic_moved") if event.why == why]


def fail_the_second(bench):
    """Back's new revision gets ready, front's never does."""
    bench.cloud.fail_next("HEALTH_CHECK_CONTAINER_ERROR", "never listened", service="front")


async def test_what_a_service_served_is_stored_before_it_is_changed(deployed):
    await deployed.act("deploy")
    seen = {event.service: event.revision for event in await deployed.events("traffic_seen") if event.iteration == 2}
    assert seen == FIRST
    kinds = [item.event.kind for item in await deployed.journal.events(deployed.session)]
    assert kinds.index("traffic_seen") < kinds.index("revision_ready")


async def test_when_one_of_several_fails_all_serve_their_last_good_revision_again(deployed):
    fail_the_second(deployed)
    result = await deployed.act("deploy")
    assert (result.outcome, result.facts["service"]) == ("failed", "front")
    assert await serving(deployed) == FIRST
    assert await moved(deployed, "restored") == [("back", FIRST["back"]), ("front", FIRST["front"])]
    assert deployed.state.revisions["back"].name == FIRST["back"]


async def test_a_failed_revision_that_gets_ready_later_gets_no_traffic(deployed):
    fail_the_second(deployed)
    await deployed.act("deploy")
    deployed.cloud.gets_ready_late("front-00002-fak")
    assert await serving(deployed) == FIRST


async def test_the_first_revision_of_all_that_fails_has_nothing_to_go_back_to(bench):
    bench.cloud.fail_next("HEALTH_CHECK_CONTAINER_ERROR", "never listened")
    assert (await bench.act("deploy")).outcome == "failed"
    assert bench.cloud.routed == []


async def test_the_next_iteration_s_deploy_takes_the_traffic_again(deployed):
    fail_the_second(deployed)
    await deployed.act("deploy")
    deployed.iteration = 3
    assert (await deployed.act("deploy")).outcome == "ok"
    assert await serving(deployed) == {"back": "back-00003-fak", "front": "front-00003-fak"}


@pytest.mark.parametrize("after_effect", [False, True])
async def test_an_error_sends_back_what_was_changed_however_far_it_got(deployed, after_effect):
    context = await deployed.open("deploy")
    refused = CloudCallFailed("UpdateService", "RESOURCE_EXHAUSTED", "quota")
    deployed.cloud.raise_next(refused, after_effect=after_effect, service="front")
    with pytest.raises(CloudCallFailed):
        await deployed.run(context)
    assert await serving(deployed) == FIRST


async def test_after_an_error_a_resume_goes_on_with_the_same_revisions(deployed):
    context = await deployed.open("deploy")
    deployed.cloud.raise_next(CloudCallFailed("GetRevision", "UNAVAILABLE", "gone"), after_effect=True)
    with pytest.raises(CloudCallFailed):
        await deployed.run(context)
    assert await serving(deployed) == FIRST
    assert (await deployed.recover(context)).outcome == "ok"
    assert await serving(deployed) == {"back": "back-00002-fak", "front": "front-00002-fak"}
    assert set(deployed.cloud.effects.values()) == {1}


async def test_a_crash_between_sending_back_and_storing_it_is_made_good(deployed):
    context = await deployed.open("deploy")
    deployed.cloud.raise_next(CloudCallFailed("GetRevision", "UNAVAILABLE", "gone"), after_effect=True)
    deployed.cloud.raise_next(KeyboardInterrupt(), after_effect=True, call="route")
    with pytest.raises(KeyboardInterrupt):
        await deployed.run(context)
    assert await moved(deployed, "restored") == []
    assert (await deployed.recover(context)).outcome == "ok"
    assert (await serving(deployed))["back"] == "back-00002-fak"


async def test_a_crash_after_sending_a_failed_revision_back_gives_the_traffic_to_nobody_else(deployed):
    unproven = deployed.cloud.somebody_deploys("back")  # ready, the latest, and never promoted
    deployed.cloud.somebody_routes("back", Target("back-00001-fak", 100))
    deployed.cloud.fail_next("HEALTH_CHECK_CONTAINER_ERROR", "never listened", service="back")
    deployed.cloud.raise_next(KeyboardInterrupt(), after_effect=True, call="route")
    context = await deployed.open("deploy")
    with pytest.raises(KeyboardInterrupt):
        await deployed.run(context)
    assert (await deployed.recover(context)).outcome == "failed"
    assert await serving(deployed) == FIRST
    assert unproven == (await deployed.cloud.standing("back")).latest_ready
    assert ("back", None) not in deployed.cloud.routed


async def test_a_service_that_somebody_else_changed_is_left_alone_and_the_others_go_back(deployed):
    context = await deployed.open("deploy")
    deployed.cloud.raise_next(CloudCallFailed("GetRevision", "UNAVAILABLE", "gone"), after_effect=True, service="front")
    with pytest.raises(CloudCallFailed):
        await deployed.run(context)
    theirs = deployed.cloud.somebody_deploys("front")
    with pytest.raises(ForeignChange, match=repr(theirs)):
        await deployed.run(context)
    assert await serving(deployed) == {"back": FIRST["back"], "front": theirs}


async def test_a_foreign_revision_that_came_after_ours_is_noted_and_left(deployed):
    theirs = []

    async def request(url, trace_id, token=None):
        if "back-" in url:
            await deployed.cloud.request(url, trace_id)
            theirs.append(deployed.cloud.somebody_deploys("back"))
            return 200
        return None

    deployed.tools.request = request
    assert (await deployed.act("deploy")).facts["service"] == "front"
    assert await serving(deployed) == {"back": theirs[0], "front": FIRST["front"]}
    assert any("not this session's" in event.text for event in await deployed.events("noted"))


async def test_traffic_that_cannot_be_sent_back_is_told_with_the_command_that_does(deployed):
    fail_the_second(deployed)
    refused = CloudCallFailed("UpdateService", "PERMISSION_DENIED", "run.services.update")
    deployed.cloud.raise_next(refused, call="route")
    with pytest.raises(EnvironmentFailed, match="could not be sent back to 'back-00001-fak'") as caught:
        await deployed.act("deploy")
    assert "front-00002-fak never got ready: HEALTH_CHECK_CONTAINER_ERROR: never listened" in str(caught.value)
    assert "update-traffic back --to-revisions=back-00001-fak=100" in str(caught.value.hint)
    assert (await serving(deployed))["front"] == FIRST["front"]  # the other one was tried all the same


async def test_a_pause_in_the_middle_leaves_the_deploy_to_the_resume(deployed):
    context = await deployed.open("deploy")
    deployed.cloud.raise_next(asyncio.CancelledError(), after_effect=True)
    with pytest.raises(asyncio.CancelledError):
        await deployed.run(context)
    assert deployed.cloud.routed == []
    assert (await deployed.recover(context)).outcome == "ok"
    assert set(deployed.cloud.effects.values()) == {1}


class TestTagged:
    @pytest.fixture
    async def tagged(self, deployed):
        services = {name: ServiceSpec(command=("serve",), traffic="tagged") for name in FIRST}
        deployed.change(services=services)
        return deployed

    async def test_a_tagged_revision_is_tested_at_its_tag_and_gets_no_traffic(self, tagged):
        await tagged.act("deploy")
        assert await serving(tagged) == FIRST
        under_test = tagged.state.revisions["back"]
        assert (under_test.tag, under_test.url) == ("nl-abcd-2", "http://nl-abcd-2---back-00002-fak.invalid")
        assert tagged.state.tags == {("back", "nl-abcd-2"), ("front", "nl-abcd-2")}

    async def test_one_that_fails_changes_nothing_for_anybody(self, tagged):
        fail_the_second(tagged)
        assert (await tagged.act("deploy")).outcome == "failed"
        tagged.cloud.gets_ready_late("front-00002-fak")
        assert await serving(tagged) == FIRST
        assert tagged.cloud.routed == []

    async def test_a_service_s_first_revision_gets_the_traffic_all_the_same_and_it_is_said(self, tagged):
        tagged.change(services={"new": ServiceSpec(command=("serve",), traffic="tagged")})
        await tagged.act("deploy")
        assert (await tagged.cloud.serving("new")).name == "new-00001-fak"
        assert any("its first revision gets the traffic" in text for text in tagged.watcher.said)
