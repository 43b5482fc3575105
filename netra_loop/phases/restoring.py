"""The way back of a deploy that did not succeed: every service it changed serves its last good revision again.

The traffic is pinned to that revision by name: a revision that gets ready after it was given up must not take the
traffic by itself. The next deploy with `traffic: latest` asks for the latest again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from netra_loop.cloud.base import Cloud, Standing
from netra_loop.core.events import Noted, TrafficMoved, TrafficSeen
from netra_loop.errors import EnvironmentFailed
from netra_loop.phases.base import PhaseContext

RESTORED = "restored"
RESUMED = "resumed"


async def look_first(context: PhaseContext, cloud: Cloud, service: str, tag: str | None) -> bool:
    """Stores what `service` serves before this iteration changes it. True where an earlier attempt of this deploy had
    sent the traffic back: it stays there until the revision is ready, for the latest that is ready may be one that
    never served; adopting the revision then gives the traffic to it.
    """
    seen = context.state().traffic.get(service)
    standing = await cloud.standing(service)
    if seen is None or seen.iteration != context.iteration:
        fact = TrafficSeen(service=service, revision=None, tag=tag)
        if standing is not None:
            fact = replace(fact, revision=standing.serving, change=standing.change, created=standing.latest_created)
        await context.event(fact)
        if tag is not None and fact.revision is None:
            context.observer.progress(
                f"{service} serves nothing yet: its first revision gets the traffic, tagged or not"
            )
        return False
    sent_back = standing is not None and seen.revision is not None and _is_pinned(standing, seen.revision)
    return tag is None and sent_back and standing is not None and standing.change != seen.change


async def restore(
    context: PhaseContext, cloud: Cloud, made: Collection[str], *, spare: str | None = None, unsure: str | None = None
) -> None:
    """Sends the traffic of every service that this iteration's deploy changed back. Safe to repeat.

    `made` are the revisions known to be ours; `spare` is a service that somebody else changed, which is left alone;
    of `unsure` it is not known how far its deploy got, so that what was made since is ours too. Raises
    EnvironmentFailed, once all were tried, where one could not be sent back.
    """
    troubles: list[EnvironmentFailed] = []
    for service, seen in context.state().traffic.items():
        if seen.iteration != context.iteration or service == spare or seen.revision is None:
            continue
        try:
            await _send_back(context, cloud, seen, seen.revision, made, unsure=service == unsure)
        except EnvironmentFailed as error:
            troubles.append(
                EnvironmentFailed(
                    f"the traffic of service {service!r} could not be sent back to {seen.revision!r}: {error}",
                    hint=f"resume, or by hand: gcloud run services update-traffic {service} "
                    f"--to-revisions={seen.revision}=100",
                )
            )
    if troubles:
        raise EnvironmentFailed("; ".join(map(str, troubles)), hint=troubles[0].hint)


async def _send_back(
    context: PhaseContext, cloud: Cloud, seen: TrafficSeen, revision: str, made: Collection[str], *, unsure: bool
) -> None:
    standing = await cloud.standing(seen.service)
    if standing is None or standing.change == seen.change or _is_pinned(standing, revision):
        return
    serves = standing.serving
    if seen.tag is not None and serves == revision:
        return  # nothing but a tag was added, and the traffic was pinned with it
    if unsure and standing.latest_created != seen.created:
        made = {*made, standing.latest_created or ""}
    # Asked for the latest, as our deploy did, the cloud may give the traffic to one that was ready before ours.
    by_us = standing.latest_created in made and _is_pinned(standing, None)
    if not by_us and serves not in {None, revision, *made}:
        text = f"service {seen.service!r} serves {serves!r}, which is not this session's: its traffic is left as it is"
        await context.event(Noted(text=text))
        return
    await cloud.route(seen.service, revision)
    await context.event(TrafficMoved(service=seen.service, revision=revision, why=RESTORED))
    context.observer.progress(f"{seen.service} serves {revision} again")


def _is_pinned(standing: Standing, revision: str | None) -> bool:
    """Whether all traffic is asked to go to `revision`; None: to the latest."""
    shares = [target for target in standing.targets if target.percent]
    return bool(shares) and all(target.revision == revision for target in shares)
