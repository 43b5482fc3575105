"""A revision that somebody else makes, waited for."""

from __future__ import annotations

from collections.abc import Collection

from netra_loop.cloud.base import Cloud
from netra_loop.core.events import PhaseStarted, RevisionReady
from netra_loop.errors import UsageError
from netra_loop.phases.awaited import Arrived, Note
from netra_loop.phases.base import PhaseContext


class _Revision:
    """Whether some service serves another revision than it did. One that this session deployed is none of the new: what
    goes back to it is a change of traffic, and noted.
    """

    def __init__(self, services: Collection[str], cloud: Cloud, ours: Collection[str], tested: dict[str, str]) -> None:
        self.told = f"new revision of {' or '.join(services)}"
        self.place = ""
        self._services = services
        self._cloud = cloud
        self._ours = ours
        self._tested = tested

    async def known(self) -> dict[str, str]:
        """What is under test, else what serves, by service; "" where nothing does."""
        return {name: self._tested.get(name) or await self._serving(name) for name in self._services}

    async def look(self, known: dict[str, str]) -> Arrived | Note | None:
        """See `wait`."""
        note = None
        for service in self._services:
            found = await self._serving(service)
            if not found or found == known.get(service):
                continue
            if found not in self._ours:
                was = known.get(service) or "nothing"
                return Arrived(
                    f"{service} serves {found}, and served {was} before", {"service": service, "revision": found}
                )
            note = Note(found, f"{service} serves {found}, which this session made: that is not what is waited for")
        return note

    async def _serving(self, service: str) -> str:
        standing = await self._cloud.standing(service)
        return (standing.serving if standing is not None else None) or ""


async def awaited_revision(context: PhaseContext) -> _Revision:
    """The next revision of any of the loop's services. Raises UsageError where the environment has no cloud."""
    cloud = await context.tools.cloud()
    if cloud is None or not context.spec.services:
        missing = "services" if cloud else "a cloud in its environment"
        raise UsageError(
            f"phase {context.phase.name!r} waits for a revision, but the loop has no {missing}",
            hint=f"give the loop {missing}, or wait for something else in {context.spec.path.name}",
        )
    told = [item.event for item in await context.journal.events(context.session)]
    deploys = {event.phase for event in told if isinstance(event, PhaseStarted) and event.uses == "deploy"}
    ready = [event for event in told if isinstance(event, RevisionReady)]
    ours = {event.revision for event in ready if event.phase in deploys}
    # what is tested at a tag gets no traffic: there is nothing to hold what serves against but itself
    tested = {event.service: event.revision for event in ready if event.tag is None}
    return _Revision(tuple(context.spec.services), cloud, ours, tested)
