"""Changing a service: only under the etag that was read, never twice for one intent, never over somebody's head.

After every doubt (a lost answer, a refused etag, an API that was away) the service is read before anything is sent
again, and what was taken in after all is adopted.
"""

from __future__ import annotations

from collections.abc import Callable

from google.cloud import run_v2
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped]
from google.protobuf import field_mask_pb2

from netra_loop import __version__
from netra_loop.clock import Clock
from netra_loop.cloud import google_specs as specs
from netra_loop.cloud import google_targets as targets
from netra_loop.cloud import google_views as views
from netra_loop.cloud.base import DeployRequest, Progress
from netra_loop.cloud.google_calls import CALL_LIMIT_S, Calls
from netra_loop.cloud.google_link import Link
from netra_loop.cloud.google_refusals import status_of
from netra_loop.cloud.google_resources import POLL_S, Resources
from netra_loop.errors import CloudCallFailed, ForeignChange
from netra_loop.values import dataclass

_CONFLICTS = {"ABORTED", "ALREADY_EXISTS"}
_SEEN_LATE_S = 5.0  # for something that is said to be there and cannot be read yet
_SETTLE_S = 60.0
_SLICE_S = 2.0
_TRAFFIC_ALONE = ("traffic", "client", "client_version")


@dataclass(frozen=True)
class Begun:
    """A deploy on its way: the revision's short name, and its operation; None: an earlier attempt had begun it."""

    name: str
    operation: Operation | None


class Changes:
    """What is done to services."""

    def __init__(self, link: Link, calls: Calls, resources: Resources, clock: Clock) -> None:
        self._link = link
        self._calls = calls
        self._resources = resources
        self._clock = clock

    async def make(self, request: DeployRequest, progress: Progress) -> Begun:
        """Asks for the revision, unless it was asked for before. Raises ForeignChange where somebody was faster."""
        name = specs.revision_name(request)
        first = present = await self._resources.service(request.service)
        if await self._is_made(request, name, present):
            return Begun(name, None)
        waiting = self._calls.patient()
        conflicts = 0
        while True:
            try:
                return Begun(name, await self._upsert(self._asked(request, name, present)))
            except CloudCallFailed as error:
                conflicts += error.code in _CONFLICTS
                if await self._is_made_after(error, request, name):
                    return Begun(name, None)
                if error.code in _CONFLICTS:
                    given_up = conflicts > 1
                else:
                    given_up = not error.retryable or not await waiting.pause(error)
                present = await self._resources.service(request.service)
                if await self._is_made(request, name, present):
                    return Begun(name, None)
                _check_ours(request.service, name, first, present)
                if given_up:
                    raise
                if error.code == "ABORTED":
                    progress(
                        f"{request.service}: somebody else changed it meanwhile, not what it serves: asking once more"
                    )

    async def route(self, service: str, revision: str | None, drop_tag: str | None) -> bool:
        """See `Cloud.route`."""

        def wanted(present: run_v2.Service) -> targets.Targets:
            made = targets.all_to(present, revision) if revision is not None else targets.newest(present)
            return targets.without_tag(made, drop_tag) if drop_tag is not None else made

        return await self.redirect(service, wanted, revision or "the latest revision")

    async def tag(self, service: str, revision: str, tag: str) -> str:
        """See `Cloud.tag`."""
        call = f"tagging revision {revision!r} of service {service!r}"
        if await self._resources.revision(service, revision) is None:
            raise CloudCallFailed(call, "NOT_FOUND", f"there is no revision {revision!r}")
        await self.redirect(service, lambda found: targets.with_tag(found, revision, tag), f"tag {tag}")
        end = self._clock.monotonic() + _SETTLE_S
        while True:  # a tag is carried out before its URL is told
            present = await self._resources.service(service)
            status = views.tagged(present, tag) if present is not None else None
            if present is not None and status is not None and views.reached(present, status) == revision:
                return str(status.uri).rstrip("/")
            if self._clock.monotonic() > end:
                raise CloudCallFailed(call, "DEADLINE_EXCEEDED", f"the tag {tag!r} has no URL yet")
            await self._clock.sleep(POLL_S)

    async def untag(self, service: str, tag: str) -> bool:
        """See `Cloud.untag`."""
        present = await self._resources.service(service)
        if present is None or not any(one.tag == tag for one in present.traffic):
            return False
        return await self.redirect(
            service, lambda found: targets.without_tag(views.targets_of(found), tag), f"no tag {tag}"
        )

    async def redirect(self, service: str, wanted: Callable[[run_v2.Service], targets.Targets], meant: str) -> bool:
        """Changes the service's traffic, and nothing else, to what `wanted` makes of it; returns once it is so. False
        where it was so already; `meant` is what it is about, for a person.
        """
        call = f"routing traffic of service {service!r} to {meant}"
        waiting = self._calls.patient()
        first: run_v2.Service | None = None
        conflicts = 0
        while True:
            present = await self._resources.service(service)
            if present is None:
                raise CloudCallFailed(call, "NOT_FOUND", f"there is no service {service!r}")
            asked = wanted(present)
            if targets.same(asked, views.targets_of(present)):
                break
            first = present if first is None else first
            _check_ours(service, meant, first, present)
            try:
                operation = await self._upsert(_with_traffic(present, asked), *_TRAFFIC_ALONE)
            except CloudCallFailed as error:
                conflicts += error.code in _CONFLICTS
                if error.code in _CONFLICTS and conflicts < 2:  # once more, under the new etag
                    continue
                if error.code in _CONFLICTS or not error.retryable or not await waiting.pause(error):
                    raise
                continue
            await self._settled(call, service, asked, operation)
            return True
        await self._settled(call, service, asked, None)
        return first is not None  # a call whose answer was lost had changed it

    def _asked(self, request: DeployRequest, name: str, present: run_v2.Service | None) -> run_v2.Service:
        service = specs.service_of(request, self._resources.full_name(request.service), present)
        service.traffic = targets.newest(present) if request.tag is None else targets.beside(present, name, request.tag)
        return service

    async def _upsert(self, service: run_v2.Service, *fields: str) -> Operation:
        """Sends the service under its etag; `fields`: these alone, none meaning all of it."""
        mask = field_mask_pb2.FieldMask(paths=fields) if fields else None
        request = run_v2.UpdateServiceRequest(service=service, update_mask=mask, allow_missing=not fields)

        async def call() -> Operation:
            answer = await self._link.services.update_service(request, retry=None, timeout=CALL_LIMIT_S)
            return answer.operation

        what = "routing traffic of" if fields else "deploying"
        return await self._calls.once(f"{what} service {views.short(service.name)!r}", call)

    async def _is_made(self, request: DeployRequest, name: str, present: run_v2.Service | None) -> bool:
        """Whether the revision of this intent is there, ready or not."""
        if present is None:
            return False
        if views.short(present.latest_created_revision) == name:
            return True
        revision = await self._resources.revision(request.service, name)
        if revision is not None and specs.labels_of(request).items() - revision.labels.items():
            raise ForeignChange(request.service, f"{name} made by this session", f"{name} made by another")
        return revision is not None

    async def _is_made_after(self, error: CloudCallFailed, request: DeployRequest, name: str) -> bool:
        """Whether the revision that is said to exist already is ours; it may show only after a while."""
        end = self._clock.monotonic() + _SEEN_LATE_S
        while error.code == "ALREADY_EXISTS" and name in error.detail:
            if await self._is_made(request, name, await self._resources.service(request.service)):
                return True
            if self._clock.monotonic() > end:
                break
            await self._clock.sleep(POLL_S)
        return False

    async def _settled(self, call: str, service: str, asked: targets.Targets, operation: Operation | None) -> None:
        """Waits until the traffic goes where it was asked to. The operation's own error is not believed before the
        service was looked at: it may be about a revision that failed long ago.
        """
        end = self._clock.monotonic() + _SETTLE_S
        while True:
            if operation is not None and not operation.done:
                operation = await self._resources.operation(operation, _SLICE_S)
            present = await self._resources.service(service)
            if present is not None and targets.same(views.targets_of(present), asked):
                if targets.carried_out(present):
                    return
            elif operation is None or operation.done:
                raise ForeignChange(service, "the traffic just asked for", _serving(present))
            failed = operation is not None and operation.done and operation.HasField("error")
            if present is not None and not present.reconciling and (failed or self._clock.monotonic() > end):
                code = status_of(operation.error.code).name if operation and failed else "DEADLINE_EXCEEDED"
                text = operation.error.message if operation and failed else present.terminal_condition.message
                hint = "netra-loop shows what serves with: netra-loop status; route it by hand, then resume"
                raise CloudCallFailed(call, code, text or "the traffic does not follow", hint=hint)
            if self._clock.monotonic() > end + _SETTLE_S:
                raise CloudCallFailed(call, "DEADLINE_EXCEEDED", "the service is still reconciling")
            if operation is None or operation.done:
                await self._clock.sleep(POLL_S)


def _with_traffic(present: run_v2.Service, asked: targets.Targets) -> run_v2.Service:
    service = specs.copy_of(present)
    service.traffic = asked
    service.client, service.client_version = specs.CLIENT, __version__
    return service


def _check_ours(service: str, ours: str, before: run_v2.Service | None, now: run_v2.Service | None) -> None:
    """Raises ForeignChange where somebody deployed or moved traffic in between; other changes are none of ours."""
    if now is None:
        if before is not None:
            raise ForeignChange(service, ours, "nothing")
        return
    if before is None or before.latest_created_revision != now.latest_created_revision:
        if now.latest_created_revision:
            raise ForeignChange(service, ours, views.short(now.latest_created_revision))
        return
    if not targets.same(views.targets_of(before), views.targets_of(now)):
        raise ForeignChange(service, ours, _serving(now))


def _serving(service: run_v2.Service | None) -> str:
    return (views.serving_name(service) if service is not None else None) or "nothing"
