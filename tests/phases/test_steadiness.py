"""What passed before keeps the goal from being met when it does not pass now, whatever the tier forgives."""

from dataclasses import replace

from netra_loop.core.events import SessionResumed
from netra_loop.core.goal import MOVED
from netra_loop.core.records import Batch, FindingState, Outcome
from netra_loop.core.spec import GoalSpec, TierSpec
from netra_loop.testing import Ends

PASSED = Outcome.PASSED
BROKEN = Ends(Outcome.FAILED, message="AssertionError: assert 'a' == 'b'", traceback="E   AssertionError: no")
UNCHECKED = GoalSpec(authenticity="off")  # the bench's passes talk to the first revision
SKIPPED = Ends(Outcome.SKIPPED, message="not today")


async def night(bench, first, second, **changes):
    """Two iterations under a tier that forgives half of its tests; the second verdict."""
    bench.change(**{"goal": UNCHECKED, "tiers": (TierSpec(name="P1", max_failures=0.5),)} | changes)
    await bench.executed(**first)
    await bench.act("record")
    bench.iteration = 2
    await bench.executed(**second)
    return await bench.act("record")


async def test_a_regression_blocks_what_the_tier_would_forgive(bench):
    result = await night(bench, {"one": PASSED, "two": BROKEN}, {"one": BROKEN, "two": PASSED})
    assert result.outcome == "unmet"
    assert "1 test passed before and fails now: tests/test_a.py::one" in result.summary


async def test_unless_the_loop_allows_it(bench):
    goal = GoalSpec(authenticity="off", allow_regressions=True)
    assert (
        await night(bench, {"one": PASSED, "two": BROKEN}, {"one": BROKEN, "two": PASSED}, goal=goal)
    ).outcome == "met"


async def test_a_failure_that_was_there_from_the_beginning_is_forgiven(bench):
    assert (await night(bench, {"one": PASSED, "two": BROKEN}, {"one": PASSED, "two": BROKEN})).outcome == "met"


async def test_a_fake_pass_is_none_that_was_there_before(bench):
    never = await night(bench, {"one": Ends(PASSED)}, {"one": BROKEN}, goal=GoalSpec())
    assert "1 of 1 failed" in never.summary
    assert "before" not in never.summary


async def test_a_pass_that_does_not_count_is_none_that_was_there_before(bench):
    bench.change(goal=UNCHECKED, tiers=(TierSpec(name="P1", max_failures=0.5),))
    await bench.executed(one=PASSED, two=PASSED)
    stored = await bench.journal.results(bench.session, 1)
    moved = tuple(replace(one, reasons=(f"{MOVED}: to backend-00009",)) for one in stored)
    await bench.record(Batch(results=moved))
    await bench.act("record")
    bench.iteration = 2
    await bench.executed(one=BROKEN, two=PASSED)
    assert (await bench.act("record")).outcome == "met"


async def test_a_test_that_is_skipped_now_or_gone_blocks_too(bench):
    result = await night(bench, {"one": PASSED, "two": PASSED, "three": PASSED}, {"one": PASSED, "two": SKIPPED})
    assert result.outcome == "unmet"
    assert "1 test ran before and is skipped now: tests/test_a.py::two" in result.summary
    assert "1 test of this session is gone: tests/test_a.py::three" in result.summary


async def test_a_loop_file_that_was_changed_by_hand_begins_anew(bench):
    bench.change(goal=UNCHECKED)
    await bench.executed(one=PASSED, two=PASSED)
    await bench.act("record")
    await bench.record(Batch(events=(SessionResumed(iteration=1, pid=1, host="h", loop_text="another"),)))
    bench.iteration = 2
    await bench.executed(one=PASSED)
    assert (await bench.act("record")).outcome == "met"


async def test_a_claim_is_judged_by_the_next_revision(bench):
    bench.change(goal=UNCHECKED)
    await bench.executed(one=BROKEN)
    await bench.act("record")
    (found,) = await bench.journal.findings(bench.session)
    say = f'printf \'["{found.id}"]\' > "$NETRA_LOOP_CLAIM"'
    bench.tools.environ = {"PATH": "/usr/bin:/bin"}
    await bench.act("run", command=say)
    bench.iteration = 2
    await bench.executed(one=PASSED)
    await bench.act("record")
    (fixed,) = await bench.journal.findings(bench.session)
    assert fixed.state is FindingState.FIXED
    assert [(claim.iteration, claim.verdict) for claim in fixed.claims] == [(1, "verified")]
