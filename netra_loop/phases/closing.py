"""What a session does to its services when it ends: promotes what it tested at a tag, leaves a service that served each
new revision at the best of them where the goal was not met, and takes its tags off.

Not a word of `uses`: the driver does it between the last outcome and `session_ended`. Each step looks before it acts,
so a crash in between is repeated by the next process. A paused session keeps its tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netra_loop.cloud.base import Cloud
from netra_loop.core.best import best
from netra_loop.core.events import Noted, TrafficMoved
from netra_loop.core.records import Batch, Revision
from netra_loop.errors import EnvironmentFailed, ForeignChange
from netra_loop.phases.base import PhaseContext

PROMOTED, BEST = "promoted", "best"


async def close_session(context: PhaseContext, *, met: bool) -> bool:
    """Promotes, where the goal is `met`, or else goes back to the best; then takes off every tag the session may have
    made. True once all is done.

    Raises EnvironmentFailed where a promotion fails: the session has not ended then, and a resume tries again. A tag
    that cannot be taken off is noted and stays. Safe to cancel and to repeat.
    """
    try:
        cloud = await context.tools.cloud()
        if cloud is not None and met:
            await _promote(context, cloud)
    except EnvironmentFailed as error:
        if met:
            raise
        await context.event(Noted(text=f"the session's tags stay, for the cloud cannot be reached: {error}"))
        return True
    if cloud is not None:
        if not met:
            await _leave_at_best(context, cloud)
        await _untag(context, cloud)
    return True


async def _promote(context: PhaseContext, cloud: Cloud) -> None:
    """None of several services is promoted where one of them cannot be, as far as looking tells."""
    revisions = context.state().revisions
    found = [revisions[service] for service in context.spec.deploy_order if service in revisions]
    waiting = [one for one in found if one.tag is not None and one.service not in context.state().promoted]
    for revision in waiting:
        with _unpromoted(context, revision):
            await _check_ours(context, cloud, revision)
    for revision in waiting:
        with _unpromoted(context, revision):
            theirs = await _check_ours(context, cloud, revision)
            await cloud.route(revision.service, revision.name, drop_tag=revision.tag)
        moved = TrafficMoved(service=revision.service, revision=revision.name, why=PROMOTED)
        told = () if theirs is None else (Noted(text=_passed_over(revision, theirs)),)
        await context.record(Batch(events=tuple(map(context.stamp, (*told, moved)))))


@contextmanager
def _unpromoted(context: PhaseContext, revision: Revision) -> Iterator[None]:
    try:
        yield
    except EnvironmentFailed as error:
        raise EnvironmentFailed(
            f"the goal is met, but {revision.name!r} was not promoted: {error}",
            hint=error.hint or f"then: netra-loop resume {context.session}",
        ) from error


async def _leave_at_best(context: PhaseContext, cloud: Cloud) -> None:
    """What cannot be sent there is noted, and the session ends all the same."""
    services = context.spec.services
    found = best(context.state(), list(services))
    if found is None:
        return
    failed = f"{found.failures} test{'' if found.failures == 1 else 's'} failed"
    if found.iteration == found.newest:
        context.observer.progress(f"what serves is the best of this session, iteration {found.iteration}: {failed}")
        return
    why = f"iteration {found.iteration}, where {failed}, not {found.failures_newest} as in iteration {found.newest}"
    for service, spec in services.items():
        revision = found.revisions[service]
        if spec.traffic != "latest" or context.state().left_at.get(service) == revision:
            continue
        try:
            await _leave_at(context, cloud, service, revision)
        except EnvironmentFailed as error:
            by_hand = f"gcloud run services update-traffic {service} --to-revisions={revision}=100"
            text = f"service {service!r} was not sent back to {revision}, the best of this session: {error}; {by_hand}"
            await context.event(Noted(text=text))
            continue
        await context.event(TrafficMoved(service=service, revision=revision, why=BEST))
        context.observer.progress(f"{service} serves {revision} again, the best of this session: {why}")


async def _leave_at(context: PhaseContext, cloud: Cloud, service: str, revision: str) -> None:
    """Raises ForeignChange where the service serves what is none of this session's revisions."""
    ours = {one.revision.name for one in context.state().deployed if one.revision.service == service}
    seen = context.state().traffic.get(service)
    standing = await cloud.standing(service)
    serves = standing.serving if standing is not None else None
    if serves not in {*ours, None if seen is None else seen.revision}:
        raise ForeignChange(service, revision, serves or "nothing")
    await cloud.route(service, revision)


def _passed_over(revision: Revision, theirs: str) -> str:
    return (
        f"somebody else made {theirs} of service {revision.service!r} after {revision.name} was deployed, without "
        f"traffic: it was not tested here and gets none; {revision.name} is promoted by its name"
    )


async def _check_ours(context: PhaseContext, cloud: Cloud, revision: Revision) -> str | None:
    """The short name of the revision that was made last, where that is not `revision` but somebody else's. Raises
    ForeignChange where the service serves neither what it served before the session nor what is promoted.
    """
    seen = context.state().traffic.get(revision.service)
    standing = await cloud.standing(revision.service)
    serves = standing.serving if standing is not None else None
    if seen is not None and serves not in {seen.revision, revision.name}:
        raise ForeignChange(revision.service, seen.revision or revision.name, serves or "nothing")
    created = standing.latest_created if standing is not None else None
    ours = {one.revision.name for one in context.state().deployed if one.revision.service == revision.service}
    return created if created not in ours else None


async def _untag(context: PhaseContext, cloud: Cloud) -> None:
    ours: dict[str, set[str]] = {}
    for service, tag in context.state().tags:
        ours.setdefault(service, set()).add(tag)
    for service, tags in sorted(ours.items()):
        try:
            standing = await cloud.standing(service)
            present = {target.tag for target in standing.targets} if standing is not None else set()
            for tag in sorted(tags & present):
                await cloud.untag(service, tag)
        except EnvironmentFailed as error:
            text = f"tags of service {service!r} stay, {', '.join(sorted(tags))} among them: {error}"
            await context.event(Noted(text=text))
