"""The revisions of earlier iterations, reached once more: by a tag, beside what serves now.

A tag is stored before it is put on, so whoever ends the session takes it off; until then it stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from netra_loop.cloud.base import Cloud, Failed
from netra_loop.core.events import RevisionTagged
from netra_loop.core.records import Revision
from netra_loop.core.state import Deployed
from netra_loop.errors import CloudCallFailed
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.readiness import Looks, until_it_answers
from netra_loop.phases.scope import websocket_url

_GONE = "RevisionGone"


def tag_of(session: str, iteration: int) -> str:
    """What the revisions of one iteration of a session are reached by where they get no traffic."""
    return f"nl-{session[-4:]}-{iteration}"


def revisions_before(context: PhaseContext) -> dict[str, Deployed]:
    """By service, the last revision that this session tested before the one under test; services without one are left
    out.
    """
    state = context.state()
    found: dict[str, Deployed] = {}
    for one in state.deployed:
        service = one.revision.service
        now = state.revisions.get(service)
        if now is None or one.iteration >= context.iteration or one.revision.name == now.name:
            continue
        if service not in found or one.iteration > found[service].iteration:
            found[service] = one
    return found


def claimed_between(context: PhaseContext) -> tuple[int, int]:
    """The iterations, the last one excluded, in which the revisions before (there must be one) were under test."""
    state = context.state()
    now = {revision.name for revision in state.revisions.values()}
    since = min(one.iteration for one in revisions_before(context).values())
    until = min((one.iteration for one in state.deployed if one.revision.name in now), default=context.iteration)
    return since, max(since + 1, until)


async def at_their_tags(
    context: PhaseContext, cloud: Cloud, earlier: Mapping[str, Deployed]
) -> dict[str, Revision] | Failed:
    """Each revision of `earlier` at its tag's URL, seen to answer there itself. The traffic stays as it is.

    Failed where one is gone or answers nobody any more. Safe to repeat: a tag that is there already is taken.
    """
    found = await tagged(context, cloud, earlier)
    return found if isinstance(found, Failed) else await unanswered(context, cloud, found) or found


async def tagged(context: PhaseContext, cloud: Cloud, earlier: Mapping[str, Deployed]) -> dict[str, Revision] | Failed:
    """Each revision of `earlier` at its tag's URL, `unanswered` so far."""
    found: dict[str, Revision] = {}
    for service, one in earlier.items():
        name, tag = one.revision.name, one.revision.tag or tag_of(context.session, one.iteration)
        if (service, tag) not in context.state().tags:
            await context.event(RevisionTagged(service=service, revision=name, tag=tag))
        try:
            url = await cloud.tag(service, name, tag)
        except CloudCallFailed as error:
            if error.code != "NOT_FOUND":
                raise
            return Failed(service, name, _GONE, str(error))
        found[service] = Revision(service, name, url, websocket_url(url) or "", one.revision.ready_at, tag)
    return found


async def unanswered(context: PhaseContext, cloud: Cloud, revisions: Mapping[str, Revision]) -> Failed | None:
    """None once each of `revisions` itself answered at its URL; the first that did not in time."""
    looks = Looks()
    for service, revision in revisions.items():
        failed = await until_it_answers(context, cloud, revision, context.spec.services.get(service), looks)
        if failed is not None:
            return failed
    return None
