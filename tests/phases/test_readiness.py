"""Tests of whether a revision is what answers at the URL under test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netra_loop.core.spec import AuthSpec, IdentityTokenAuth, ProbeSpec, ServiceSpec
from netra_loop.errors import CloudCallFailed, EnvironmentFailed, OutOfReads
from netra_loop.testing import FakeCloud


class Door:
    """What answers the marked GETs: each answer in turn, the last for ever; None is nobody."""

    def __init__(self, bench, *answers):
        self.bench, self.answers = bench, list(answers)
        self.asked: list[tuple[str, str | None]] = []
        bench.tools.request = self

    async def __call__(self, url, trace_id, token=None):
        self.asked.append((url, token))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, dict):
            answer = answer[token]
        if answer is not None:
            await self.bench.cloud.request("http://backend-00001-fak.invalid/", trace_id)
        return answer


def probed(bench, path="/up", **more):
    bench.change(services={"backend": ServiceSpec(command=("serve",), startup_probe=ProbeSpec(path=path), **more)})


async def test_the_probe_path_is_asked_through_the_url_under_test(bench):
    probed(bench)
    door = Door(bench, 200)
    assert (await bench.act("deploy")).outcome == "ok"
    assert door.asked == [("http://backend-00001-fak.invalid/up", None)]


async def test_it_is_asked_again_until_it_answers_with_2xx(bench):
    probed(bench)
    door = Door(bench, None, 503, 404, 204)
    assert (await bench.act("deploy")).outcome == "ok"
    assert len(door.asked) == 4


async def test_without_a_probe_any_answer_will_do(bench):
    Door(bench, 404)
    assert (await bench.act("deploy")).outcome == "ok"


async def test_one_that_never_answers_is_a_failed_deploy_with_its_own_lines(bench):
    probed(bench)
    Door(bench, 503)
    bench.entry("waiting for the database")
    result = await bench.act("deploy")
    assert (result.outcome, result.facts["reason"]) == ("failed", "ProbePathNotAnswered")
    assert "answered with 503" in str(result.facts["message"])
    assert "waiting for the database" in result.facts["log_lines"]
    assert 60 <= bench.clock.monotonic() < 70


async def test_a_custom_domain_is_what_is_tested_and_asked(bench):
    probed(bench, url="https://staging.example.com/")
    door = Door(bench, 200)
    await bench.act("deploy")
    revision = bench.state.revisions["backend"]
    assert (revision.url, revision.ws_url) == ("https://staging.example.com", "wss://staging.example.com")
    assert door.asked[0][0] == "https://staging.example.com/up"


async def test_a_protected_service_is_asked_with_a_token(bench):
    probed(bench)
    bench.change(auth=(AuthSpec(identity_token=IdentityTokenAuth()),))
    bench.tools.access = "ey.token"
    door = Door(bench, {None: 403, "ey.token": 200})
    assert (await bench.act("deploy")).outcome == "ok"
    assert [token for _, token in door.asked] == [None, "ey.token"]


async def test_whoever_is_refused_is_told_what_the_loop_lacks(bench):
    probed(bench)
    Door(bench, 403)
    with pytest.raises(EnvironmentFailed, match="refused with 403") as caught:
        await bench.act("deploy")
    assert "identity_token" in str(caught.value.hint)


class Elsewhere(FakeCloud):
    """Another revision answers, the first `times` times."""

    times = 3

    async def request(self, url, trace_id):
        await super().request(url, trace_id)
        if self.times:
            self.times -= 1
            self.logs[-1] = replace(self.logs[-1], revision="backend-00009-fak")


async def test_while_traffic_moves_it_is_asked_again(bench):
    bench.tools.fake_cloud = bench.cloud = Elsewhere(bench.clock)
    assert (await bench.act("deploy")).outcome == "ok"
    assert len([one for one in bench.cloud.logs if one.log == "requests"]) == 4


async def test_another_revision_that_goes_on_serving_is_a_failed_deploy_that_names_it(bench):
    bench.tools.fake_cloud = bench.cloud = Elsewhere(bench.clock)
    bench.cloud.times = -1
    result = await bench.act("deploy")
    assert (result.outcome, result.facts["reason"]) == ("failed", "AnotherRevisionServes")
    assert "'backend-00009-fak' answered" in str(result.facts["message"])


class Counted(FakeCloud):
    """Its request log is not to be read, and reads are counted."""

    reads = 0

    async def entries(self, query):
        self.reads += 1
        async for page in super().entries(query):
            yield replace(page, entries=())


async def test_a_log_that_is_late_is_noted_and_holds_nobody_up(bench):
    bench.tools.fake_cloud = bench.cloud = Counted(bench.clock)
    assert (await bench.act("deploy")).outcome == "ok"
    (noted,) = await bench.events("noted")
    assert "not confirmed that backend-00001-fak did" in noted.text
    assert bench.cloud.reads <= 8
    assert bench.clock.monotonic() <= 11


async def test_a_log_that_is_late_for_one_service_is_hardly_waited_for_by_the_next_ones(bench):
    bench.tools.fake_cloud = bench.cloud = Counted(bench.clock)
    bench.change(services={name: ServiceSpec(command=("serve",)) for name in ("backend", "web", "worker", "mail")})
    assert (await bench.act("deploy")).outcome == "ok"
    assert len(await bench.events("noted")) == 4
    assert bench.cloud.reads <= 10
    assert bench.clock.monotonic() <= 16


async def test_reads_that_are_used_up_are_not_waited_for_beyond_the_looks(bench):
    class Spent(FakeCloud):
        async def entries(self, query):
            if bench.clock.monotonic() + 50 > query.give_up():
                raise OutOfReads("reading log entries", 50)
            yield

    bench.tools.fake_cloud = bench.cloud = Spent(bench.clock)
    assert (await bench.act("deploy")).outcome == "ok"
    (noted,) = await bench.events("noted")
    assert "the next in 50 s" in noted.text


async def test_a_log_that_may_not_be_read_is_noted(bench):
    class Denied(FakeCloud):
        async def entries(self, query):
            raise CloudCallFailed("reading log entries", "PERMISSION_DENIED", "logging.logEntries.list")
            yield

    bench.tools.fake_cloud = bench.cloud = Denied(bench.clock)
    assert (await bench.act("deploy")).outcome == "ok"
    assert any("logging.logEntries.list" in event.text for event in await bench.events("noted"))


class TestAttach:
    async def test_a_revision_that_nobody_reaches_fails_the_environment(self, bench):
        await bench.deployed()
        bench.iteration = 2
        bench.tools.answering = False
        with pytest.raises(EnvironmentFailed, match="but nobody answers at"):
            await bench.act("attach")

    async def test_one_that_wakes_up_first_is_waited_for(self, bench):
        await bench.deployed()
        bench.iteration = 2
        Door(bench, None, None, 200)
        assert (await bench.act("attach")).outcome == "ok"

    async def test_an_answer_that_is_not_2xx_is_noted(self, bench):
        probed(bench)
        await bench.deployed()
        bench.iteration = 2
        Door(bench, 503)
        assert (await bench.act("attach")).outcome == "ok"
        assert any("with 503, expected 2xx" in event.text for event in await bench.events("noted"))
