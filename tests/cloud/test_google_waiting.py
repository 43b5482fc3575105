"""Waiting for a revision, told step by step what the API says: the clock is ours, so nothing here takes time."""

from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import run_v2
from google.longrunning.operations_pb2 import Operation

from netra_loop.cloud.base import Deployed, DeployRequest, Failed
from netra_loop.cloud.google_changes import Begun
from netra_loop.cloud.google_targets import BY_NAME
from netra_loop.cloud.google_views import LATEST, State
from netra_loop.cloud.google_waiting import Arrivals
from netra_loop.errors import ForeignChange

OURS, OTHER = "web-00002-ours", "web-00003-other"
MADE_AT = datetime(2025, 1, 1, tzinfo=UTC)
FULL = "projects/p/locations/l/services/web"


class Api:
    """What is read, and the clock, which goes on with every wait."""

    def __init__(self):
        self.at = 0.0
        self.revisions = {OURS: revision(OURS)}
        self.present = service()
        self.done_at = None
        self.error = None
        self.redirected = []
        self.redirects_to = None
        self.steps = {}

    def monotonic(self):
        return self.at

    async def sleep(self, seconds):
        self.at += seconds
        for at in sorted(self.steps):
            if at <= self.at:
                self.steps.pop(at)()

    async def service(self, name):
        return self.present

    async def revision(self, service, name):
        return self.revisions.get(name)

    async def operation(self, operation, seconds):
        await self.sleep(seconds)
        if self.done_at is not None and self.at >= self.done_at:
            operation.done = True
            if self.error is not None:
                operation.error.code, operation.error.message = self.error
        return operation

    async def redirect(self, service, wanted, meant):
        self.redirected.append(wanted(self.present))
        self.present = self.redirects_to
        return True


def revision(name, *, ready=None, made_after_s=0, probe=True):
    state = {None: State.CONDITION_RECONCILING, True: State.CONDITION_SUCCEEDED, False: State.CONDITION_FAILED}[ready]
    container = run_v2.Container(image="embedded://web")
    if probe:
        container.startup_probe = run_v2.Probe(period_seconds=1, failure_threshold=20)
    return run_v2.Revision(
        name=f"{FULL}/revisions/{name}",
        create_time=MADE_AT + timedelta(seconds=made_after_s),
        containers=[container],
        conditions=[
            run_v2.Condition(
                type_="Ready", state=state, last_transition_time=MADE_AT, message="" if ready is not False else "broken"
            )
        ],
    )


def service(*, serving=OTHER, asked="", created=OURS, client="netra-loop", tags=(), failed=False, reconciling=False):
    kind = BY_NAME if asked else LATEST
    state = State.CONDITION_FAILED if failed else State.CONDITION_SUCCEEDED
    made = run_v2.Service(
        name=FULL,
        uri="https://web.test",
        client=client,
        reconciling=reconciling,
        latest_created_revision=f"{FULL}/revisions/{created}",
        latest_ready_revision=f"{FULL}/revisions/{serving}" if serving else "",
        traffic=[run_v2.TrafficTarget(type_=kind, revision=asked, percent=100)],
        terminal_condition=run_v2.Condition(type_="Ready", state=state, message="no route" if failed else ""),
    )
    statuses = [run_v2.TrafficTargetStatus(type_=kind, revision=asked, percent=100)] if serving else []
    for tag in tags:
        made.traffic.append(run_v2.TrafficTarget(type_=BY_NAME, revision=OURS, percent=0, tag=tag))
        statuses.append(
            run_v2.TrafficTargetStatus(type_=BY_NAME, revision=OURS, tag=tag, uri=f"https://{tag}---web.test/")
        )
    made.traffic_statuses = statuses
    return made


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def said():
    return []


@pytest.fixture
def wait(api, said):
    async def why_failed(service, name, reason, message):
        return Failed(service, name, reason, message)

    async def waiting(*, adopted=False, tag=None):
        request = DeployRequest("web", "s", 2, "/src", (), tag=tag)
        begun = Begun(OURS, None if adopted else Operation(name="projects/p/locations/l/operations/1"))
        return await Arrivals(api, api, api, why_failed).wait(request, begun, said.append)

    return waiting


async def test_a_revision_that_never_gets_ready_fails_at_our_own_deadline(api, said, wait):
    api.present.conditions = [
        run_v2.Condition(type_="RoutesReady", state=State.CONDITION_RECONCILING, message="waiting for a revision")
    ]
    failed = await wait()
    assert failed.reason == "PROGRESS_DEADLINE_EXCEEDED"
    assert "waiting for a revision" in failed.message
    assert 80 <= api.at < 90
    assert said == ["web: waiting for RoutesReady (waiting for a revision)"]


async def test_a_revision_that_is_ready_while_another_serves_is_never_called_ready(api, wait):
    api.revisions[OURS] = revision(OURS, ready=True)
    failed = await wait()
    assert failed.reason == "AnotherRevisionServes"
    assert OTHER in failed.message


async def test_readiness_is_noticed_soon_also_without_an_operation(api, wait):
    def ready():
        api.revisions[OURS] = revision(OURS, ready=True)
        api.present = service(serving=OURS)

    api.steps[7.0] = ready
    assert isinstance(await wait(adopted=True), Deployed)
    assert api.at - 7.0 < 0.3


async def test_half_of_the_traffic_is_not_all_of_it(api, wait):
    api.revisions[OURS] = revision(OURS, ready=True)
    api.present = service(serving=OURS, asked=OURS)
    api.present.traffic_statuses = [
        run_v2.TrafficTargetStatus(type_=BY_NAME, revision=OURS, percent=60),
        run_v2.TrafficTargetStatus(type_=BY_NAME, revision=OTHER, percent=40),
    ]
    assert (await wait()).reason == "AnotherRevisionServes"


async def test_a_later_revision_of_somebody_else_is_named_an_earlier_one_is_old_news(api, wait):
    api.revisions[OURS] = revision(OURS, ready=True)
    api.present = service(created=OTHER)
    api.revisions[OTHER] = revision(OTHER, ready=True, made_after_s=5)
    with pytest.raises(ForeignChange) as caught:
        await wait()
    assert caught.value.found == OTHER
    api.revisions[OTHER] = revision(OTHER, ready=True, made_after_s=-5)
    assert (await wait()).reason == "AnotherRevisionServes"


async def test_traffic_that_was_asked_to_go_elsewhere_is_somebody_elses_doing(api, wait):
    api.revisions[OURS] = revision(OURS, ready=True)
    for client, adopted in (("netra-loop", False), ("gcloud", True)):
        api.present = service(asked=OTHER, client=client)
        with pytest.raises(ForeignChange) as caught:
            await wait(adopted=adopted)
        assert caught.value.found == OTHER
    assert api.redirected == []


@pytest.mark.parametrize("tag", [None, "nl-abcd-2"])
async def test_what_we_took_back_ourselves_is_given_again(api, wait, tag):
    api.revisions[OURS] = revision(OURS, ready=True)
    api.present = service(asked=OTHER)
    api.redirects_to = service(serving=OURS, tags=[tag] if tag else [])
    assert (await wait(adopted=True, tag=tag)).adopted
    assert len(api.redirected) == 1


async def test_for_a_tag_the_tag_alone_counts(api, wait):
    api.revisions[OURS] = revision(OURS, ready=True)
    api.present = service(serving=OTHER, asked=OTHER, created=OTHER, tags=["nl-abcd-2"])
    found = (await wait(tag="nl-abcd-2")).revision
    assert (found.name, found.tag, found.url) == (OURS, "nl-abcd-2", "https://nl-abcd-2---web.test")
    api.revisions[OURS] = revision(OURS)
    assert (await wait(tag="nl-abcd-2")).reason == "PROGRESS_DEADLINE_EXCEEDED"


@pytest.mark.parametrize("code", [9, 13])
async def test_an_operation_that_failed_is_believed_once_the_revision_had_time_to_say_why(api, wait, code):
    api.done_at, api.error = 2.0, (code, "Image 'x' not found.")
    api.steps[4.0] = lambda: api.revisions.update({OURS: revision(OURS, ready=False)})
    assert (await wait()).message == "broken"
    api.at, api.done_at, api.revisions = 0.0, 2.0, {}
    failed = await wait()
    assert failed.message == "Image 'x' not found."
    assert failed.reason in {"FAILED_PRECONDITION", "INTERNAL"}
    assert api.at < 20


async def test_traffic_that_failed_is_told_with_the_services_own_condition(api, wait):
    api.revisions[OURS] = revision(OURS, ready=True)
    api.present = service(failed=True)
    api.done_at, api.error = 1.0, (13, "something else")
    assert (await wait()).message == "no route"
    assert api.at < 5


async def test_a_service_that_was_deleted_is_somebody_elses_doing(api, wait):
    api.present, api.revisions = None, {}
    with pytest.raises(ForeignChange, match="deleted"):
        await wait(adopted=True)
    assert 9 < api.at < 15


async def test_what_cannot_be_read_right_after_it_was_made_is_read_again(api, wait):
    def there():
        api.revisions[OURS] = revision(OURS, ready=True)
        api.present = service(serving=OURS)

    api.present, api.revisions = None, {}
    api.steps[6.0] = there
    assert isinstance(await wait(adopted=True), Deployed)


async def test_a_service_of_an_image_has_more_time(api, wait):
    waiting = revision(OURS, probe=False)
    waiting.containers[0].image = "example.test/app"
    api.revisions[OURS] = waiting
    assert (await wait()).reason == "PROGRESS_DEADLINE_EXCEEDED"
    assert 540 <= api.at < 550
