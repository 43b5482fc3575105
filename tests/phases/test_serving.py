"""Tests of who serves: before the tests, and after them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netra_loop.cloud.base import Target
from netra_loop.core.goal import MOVED
from netra_loop.core.records import Authenticity, Outcome
from netra_loop.core.spec import PhaseSpec, ServiceSpec
from netra_loop.errors import ForeignChange
from netra_loop.testing import FakeRunner

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED


class Disturbing(FakeRunner):
    """While its tests run, somebody deploys, `times` times."""

    def __init__(self, bench, times=1, **ends):
        runner = bench.tests(**ends)
        self.__dict__.update(runner.__dict__)
        self.bench, self.times = bench, times
        bench.tools.runner = self

    async def run(self, plan):
        if self.times:
            self.times -= 1
            self.bench.cloud.somebody_deploys("backend")
        async for event in super().run(plan):
            yield event


def handled(bench):
    """The loop says where `inconclusive` leads."""
    record = PhaseSpec(name="record", uses="record", next={"inconclusive": "first"})
    bench.change(phases=(*bench.spec.phases, record))


async def ours_again(bench):
    await bench.cloud.route("backend", "backend-00001-fak")


async def test_another_revision_before_the_tests_is_found_out(bench):
    await bench.deployed()
    theirs = bench.cloud.somebody_deploys("backend")
    with pytest.raises(ForeignChange, match=theirs):
        await bench.act("select")


async def test_a_share_of_the_traffic_for_another_revision_is_one_too(bench):
    await bench.deployed()
    theirs = bench.cloud.somebody_deploys("backend")
    bench.cloud.somebody_routes("backend", Target("backend-00001-fak", 90), Target(theirs, 10))
    with pytest.raises(ForeignChange, match=theirs):
        await bench.act("select")


async def test_what_lags_is_looked_at_twice(bench):
    await bench.deployed()
    bench.tests(one=PASSED)
    standing, asked = bench.cloud.standing, []

    async def lagging(service):
        asked.append(service)
        found = await standing(service)
        return found if len(asked) > 1 else replace(found, serving="backend-00000-fak")

    bench.cloud.standing = lagging
    assert (await bench.act("select")).outcome == "ok"


async def test_a_tagged_revision_does_not_mind_who_has_the_traffic(bench):
    await bench.deployed()
    bench.iteration = 2
    bench.change(services={"backend": ServiceSpec(command=("serve",), traffic="tagged")})
    await bench.act("deploy")
    theirs = bench.cloud.somebody_deploys("backend")
    tagged = Target("backend-00002-fak", 0, "nl-abcd-2", "http://t.invalid")
    bench.cloud.somebody_routes("backend", Target(theirs, 100), tagged)
    bench.tests(one=PASSED)
    assert (await bench.act("select")).outcome == "ok"
    assert bench.state.revisions["backend"].url == "http://t.invalid"


async def test_a_tag_that_was_taken_off_is_found_out(bench):
    bench.change(services={"backend": ServiceSpec(command=("serve",), traffic="tagged")})
    await bench.deployed()
    await bench.cloud.untag("backend", "nl-abcd-1")
    with pytest.raises(ForeignChange, match="tag 'nl-abcd-1' of service 'backend' leads to nothing, expected"):
        await bench.act("select")


async def test_traffic_that_moved_while_tests_ran_stops_where_nothing_handles_it(bench):
    await bench.deployed()
    Disturbing(bench, one=PASSED, two=FAILED)
    await bench.act("select")
    context = await bench.open("execute")
    with pytest.raises(ForeignChange, match="backend-00002-fak"):
        await bench.run(context)
    (seen,) = await bench.events("foreign_seen")
    assert (seen.expected, seen.found) == ("backend-00001-fak", "backend-00002-fak")
    results = await bench.journal.results(bench.session, 1)
    assert all(result.reasons[0].startswith(MOVED) for result in results)
    assert {result.authenticity for result in results} == {Authenticity.SUSPECT, Authenticity.NOT_APPLICABLE}


async def test_after_a_resume_those_tests_run_again_and_count(bench):
    await bench.deployed()
    Disturbing(bench, one=PASSED, two=[FAILED, PASSED])
    await bench.act("select")
    context = await bench.open("execute")
    with pytest.raises(ForeignChange):
        await bench.run(context)
    await ours_again(bench)
    await bench.recover(context)
    assert await bench.results() == [
        ("one", 1, "passed"), ("one", 2, "passed"), ("two", 1, "failed"), ("two", 2, "passed"),
    ]  # fmt: skip
    await bench.act("collect-logs", settle_s=5.0)
    await bench.act("record")
    judged = bench.state.judged_now()
    assert judged.verdict == "met"
    assert "on retry" not in judged.reasons[0]  # what failed meanwhile makes nothing flaky


async def test_a_resume_runs_nothing_while_it_still_is_another_s(bench):
    await bench.deployed()
    runner = Disturbing(bench, one=PASSED)
    await bench.act("select")
    context = await bench.open("execute")
    for _ in range(2):
        with pytest.raises(ForeignChange):
            await bench.run(context)
    assert sum(runner.begun.values()) == 1


async def test_where_it_is_handled_the_iteration_is_inconclusive_and_makes_no_findings(bench):
    handled(bench)
    await bench.deployed()
    Disturbing(bench, one=PASSED, two=FAILED)
    await bench.act("select")
    assert (await bench.act("execute")).outcome == "ok"
    await bench.act("collect-logs", settle_s=5.0)
    assert (await bench.act("record")).outcome == "inconclusive"
    assert "backend-00002-fak served backend" in bench.state.judged_now().reasons[0]
    assert await bench.journal.findings(bench.session) == []


async def test_the_next_iteration_counts_again(bench):
    handled(bench)
    await bench.deployed()
    Disturbing(bench, one=PASSED)
    await bench.act("select")
    await bench.act("execute")
    bench.iteration = 2
    await bench.act("deploy")
    assert bench.state.foreign is None
    await bench.act("select")
    await bench.act("execute")
    await bench.act("collect-logs", settle_s=5.0)
    assert (await bench.act("record")).outcome in {"met", "unmet"}
