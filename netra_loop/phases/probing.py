"""One test, run once more against revisions of an earlier iteration, each reached by its tag."""

from __future__ import annotations

from dataclasses import dataclass

from netra_loop.cloud.base import Failed
from netra_loop.core.bisecting import Step, standing
from netra_loop.core.records import Authenticity, Result
from netra_loop.core.state import Deployed
from netra_loop.errors import EnvironmentFailed, UsageError
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.sides import Sides, answered_by_others
from netra_loop.phases.tagging import at_their_tags, tag_of

_SIDE = "bisect"


@dataclass(frozen=True)
class Probe:
    """What came of one. `passed` None: nothing that says anything of the revision; `told` is why, or a failure's
    message. `result` None: the test did not run.
    """

    step: Step
    passed: bool | None
    told: str = ""
    result: Result | None = None


async def probe(context: PhaseContext, step: Step, test: str) -> Probe:
    """Runs `test` once. Of each tag that is put on for it `context` is given a RevisionTagged before; taking them off
    is its owner's. Safe to cancel: processes are ended, tags stay.
    """
    cloud = await context.tools.cloud()
    if cloud is None:
        raise UsageError(
            f"environment {context.scope().environment!r} has no cloud, so there are no revisions to go back to",
            hint="look at what each iteration saw: netra-loop results SESSION --iteration all --test TEST",
        )
    earlier = {name: Deployed(step.iteration, revision) for name, revision in step.revisions.items()}
    found = await at_their_tags(context, cloud, earlier)
    if isinstance(found, Failed):
        return Probe(step, None, f"{found.revision} cannot be tested any more: {found.reason}: {found.message}")
    sides = Sides.alone(context, _SIDE, found)
    ran = await sides.run_now([test])
    if test not in ran:
        return Probe(step, None, "the test cannot be collected now, or did not run to its end")
    result = ran[test]
    doubts, _ = await answered_by_others(context, cloud, sides, {}, ran)
    if test in doubts:
        return Probe(step, None, doubts[test], result)
    return Probe(step, standing([result]), _said(result), result)


async def take_off(context: PhaseContext) -> list[str]:
    """Takes the tags of the session's revisions off but for those it is to keep (`State.tags`); also what a probe that
    was killed left. Tells which could not be. Safe to repeat.
    """
    left: list[str] = []
    cloud, state = await context.tools.cloud(), context.state()
    ours = {(one.revision.service, one.revision.name) for one in state.deployed}
    names = {one.revision.tag or tag_of(context.session, one.iteration) for one in state.deployed}
    for service in {service for service, _ in ours} if cloud is not None else ():
        assert cloud is not None
        try:
            standing = await cloud.standing(service)
            there = standing.targets if standing is not None else ()
            made = {one.tag for one in there if one.tag and (service, one.revision) in ours}
            for tag in sorted(made):
                if tag in names and (service, tag) not in state.tags:
                    await cloud.untag(service, tag)
        except EnvironmentFailed as error:
            left.append(f"tags of service {service!r} stay: {error}")
    return left


def _said(result: Result) -> str:
    if result.authenticity is Authenticity.FAKE or not result.outcome.is_failure:
        return ", ".join(result.reasons)
    return result.message or ""
