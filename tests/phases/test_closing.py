"""Tests of what a session does to its services when it ends."""

from __future__ import annotations

import pytest

from netra_loop.cloud.base import DeployRequest
from netra_loop.core.events import GoalJudged, PhaseFinished, TestsSelected
from netra_loop.core.records import Batch
from netra_loop.core.spec import ServiceSpec
from netra_loop.errors import CloudCallFailed, EnvironmentFailed
from netra_loop.phases.closing import close_session

OLD, NEW = "backend-00001-fak", "backend-00002-fak"
REFUSED = CloudCallFailed("UpdateService", "PERMISSION_DENIED", "run.services.update")


@pytest.fixture
async def tagged(bench):
    """A service that serves its first revision, its second deployed at a tag."""
    await bench.deployed()
    bench.iteration = 2
    bench.change(services={"backend": ServiceSpec(command=("serve",), traffic="tagged")})
    await bench.act("deploy")
    return bench


async def end(bench, *, met):
    return await close_session(bench.context("record"), met=met)


async def serves(bench):
    standing = await bench.cloud.standing("backend")
    return standing.serving, [target.tag for target in standing.targets if target.tag]


async def test_what_met_the_goal_is_promoted_and_its_tag_goes(tagged):
    assert await end(tagged, met=True)
    assert await serves(tagged) == (NEW, [])
    assert [(event.revision, event.why) for event in await tagged.events("traffic_moved")] == [(NEW, "promoted")]


async def test_what_did_not_is_not_and_its_tag_goes_all_the_same(tagged):
    await end(tagged, met=False)
    assert await serves(tagged) == (OLD, [])
    assert await tagged.events("traffic_moved") == []


async def test_every_iteration_s_tag_goes_and_nobody_else_s(tagged):
    tagged.iteration = 3
    await tagged.act("deploy")
    theirs = DeployRequest("backend", "theirs-wxyz", 1, "/src", ("serve",), tag="canary")
    await tagged.cloud.deploy(theirs, tagged.watcher.progress)
    assert (await serves(tagged))[1] == ["nl-abcd-2", "nl-abcd-3", "canary"]
    await end(tagged, met=False)
    assert await serves(tagged) == (OLD, ["canary"])


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_promotion_that_fails_is_the_environment_s_failure_and_can_be_tried_again(tagged, after_effect):
    tagged.cloud.raise_next(REFUSED, call="route", after_effect=after_effect)
    with pytest.raises(EnvironmentFailed, match=f"the goal is met, but '{NEW}' was not promoted"):
        await end(tagged, met=True)
    assert await end(tagged, met=True)
    assert await serves(tagged) == (NEW, [])
    assert tagged.state.promoted == {"backend"}


async def test_doing_it_again_changes_nothing(tagged):
    await end(tagged, met=True)
    await end(tagged, met=True)
    assert tagged.cloud.routed == [("backend", NEW)]


async def test_what_somebody_deployed_meanwhile_is_not_overwritten(tagged):
    theirs = tagged.cloud.somebody_deploys("backend")
    with pytest.raises(EnvironmentFailed, match=theirs):
        await end(tagged, met=True)
    assert (await serves(tagged))[0] == theirs


async def test_what_somebody_deployed_without_traffic_is_said_and_ours_is_promoted_all_the_same(tagged):
    theirs = DeployRequest("backend", "theirs-wxyz", 1, "/src", ("serve",), tag="canary")
    made = (await tagged.cloud.deploy(theirs, tagged.watcher.progress)).revision.name
    assert await end(tagged, met=True)
    assert await serves(tagged) == (NEW, ["canary"])
    (noted,) = await tagged.events("noted")
    assert noted.text == (
        f"somebody else made {made} of service 'backend' after {NEW} was deployed, without traffic: it was not tested "
        f"here and gets none; {NEW} is promoted by its name"
    )


async def test_where_nobody_else_deployed_nothing_is_said(tagged):
    await end(tagged, met=True)
    assert await tagged.events("noted") == []


async def test_of_several_services_none_is_promoted_where_one_cannot_be(bench):
    tagged = ServiceSpec(command=("serve",), traffic="tagged")
    bench.change(services={"backend": ServiceSpec(command=("serve",)), "front": ServiceSpec(command=("serve",))})
    await bench.act("deploy")
    bench.iteration = 2
    bench.change(services={"backend": tagged, "front": tagged})
    await bench.act("deploy")
    theirs = bench.cloud.somebody_deploys("front")
    with pytest.raises(EnvironmentFailed, match=theirs):
        await end(bench, met=True)
    assert (await serves(bench))[0] == OLD
    assert bench.cloud.routed == []


async def test_a_tag_that_cannot_be_taken_off_is_only_noted(tagged):
    tagged.cloud.raise_next(REFUSED, call="untag")
    assert await end(tagged, met=False)
    (noted,) = await tagged.events("noted")
    assert "nl-abcd-2" in noted.text


async def test_a_cloud_that_cannot_be_reached_keeps_no_unmet_session_from_ending(tagged):
    async def unreachable():
        raise EnvironmentFailed("nobody there")

    tagged.tools.cloud = unreachable
    assert await end(tagged, met=False)
    assert [event.text for event in await tagged.events("noted")] == [
        "the session's tags stay, for the cloud cannot be reached: nobody there"
    ]
    with pytest.raises(EnvironmentFailed):
        await end(tagged, met=True)


async def test_a_revision_that_has_the_traffic_already_needs_no_promotion(bench):
    await bench.deployed()
    await end(bench, met=True)
    assert bench.cloud.routed == []


async def judged(bench, iteration, failures):
    """An iteration whose revision let so many tests fail."""
    bench.iteration = iteration
    await bench.act("deploy")
    await bench.open("record")
    tier = {"name": "all", "selected": 9, "failures": failures, "failure_rate": failures / 9, "max_failures": 0.0}
    selected = TestsSelected(iteration=iteration, selected=9)
    fact = GoalJudged(
        iteration=iteration,
        outcome="unmet",
        tiers=({**tier, "met": False},),
        counts={"selected": 9, "failed": failures},
    )
    finished = PhaseFinished(iteration=iteration, outcome="unmet", target="first")
    await bench.record(Batch(events=(selected, fact, finished)))


@pytest.fixture
async def worse(bench):
    """The second of three revisions was the best."""
    for iteration, failures in enumerate((3, 1, 2), 1):
        await judged(bench, iteration, failures)
    return bench


async def test_an_unmet_session_leaves_its_best_revision_behind(worse):
    await end(worse, met=False)
    assert await serves(worse) == (NEW, [])
    said = f"backend serves {NEW} again, the best of this session: iteration 2, where 1 test failed, not 2 as in"
    assert worse.watcher.said[-1] == f"{said} iteration 3"
    await end(worse, met=False)
    assert [(event.revision, event.why) for event in await worse.events("traffic_moved")] == [(NEW, "best")]


async def test_cut_off_before_it_was_stored_it_is_stored_once(worse):
    worse.cloud.raise_next(ConnectionResetError(), call="route", after_effect=True)
    with pytest.raises(ConnectionResetError):
        await end(worse, met=False)
    await end(worse, met=False)
    assert worse.cloud.routed == [("backend", NEW)]
    assert [(event.revision, event.why) for event in await worse.events("traffic_moved")] == [(NEW, "best")]


async def test_a_met_one_leaves_its_newest(worse):
    await end(worse, met=True)
    assert await serves(worse) == ("backend-00003-fak", [])


async def test_where_the_newest_is_the_best_it_stays(worse):
    await judged(worse, 4, 0)
    await end(worse, met=False)
    assert worse.cloud.routed == []
    assert "what serves is the best of this session, iteration 4: 0 tests failed" in worse.watcher.said[-1]


async def test_what_somebody_else_deployed_stays_when_it_was_not_met(worse):
    theirs = worse.cloud.somebody_deploys("backend")
    await end(worse, met=False)
    assert (await serves(worse))[0] == theirs
    assert "was not sent back to backend-00002-fak" in (await worse.events("noted"))[-1].text
