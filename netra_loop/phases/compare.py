"""`uses: compare`: what failed, and what a fixer claims, once more against two revisions at the same moment."""

from __future__ import annotations

from collections import Counter

from netra_loop.cloud.base import Failed
from netra_loop.core.claims import CLAIMED
from netra_loop.core.comparing import Compared, Comparison, compare, sick_now, summary
from netra_loop.core.events import RevisionsCompared
from netra_loop.core.goal import final_results, was_moved
from netra_loop.core.records import Batch, Cause, Result
from netra_loop.core.symptoms import look_at
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.known import earlier_findings
from netra_loop.phases.serving import ensure_serving, foreign_now
from netra_loop.phases.sides import Sides, answered_by_others
from netra_loop.phases.tagging import claimed_between, revisions_before, tagged, unanswered
from netra_loop.phases.testbed import first_revision
from netra_loop.values import dataclass

_DEFAULT_TESTS = 50
_AT_ONCE = 50  # tests whose results are read with their bodies


@dataclass(frozen=True)
class _Chosen:
    """The tests to compare, those of the greatest impact first; how many more there were; and those of them whose
    failure just now looked like the environment's.
    """

    tests: tuple[str, ...]
    left_out: int
    of_environment: frozenset[str]


class Compare:
    """Runs them on both sides, half of the workers each, and keeps what that says apart from the iteration's results.
    All it changes is a tag, which it finds again; so after a crash it is simply done again.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. `failed` where the revision before is gone or answers nobody. What could not be judged is
        said, and is no failure of this phase.
        """
        await ensure_serving(context)
        nothing = await self._nothing(context)
        if nothing is not None:
            return _outcome(context, nothing, (), 0)
        chosen = await _choose(context)
        if not chosen.tests:
            return _outcome(context, "no test failed, and none is claimed to be mended: nothing was compared", (), 0)
        cloud = await context.tools.cloud()
        assert cloud is not None
        before = await tagged(context, cloud, revisions_before(context))
        if isinstance(before, Failed):
            return _impossible(context, before)
        sides = Sides.of(context, before)
        many = f"{len(chosen.tests)} test{'' if len(chosen.tests) == 1 else 's'}"
        context.observer.progress(f"comparing {many} against {sides.before.revision} and {sides.now.revision} at once")
        ran = await sides.run(chosen.tests, lambda: unanswered(context, cloud, before))
        if isinstance(ran, Failed):
            return _impossible(context, ran)
        then, now = ran
        foreign = await foreign_now(context)
        if foreign is not None:
            raise foreign
        doubts, unconfirmed = await answered_by_others(context, cloud, sides, then, now)
        doubts = {**sick_now(then, now), **doubts}
        rows = compare(chosen.tests, then, now, of_environment=chosen.of_environment, doubts=doubts)
        text = f"{many} compared with {sides.before.revision}: {summary(rows)}"
        if unconfirmed:
            text += f"; the request log does not tell yet who answered {unconfirmed} of them"
        if chosen.left_out:
            text += f"; {chosen.left_out} more were left out"
        return _outcome(context, text, rows, chosen.left_out, sides.before.revision)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _nothing(self, context: PhaseContext) -> str | None:
        """Why there is no other revision; None where there is one."""
        if await context.tools.cloud() is None:
            return "nothing to compare with: the environment has no cloud, so there are no revisions"
        if context.state().failed_deploy is not None:
            return "nothing to compare: this iteration's deploy failed"
        if not revisions_before(context):
            return "nothing to compare with: no revision was tested before this one"
        return None


def _impossible(context: PhaseContext, failed: Failed) -> PhaseResult:
    told = f"{failed.revision} cannot be compared with: {failed.reason}: {failed.message}"
    return PhaseResult("failed", context.redactor.text(told))


def _outcome(
    context: PhaseContext, text: str, rows: list[Compared] | tuple[()], left_out: int, before: str | None = None
) -> PhaseResult:
    fact = RevisionsCompared(
        before=before, now=first_revision(context), rows=tuple(row.row() for row in rows), left_out=left_out
    )
    counts = Counter(row.verdict for row in rows)
    facts = {"compared": len(rows), **{verdict.value: counts[verdict] for verdict in Comparison if counts[verdict]}}
    return PhaseResult("ok", text, facts, Batch(events=(context.stamp(fact),)))


async def _choose(context: PhaseContext) -> _Chosen:
    results = await context.journal.results(context.session, context.iteration, bodies=False)
    final = final_results(results).values()
    failing = {result.id for result in final if result.outcome.is_failure and not was_moved(result)}
    wanted = failing | await _claimed(context)
    ranks = {tier.name: rank for rank, tier in enumerate(context.spec.tiers)}
    selection = await context.journal.selection(context.session, context.iteration)
    ordered = sorted(
        (one for one in selection if one.id in wanted), key=lambda one: (ranks.get(one.tier or "", 0), one.position)
    )
    most = int(context.phase.with_.get("tests", _DEFAULT_TESTS))
    tests = tuple(one.id for one in ordered[:most])
    return _Chosen(tests, len(ordered) - len(tests), await _of_environment(context, [*failing.intersection(tests)]))


async def _claimed(context: PhaseContext) -> set[str]:
    """The tests of findings that were claimed to be mended while the revision before was under test, and were not
    judged yet: an earlier claim's fix is in both revisions.
    """
    since, until = claimed_between(context)
    newest = {one.id: one for one in sorted(await earlier_findings(context), key=lambda one: one.last_iteration)}
    return {
        test
        for one in newest.values()
        if any(claim.verdict == CLAIMED and since <= claim.iteration < until for claim in one.claims)
        for test in one.tests
    }


async def _of_environment(context: PhaseContext, tests: list[str]) -> frozenset[str]:
    """Those of `tests` whose failure just now is one that the environment has to answer for."""
    found: list[Result] = []
    for begin in range(0, len(tests), _AT_ONCE):
        some = tests[begin : begin + _AT_ONCE]
        read = await context.journal.results(context.session, context.iteration, test=some)
        found += final_results(read).values()
    looks = ((result.id, look_at(result)) for result in found)
    return frozenset(test for test, look in looks if look is not None and look.cause is Cause.ENVIRONMENT)
