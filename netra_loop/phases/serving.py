"""Which revisions are under test, asked of the cloud itself before anything relies on it."""

from __future__ import annotations

from collections.abc import Mapping

from netra_loop.core.events import RevisionReady
from netra_loop.core.records import Revision
from netra_loop.errors import ForeignChange
from netra_loop.phases.base import PhaseContext


async def ensure_serving(context: PhaseContext) -> Mapping[str, Revision]:
    """The revisions under test, seen to serve now; starts the environment's cloud where it is not up yet.

    A URL that moved (the embedded cloud came back on another port) is recorded. Raises ForeignChange where another
    revision serves than the one this session deployed. Services never deployed are left out.
    """
    cloud = await context.tools.cloud()
    known = context.state().revisions
    if cloud is None:
        return known
    for service, revision in known.items():
        serving = await cloud.serving(service)
        found = serving.name if serving else "nothing"
        if serving is None or serving.name != revision.name:
            raise ForeignChange(service, revision.name, found)
        if serving.url != revision.url:
            await context.event(revision_ready(serving))
    return context.state().revisions


def revision_ready(revision: Revision) -> RevisionReady:
    """The fact that `revision` serves."""
    return RevisionReady(service=revision.service, revision=revision.name, url=revision.url, ws_url=revision.ws_url)
