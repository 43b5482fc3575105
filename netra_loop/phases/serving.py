"""Which revisions are under test, asked of the cloud itself before and after anything relies on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netra_loop.cloud.base import Cloud, Standing
from netra_loop.core.events import RevisionReady
from netra_loop.core.records import Revision
from netra_loop.core.spec import ServiceSpec
from netra_loop.errors import ForeignChange
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.scope import Scope, websocket_url

_LOOK_AGAIN_S = 1.0


async def ensure_serving(context: PhaseContext) -> Mapping[str, Revision]:
    """The revisions under test, seen to serve now; starts the environment's cloud where it is not up yet.

    A URL that moved (the embedded cloud came back on another port) is recorded. Raises ForeignChange where another
    revision serves, or gets a share, than the one this session tests; not to `collect-logs` where that spoilt the
    iteration already: it puts together what there is. Services never deployed are left out.
    """
    cloud = await context.tools.cloud()
    known = context.state().revisions
    spoilt = context.state().foreign is not None and context.phase.uses == "collect-logs"
    if cloud is None or spoilt:
        return known
    for service, revision in known.items():
        found = await _settled(context, cloud, revision)
        if isinstance(found, str):
            raise ForeignChange(service, revision.name, found, revision.tag)
        if found.url != revision.url:
            await context.event(revision_ready(found))
    return context.state().revisions


async def foreign_now(context: PhaseContext) -> ForeignChange | None:
    """Whether something else serves by now than what is under test: what came meanwhile is not to be relied on."""
    cloud = await context.tools.cloud()
    if cloud is None:
        return None
    for service, revision in context.state().revisions.items():
        found = await _settled(context, cloud, revision)
        if isinstance(found, str):
            return ForeignChange(service, revision.name, found, revision.tag)
    return None


def under_test(scope: Scope, spec: ServiceSpec | None, revision: Revision) -> Revision:
    """`revision` at the address where it is tested: the service's own `url` where the loop gives one. A tag's URL
    stays, for a custom domain leads to what gets the traffic.
    """
    if spec is None or spec.url is None or revision.tag is not None:
        return revision
    url = scope.text(spec.url).rstrip("/")
    return replace(revision, url=url, ws_url=websocket_url(url) or "")


def revision_ready(revision: Revision) -> RevisionReady:
    """The fact that `revision` serves."""
    return RevisionReady(
        service=revision.service, revision=revision.name, url=revision.url, ws_url=revision.ws_url, tag=revision.tag
    )


async def _settled(context: PhaseContext, cloud: Cloud, revision: Revision) -> Revision | str:
    """`revision` where it is reached now, or the name of what is found in its place: looked at twice, for what the API
    tells of traffic lags behind.
    """
    found = _found(await cloud.standing(revision.service), revision)
    if isinstance(found, str):
        await context.clock.sleep(_LOOK_AGAIN_S)
        found = _found(await cloud.standing(revision.service), revision)
    if isinstance(found, str):
        return found
    return under_test(context.scope(), context.spec.services.get(revision.service), found)


def _found(standing: Standing | None, revision: Revision) -> Revision | str:
    if standing is None:
        return "nothing"
    if revision.tag is not None:
        tagged = next((target for target in standing.targets if target.tag == revision.tag), None)
        if tagged is None or tagged.revision != revision.name:
            return (tagged.revision if tagged is not None else None) or "nothing"
        return _at(revision, tagged.url or revision.url)
    if standing.serving != revision.name:
        return standing.serving or "nothing"
    shares = [target.revision for target in standing.targets if target.percent and target.revision is not None]
    return next((name for name in shares if name != revision.name), None) or _at(revision, standing.url)


def _at(revision: Revision, url: str) -> Revision:
    return replace(revision, url=url, ws_url=websocket_url(url) or "")
