"""A test is run against a revision of long ago, and its tag is taken off again."""

import pytest

from netra_loop.core.bisecting import Step
from netra_loop.core.records import Contact, Evidence, Outcome
from netra_loop.errors import CloudCallFailed, UsageError
from netra_loop.phases.probing import probe, take_off
from netra_loop.testing import Ends, FakeRunner

TEST = "tests/test_a.py::test_a"
FIRST, TAG = "backend-00001-fak", "nl-abcd-1"


@pytest.fixture
async def step(bench):
    """The first of two revisions; the second serves."""
    await bench.deployed()
    first = bench.state.revisions["backend"]
    bench.iteration = 2
    await bench.deployed()
    return Step((1,), {"backend": first})


def ends(bench, outcome, host=f"{TAG}---{FIRST}.invalid", **more):
    at = bench.clock.now()
    contact = Contact(host, 80, 9, 9, at, at)
    told = Ends(outcome, evidence=Evidence(contacts=(contact,)), **more)
    bench.tools.beside["bisect"] = FakeRunner({TEST: told}, clock=bench.clock)


async def tags(bench):
    return [target.tag for target in (await bench.cloud.standing("backend")).targets if target.tag]


@pytest.mark.parametrize(
    ("outcome", "passed"), [(Outcome.PASSED, True), (Outcome.FAILED, False), (Outcome.SKIPPED, None)]
)
async def test_it_says_whether_the_test_passes_there(bench, step, outcome, passed):
    ends(bench, outcome, message="boom")
    came = await probe(await bench.open("compare"), step, TEST)
    assert (came.passed, came.result.revision) == (passed, FIRST)
    assert bench.tools.asked[-1].env["NETRA_LOOP_URL"] == f"http://{TAG}---{FIRST}.invalid"


async def test_a_pass_that_talked_to_nobody_says_nothing(bench, step):
    ends(bench, Outcome.PASSED, host="elsewhere.invalid")
    assert (await probe(await bench.open("compare"), step, TEST)).passed is None


async def test_a_test_that_is_not_there_any_more_says_nothing(bench, step):
    bench.tools.beside["bisect"] = FakeRunner({}, clock=bench.clock)
    came = await probe(await bench.open("compare"), step, TEST)
    assert (came.passed, came.told) == (None, "the test cannot be collected now, or did not run to its end")


async def test_a_revision_that_is_gone_says_nothing(bench, step):
    bench.cloud.raise_next(CloudCallFailed("tagging", "NOT_FOUND", "there is no revision"), call="tag")
    came = await probe(await bench.open("compare"), step, TEST)
    assert came.passed is None
    assert "cannot be tested any more" in came.told


async def test_tags_of_the_session_s_revisions_come_off_and_others_stay(bench, step):
    await bench.cloud.tag("backend", FIRST, TAG)
    await bench.cloud.tag("backend", FIRST, "somebody-s")
    assert await take_off(bench.context("compare")) == []
    assert await tags(bench) == ["somebody-s"]


async def test_a_tag_that_the_session_is_to_keep_stays(bench, step):
    ends(bench, Outcome.PASSED)
    context = await bench.open("compare")
    await probe(context, step, TEST)
    assert await take_off(context) == []
    assert await tags(bench) == [TAG]


async def test_a_tag_that_cannot_be_taken_off_is_told(bench, step):
    await bench.cloud.tag("backend", FIRST, TAG)
    bench.cloud.raise_next(CloudCallFailed("routing", "UNAVAILABLE", "later"), call="untag")
    (left,) = await take_off(bench.context("compare"))
    assert "tags of service 'backend' stay" in left


async def test_without_a_cloud_there_is_nothing_to_go_back_to(bench, step):
    bench.tools.fake_cloud = None
    with pytest.raises(UsageError, match="has no cloud"):
        await probe(await bench.open("compare"), step, TEST)
