"""Tests of `uses: attach`."""

import pytest

from netra_loop.errors import EnvironmentFailed


async def test_the_serving_revision_is_the_one_under_test_and_nothing_is_deployed(bench):
    name = await bench.deployed()
    bench.iteration = 2
    result = await bench.act("attach")
    assert result.facts["revisions"] == [name]
    assert bench.state.revisions["backend"].name == name
    assert list(bench.cloud.effects.values()) == [1]


async def test_a_service_that_serves_nothing_fails_the_environment(bench):
    with pytest.raises(EnvironmentFailed, match="'backend' serves no revision") as caught:
        await bench.act("attach")
    assert "uses deploy" in str(caught.value.hint)


async def test_without_a_cloud_what_is_there_is_tested(bench):
    bench.tools.fake_cloud = None
    result = await bench.act("attach")
    assert (result.outcome, result.facts["revisions"]) == ("ok", [])


async def test_looking_again_after_a_crash_gives_the_same(bench):
    name = await bench.deployed()
    bench.iteration = 2
    assert (await bench.recover(await bench.open("attach"))).facts["revisions"] == [name]
