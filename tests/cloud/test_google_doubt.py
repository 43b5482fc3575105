"""Whatever is lost on the way, and wherever a deploy is cut off: one revision for one intent, found and adopted."""

import asyncio

import pytest

from netra_loop.cloud.base import Deployed, Failed
from netra_loop.cloud.embedded.knobs import Failure
from netra_loop.errors import AccessRefused, CloudCallFailed, ForeignChange

FRESH = [("GetService", 0), ("UpdateService", 0), ("WaitOperation", 0), ("GetRevision", 0), ("GetService", 1)]
TAGGED = [("GetRevision", 0), ("UpdateService", 0), ("GetRevision", 1)]
PASSING = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED"]


@pytest.fixture
def cloud(connect, trouble):
    return connect(trouble.endpoint)


async def names(client, service):
    parent = client._resources.full_name(service)
    return [one.name.rpartition("/")[2] async for one in await client._link.revisions.list_revisions(parent=parent)]


async def cut_off(client, trouble, request, progress, call, skip, *, after_effect):
    """Deploys, and ends at the answer to a call as a kill would: nothing is told to anybody."""
    trouble.fail(call, "OK", skip=skip, hold_s=30.0, after_effect=after_effect)
    already = trouble.calls()[call]
    deploying = asyncio.create_task(client.deploy(request, progress))
    await trouble.called(call, already + skip + 1)
    if after_effect and call == "UpdateService":
        async with asyncio.timeout(20):
            while len(await names(client, request.service)) < request.iteration:
                await client._clock.sleep(0.01)
    deploying.cancel()
    await asyncio.wait({deploying})
    assert deploying.cancelled()
    trouble.turn(fail=None)


@pytest.mark.parametrize(("call", "skip"), FRESH)
async def test_a_first_deploy_cut_off_at_any_call_is_one_revision(connect, trouble, ask, progress, service, call, skip):
    client = connect(trouble.endpoint)
    await cut_off(client, trouble, ask(), progress, call, skip, after_effect=call == "UpdateService")
    again = await connect(trouble.endpoint).deploy(ask(), progress)
    assert isinstance(again, Deployed)
    assert again.adopted == ((call, skip) != ("GetService", 0))
    assert await names(client, service) == [again.revision.name]


@pytest.mark.parametrize(("call", "skip"), TAGGED)
async def test_a_tagged_deploy_cut_off_at_any_call_is_one_more_revision(
    connect, trouble, ask, progress, service, call, skip
):
    client = connect(trouble.endpoint)
    first = await client.deploy(ask(), progress)
    request = ask(iteration=2, tag="nl-abcd-2")
    await cut_off(client, trouble, request, progress, call, skip, after_effect=call == "UpdateService")
    again = await connect(trouble.endpoint).deploy(request, progress)
    assert isinstance(again, Deployed)
    assert again.revision.tag == "nl-abcd-2"
    assert sorted(await names(client, service)) == sorted([first.revision.name, again.revision.name])
    assert (await client.serving(service)).name == first.revision.name


async def test_a_deploy_that_was_cut_off_before_it_was_taken_in_is_made(cloud, trouble, ask, progress, service):
    await cut_off(cloud, trouble, ask(), progress, "UpdateService", 0, after_effect=False)
    deployed = await cloud.deploy(ask(), progress)
    assert await names(cloud, service) == [deployed.revision.name]


@pytest.mark.parametrize("code", PASSING)
async def test_a_lost_answer_is_looked_into_and_adopted(cloud, trouble, ask, progress, service, code):
    trouble.fail("UpdateService", code, after_effect=True)
    deployed = await cloud.deploy(ask(), progress)
    assert deployed.adopted
    assert trouble.calls()["UpdateService"] == 1
    assert await names(cloud, service) == [deployed.revision.name]


async def test_what_was_not_taken_in_is_sent_once_more(cloud, trouble, ask, progress, service):
    trouble.fail("UpdateService", "UNAVAILABLE", times=2)
    deployed = await cloud.deploy(ask(), progress)
    assert not deployed.adopted
    assert trouble.calls()["UpdateService"] == 3
    assert await names(cloud, service) == [deployed.revision.name]


async def test_a_lost_answer_to_the_next_deploy_is_adopted_too(cloud, trouble, ask, progress, service):
    await cloud.deploy(ask(), progress)
    trouble.fail("UpdateService", "UNAVAILABLE", after_effect=True)
    assert (await cloud.deploy(ask(iteration=2), progress)).adopted
    assert len(await names(cloud, service)) == 2


async def test_our_own_name_that_exists_already_is_adopted(cloud, trouble, ask, progress, service):
    first = await cloud.deploy(ask(), progress)
    message = f"Revision named '{first.revision.name}' with different configuration already exists."
    not_yet, but_there = Failure("GetService", "NOT_FOUND"), Failure("UpdateService", "ALREADY_EXISTS", message=message)
    trouble.turn(fail=[not_yet, but_there])
    again = await cloud.deploy(ask(), progress)
    assert again.adopted
    assert await names(cloud, service) == [first.revision.name]


async def test_an_etag_that_is_refused_is_read_again_once(cloud, trouble, ask, progress, service):
    await cloud.deploy(ask(), progress)
    trouble.fail("UpdateService", "ABORTED")
    said = []
    assert isinstance(await cloud.deploy(ask(iteration=2), said.append), Deployed)
    assert f"{service}: somebody else changed it meanwhile, not what it serves: asking once more" in said
    trouble.fail("UpdateService", "ABORTED", times=2)
    with pytest.raises(CloudCallFailed) as caught:
        await cloud.deploy(ask(iteration=3), progress)
    assert caught.value.code == "ABORTED"
    assert len(await names(cloud, service)) == 2


async def test_somebody_who_deploys_in_between_is_named_and_not_overwritten(
    connect, cloud, trouble, ask, progress, service
):
    await cloud.deploy(ask(), progress)
    trouble.fail("UpdateService", "OK", hold_s=2.0)  # ours arrives late, under an etag that is no longer true
    ours = asyncio.create_task(cloud.deploy(ask(iteration=2), progress))
    await trouble.called("UpdateService", 2)
    theirs = await connect(trouble.endpoint).deploy(ask(session="another", iteration=7), progress)
    with pytest.raises(ForeignChange) as caught:
        await ours
    assert caught.value.found == theirs.revision.name
    assert (await cloud.serving(service)).name == theirs.revision.name


async def test_a_read_is_tried_again_and_long_waits_are_told(connect, trouble, ask, progress):
    told = []

    async def on_wait(why, seconds):
        told.append((why, seconds))

    trouble.fail("GetService", "UNAVAILABLE", times=6)
    clock = _QuickClock()
    client = connect(trouble.endpoint, clock, on_wait=on_wait)
    assert await client.standing("nobody") is None
    assert trouble.calls()["GetService"] == 7
    assert all("UNAVAILABLE" in why and seconds >= 1 for why, seconds in told)
    assert sum(seconds for _, seconds in told) <= clock.slept_s + 0.01  # they are rounded


async def test_reads_end_with_the_reason_when_their_budget_is_used_up(connect, trouble):
    trouble.fail("GetService", "UNAVAILABLE", times=None)
    with pytest.raises(CloudCallFailed, match="injected UNAVAILABLE") as caught:
        await connect(trouble.endpoint, _QuickClock()).standing("nobody")
    assert caught.value.exit_code == 3
    assert "network" in caught.value.hint


async def test_credentials_refused_once_are_renewed_and_twice_pause_the_session(cloud, trouble):
    trouble.fail("GetService", "UNAUTHENTICATED")
    assert await cloud.standing("nobody") is None
    trouble.fail("GetService", "UNAUTHENTICATED", times=2)
    with pytest.raises(AccessRefused) as caught:
        await cloud.standing("nobody")
    assert caught.value.exit_code == 75
    assert "netra-loop resume" in caught.value.hint


async def test_a_missing_permission_is_named_and_not_asked_for_again(cloud, trouble, ask, progress):
    trouble.turn(deny=["run.services.update"])
    with pytest.raises(CloudCallFailed, match=r"lacks run\.services\.update in project 'demo'") as caught:
        await cloud.deploy(ask(), progress)
    assert caught.value.code == "PERMISSION_DENIED"
    assert "gcloud projects add-iam-policy-binding demo" in caught.value.hint
    assert trouble.calls()["UpdateService"] == 1


@pytest.mark.parametrize("code", [9, 13])
async def test_a_failed_operation_means_the_same_whatever_its_code(cloud, trouble, ask, progress, code):
    trouble.turn(lro_error_code=code)
    failed = await cloud.deploy(ask(command=("python", "-c", "print('no luck'); exit(3)")), progress)
    assert isinstance(failed, Failed)
    assert failed.reason == "HEALTH_CHECK_CONTAINER_ERROR"
    assert "no luck" in failed.log_lines
    assert "0.0.0.0:$PORT" in failed.hint


async def test_a_failure_is_told_even_where_the_log_cannot_be_read(cloud, trouble, ask, progress):
    trouble.turn(deny=["logging.logEntries.list"])
    failed = await cloud.deploy(ask(command=("python", "-c", "exit(3)")), progress)
    assert failed.reason == "HEALTH_CHECK_CONTAINER_ERROR"
    assert "logging.logEntries.list" in failed.log_lines[0]


@pytest.mark.parametrize(
    "knobs", [{"lagging_latest_ready_ms": 700}, {"wait_returns_early": True}, {"lose_operations": True}]
)
async def test_what_operations_and_latest_ready_say_late_or_never_is_waited_out(
    cloud, trouble, ask, progress, service, knobs
):
    trouble.turn(**knobs)
    first = await cloud.deploy(ask(), progress)
    second = await cloud.deploy(ask(iteration=2), progress)
    assert (await cloud.serving(service)).name == second.revision.name != first.revision.name


class _QuickClock:
    """Waiting takes no time, but is counted."""

    slept_s = 0.0

    def monotonic(self):
        return self.slept_s

    async def sleep(self, seconds):
        self.slept_s += seconds
        await asyncio.sleep(0)
