"""The stages that `execute` tells of its results."""

import pytest

from netra_loop.core.records import Evidence, Exchange, Frame, Outcome
from netra_loop.core.spec import StageSpec
from netra_loop.testing import Ends

OWN = (
    StageSpec(name="asked", request="POST /runs", status=("201",)),
    StageSpec(name="answered", received=("answer",)),
)


@pytest.mark.parametrize(("stages", "stage"), [((), "agent_started"), (OWN, "asked"), (OWN[1:], None)])
async def test_they_are_the_loop_s_own_and_else_the_golden_path_s(bench, stages, stage):
    at = bench.clock.now()
    seen = Evidence(
        exchanges=(Exchange("POST", "http://h/runs", 201, at, 0.1),),
        frames=(Frame("ws://h/ws", "text", "received", at, event="agent_started"),),
    )
    bench.change(stages=stages)
    await bench.executed(one=Ends(Outcome.FAILED, evidence=seen))
    (result,) = await bench.journal.results(bench.session, 1)
    assert result.stage == stage
