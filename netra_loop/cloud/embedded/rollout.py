"""Carries changes out: starts the new revision, and only when it is up lets traffic move; ends what nobody needs.

One change of a service at a time, in the order they were taken in. What a kill interrupts is begun again by `resume`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from google.cloud import run_v2

from netra_loop.cloud.embedded import conditions, traffic
from netra_loop.cloud.embedded.access import Access, Turned
from netra_loop.cloud.embedded.fleet import NoInstance
from netra_loop.cloud.embedded.front import Fronts, Route
from netra_loop.cloud.embedded.instance import Instance, Launch, StartFailed
from netra_loop.cloud.embedded.instances import Instances
from netra_loop.cloud.embedded.knobs import KnobFile
from netra_loop.cloud.embedded.launching import launch_of
from netra_loop.cloud.embedded.operations import Operations
from netra_loop.cloud.embedded.provision import Provision
from netra_loop.cloud.embedded.recorder import Recorder
from netra_loop.cloud.embedded.state import Resources
from netra_loop.cloud.embedded.vault import Vault

_log = logging.getLogger(__name__)
_NOT_FOUND = 5
_DEPLOYED = "DEPLOYMENT_ROLLOUT - Instance started due to traffic shifting between revisions due to deployment."


class Rollouts:
    """The hands of the embedded cloud; also the front's backend."""

    def __init__(
        self,
        resources: Resources,
        operations: Operations,
        recorder: Recorder,
        folder: Path,
        knobs: KnobFile,
        access: Access,
        vault: Vault,
    ) -> None:
        self._knobs = knobs
        self._access = access
        self._resources = resources
        self._operations = operations
        self._mark = str(folder)
        self._instances = Instances(recorder, folder / "instances.json", Provision(knobs, vault).prepared)
        self._fronts = Fronts(self, recorder)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()  # revisions whose instances stay, though nothing points to them yet
        self._lagging: set[str] = set()  # likewise: ready, and the service does not say so yet
        self._launches: dict[str, tuple[str, Launch]] = {}  # with the etag of the service they were made from

    # ---------------------------------------------------------------------------------- for the front

    def route(self, service: str, tag: str) -> Route | None:
        """See `front.Backend.route`."""
        found = self._resources.services.get(service)
        name = traffic.choose(found, tag) if found is not None else None
        revision = self._resources.revisions.get(f"{service}/revisions/{name}")
        if found is None or revision is None:
            return None
        known = self._launches.get(revision.name)
        if known is None or known[0] != found.etag:
            known = self._launches[revision.name] = (found.etag, launch_of(found, revision, self._mark))
        return Route(revision.name, known[1])

    def turned(self, service: str, authorization: str | None) -> Turned | None:
        """See `front.Backend.turned`."""
        found = self._resources.services.get(service)
        if found is None or found.invoker_iam_disabled:
            return None
        tags = [status.uri for status in found.traffic_statuses if status.uri]
        return self._access.turned(traffic.short(service), [*found.urls, *found.custom_audiences, *tags], authorization)

    async def instance(self, route: Route) -> Instance:
        """See `front.Backend.instance`."""
        return await self._instances.acquire(route.revision, route.launch)

    # ---------------------------------------------------------------------------------- for the API

    async def open_service(self, service: run_v2.Service) -> None:
        """Gives the service its ports, the earlier ones where they are free, and its URLs."""
        service.uri = await self._open(service.name, "")
        service.urls = [service.uri]
        for tag in traffic.tags_of(service):
            await self._open(service.name, tag)

    def begin(self, service: str, revision: str | None, operation: Any) -> None:
        """Carries out the service's present spec; `revision` (full name) is the one to start, None: traffic only."""
        self._spawn(self._carry_out(service, revision, operation))

    def remove(self, service: str) -> None:
        """Takes the service off its ports and ends its instances."""
        for owner, tag in [key for key in self._resources.ports if key[0] == service]:
            self._fronts.close(owner, tag)
            del self._resources.ports[owner, tag]
        self._end_unwanted()

    async def resume(self, *, inherited: bool) -> None:
        """After a start on an earlier state: ports open, what serves runs again, what was interrupted goes on.

        Where the state was `inherited` from another folder, instances start with the first request, and what was
        interrupted there is failed.
        """
        for service in self._resources.services.values():
            await self.open_service(service)
            interrupted = [item for item in self._resources.revisions_of(service.name) if item.reconciling]
            if inherited:
                for revision in interrupted:
                    failure = StartFailed("INTERNAL", f"Revision '{traffic.short(revision.name)}': deploy interrupted.")
                    conditions.revision_settled(revision, failure)
                    conditions.service_settled(service, failure)
                await self._apply_traffic(service)
                continue
            await self._apply_urls(service)
            newest = self._resources.revisions.get(service.latest_created_revision)
            if newest is not None and conditions.is_ready(newest):
                service.latest_ready_revision = newest.name  # where that lagged when the server ended
            for name in traffic.wanted(service):
                self._spawn(self._warm(service, name))
            for revision in interrupted:
                self.begin(service.name, revision.name, None)
            if service.reconciling and not interrupted:
                self.begin(service.name, None, None)
        self._resources.save()

    async def close(self, grace_s: float) -> None:
        """Ends ports and instances; what was going on is begun again by the next `resume`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._instances.close(grace_s)
        await self._fronts.close_all()

    # ---------------------------------------------------------------------------------- the work itself

    async def _carry_out(self, name: str, revision_name: str | None, operation: Any) -> None:
        async with self._locks[name]:
            asked = self._resources.services.get(name)
            if asked is None:
                self._report(operation, run_v2.Service(name=name), StartFailed("INTERNAL", f"{name} is deleted"))
                return
            self._held.add(revision_name or "")
            try:
                await self._carry_out_held(asked, revision_name, operation)
            finally:
                self._held.discard(revision_name or "")
                self._end_unwanted()

    async def _carry_out_held(self, asked: run_v2.Service, revision_name: str | None, operation: Any) -> None:
        revision = self._resources.revisions.get(revision_name or "")
        failure = await self._start(asked, revision) if revision is not None else self._never_ready(asked)
        service = self._resources.services.get(asked.name)  # a newer spec may have come meanwhile, or a deletion
        if service is None or (revision is not None and revision.name not in self._resources.revisions):
            failure = StartFailed("INTERNAL", f"{revision_name or asked.name} was deleted while it was deployed")
            self._report(operation, service or asked, failure)
            return
        if revision is not None:
            conditions.revision_settled(revision, failure)
            if failure is None:
                self._became_ready(service, revision)
        if service.generation == asked.generation:
            unroutable = traffic.unroutable(service, self._resources.revisions) if failure is None else None
            failure = failure or unroutable
            if failure is None:
                await self._apply_traffic(service)
            conditions.service_settled(service, failure, in_routes=unroutable is not None)
        self._end_unwanted()
        self._resources.save()
        self._report(operation, service, failure)

    async def _start(self, service: run_v2.Service, revision: run_v2.Revision) -> StartFailed | None:
        try:
            await self._instances.ensure(revision.name, launch_of(service, revision, self._mark), _DEPLOYED)
        except (StartFailed, NoInstance) as failure:
            text = f"Revision '{traffic.short(revision.name)}' is not ready and cannot serve traffic. {failure}"
            return StartFailed(failure.reason if isinstance(failure, StartFailed) else "INTERNAL", text)
        return None

    def _never_ready(self, service: run_v2.Service) -> StartFailed | None:
        """Why nothing can serve a change of traffic alone: the only revisions there are have failed."""
        created = self._resources.revisions.get(service.latest_created_revision)
        return conditions.failure_of(created) if created is not None and not service.latest_ready_revision else None

    def _became_ready(self, service: run_v2.Service, revision: run_v2.Revision) -> None:
        lag_s = self._knobs.last_good().lagging_latest_ready_ms / 1000
        if lag_s:
            self._lagging.add(revision.name)
            self._spawn(self._lag(service.name, revision.name, lag_s))
        else:
            service.latest_ready_revision = revision.name

    async def _lag(self, service: str, revision: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self._locks[service]:
            self._lagging.discard(revision)
            found = self._resources.services.get(service)
            if found is not None and found.latest_created_revision == revision:
                found.latest_ready_revision = revision
                self._resources.save()
            self._end_unwanted()

    async def _apply_traffic(self, service: run_v2.Service) -> None:
        wanted_tags = traffic.tags_of(service)
        for owner, tag in [key for key in self._resources.ports if key[0] == service.name and key[1]]:
            if tag not in wanted_tags:
                self._fronts.close(owner, tag)
                del self._resources.ports[owner, tag]
        urls = {tag: await self._open(service.name, tag) for tag in wanted_tags}
        service.traffic_statuses = traffic.statuses(service, urls)

    async def _apply_urls(self, service: run_v2.Service) -> None:
        for status in service.traffic_statuses:
            if status.tag:
                status.uri = await self._open(service.name, status.tag)

    async def _open(self, service: str, tag: str) -> str:
        port = await self._fronts.open(service, tag, self._resources.ports.get((service, tag)))
        self._resources.ports[service, tag] = port
        return f"http://127.0.0.1:{port}"

    async def _warm(self, service: run_v2.Service, name: str) -> None:
        revision = self._resources.revisions.get(f"{service.name}/revisions/{name}")
        if revision is not None and not revision.reconciling:
            failure = await self._start(service, revision)
            if failure is not None:
                _log.warning("revision %s did not come back: %s", name, failure)

    def _end_unwanted(self) -> None:
        wanted = {
            f"{service.name}/revisions/{name}"
            for service in self._resources.services.values()
            for name in traffic.wanted(service)
        }
        pending = {name for name, revision in self._resources.revisions.items() if revision.reconciling}
        self._instances.retire_all_but(wanted | pending | self._held | self._lagging)
        for name, revision in self._resources.revisions.items():
            if conditions.is_ready(revision):
                conditions.revision_active(revision, active=name in wanted)

    def _report(self, operation: Any, service: run_v2.Service, failure: StartFailed | None) -> None:
        if operation is None:
            return
        if failure is None:
            self._operations.succeed(operation, service)
        else:
            there = service.name in self._resources.services
            code = self._knobs.last_good().lro_error_code if there else _NOT_FOUND
            self._operations.fail(operation, service, code, str(failure))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a rollout broke", exc_info=task.exception())
