"""Waiting for a revision: until it is ready and reached, or failed, or its time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import field

from google.cloud import run_v2
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped]

from netra_loop.clock import Clock
from netra_loop.cloud import google_specs as specs
from netra_loop.cloud import google_targets as targets
from netra_loop.cloud import google_views as views
from netra_loop.cloud.base import Deployed, DeployRequest, Failed, Progress
from netra_loop.cloud.google_changes import Begun, Changes
from netra_loop.cloud.google_refusals import status_of
from netra_loop.cloud.google_resources import POLL_S, Resources
from netra_loop.errors import ForeignChange
from netra_loop.values import dataclass

_MARGIN_S = 60.0  # beyond the startup probe: scheduling, routing
_IMAGE_MARGIN_S = 300.0  # and reading the image
_SLICES_S = (0.5, 1.0, 2.0)
_POLLS = 150  # at the short distance, then further apart
_LATER_POLL_S = 1.0
_SEEN_LATE_S = 10.0  # what was just made may not be there to be read yet

WhyFailed = Callable[[str, str, str, str], Awaitable[Failed]]  # service, revision, reason, message


@dataclass
class _Wait:
    """One wait and what it has seen last."""

    request: DeployRequest
    name: str
    adopted: bool
    operation: Operation | None
    began_s: float
    revision: run_v2.Revision | None = None
    service: run_v2.Service | None = None
    told: str = ""
    polls: int = 0
    unseen_since_s: float | None = None
    containers: list[run_v2.Container] = field(default_factory=list)

    @property
    def limit_s(self) -> float:
        """How long it may take in all."""
        from_source = any(one.image.startswith(specs.FROM_SOURCE) for one in self.containers)
        return specs.start_limit_s(self.containers) + (_MARGIN_S if from_source else _IMAGE_MARGIN_S)

    @property
    def over(self) -> bool:
        """Whether the operation tells nothing any more."""
        return self.operation is None or bool(self.operation.done)


class Arrivals:
    """Waits for revisions. `why_failed` makes the answer for one that failed."""

    def __init__(self, resources: Resources, changes: Changes, clock: Clock, why_failed: WhyFailed) -> None:
        self._resources = resources
        self._changes = changes
        self._clock = clock
        self._why_failed = why_failed

    async def wait(self, request: DeployRequest, begun: Begun, progress: Progress) -> Deployed | Failed:
        """Raises ForeignChange where another revision was made or given the traffic meanwhile."""
        wait = _Wait(request, begun.name, begun.operation is None, begun.operation, self._clock.monotonic())
        while True:
            await self._look(wait, progress)
            answer = await self._answer(wait)
            if answer is not None:
                return answer
            if self._clock.monotonic() - wait.began_s >= wait.limit_s:
                return await self._late(wait)
            if wait.over:
                await self._clock.sleep(POLL_S if wait.polls < _POLLS else _LATER_POLL_S)

    async def _look(self, wait: _Wait, progress: Progress) -> None:
        """Waits a little for the operation, then reads revision and service; what changed is told."""
        if wait.operation is not None and not wait.operation.done:
            wait.operation = await self._resources.operation(wait.operation, _SLICES_S[min(wait.polls, 2)])
        wait.polls += 1
        wait.revision = await self._resources.revision(wait.request.service, wait.name)
        if wait.revision is not None:
            wait.containers = list(wait.revision.containers)
        wait.service = await self._resources.service(wait.request.service)
        told = views.going_on(wait.service, wait.revision)
        if told and told != wait.told:
            progress(f"{wait.request.service}: {told}")
            wait.told = told

    async def _answer(self, wait: _Wait) -> Deployed | Failed | None:
        """What has come out of it; None while that cannot be said."""
        revision, service = wait.revision, wait.service
        if revision is None or service is None:
            return await self._unseen(wait)
        await self._check_foreign(wait, revision, service)
        failed = views.failure(revision)
        if failed is not None:
            return await self._why_failed(wait.request.service, wait.name, *failed)
        since = views.ready_at(revision)
        if since is None:
            return await self._unseen(wait) if _error_of(wait.operation) else None
        if wait.request.tag is not None:
            status = views.tagged(service, wait.request.tag)
            if status is not None and views.reached(service, status) == wait.name:
                return Deployed(views.revision_of(service, wait.name, since, status), adopted=wait.adopted)
        elif views.serves_alone(service, wait.name):
            return Deployed(views.revision_of(service, wait.name, since), adopted=wait.adopted)
        return await self._not_reached(wait, service)

    async def _unseen(self, wait: _Wait) -> Failed | None:
        """Nothing to be seen of it, or nothing of how it failed: that may come, for a bounded time."""
        now = self._clock.monotonic()
        if not wait.over or wait.unseen_since_s is None:
            wait.unseen_since_s = now
        if now - wait.unseen_since_s < _SEEN_LATE_S:
            return None
        error = _error_of(wait.operation)
        if error is not None:
            return await self._why_failed(wait.request.service, wait.name, *error)
        raise ForeignChange(wait.request.service, wait.name, "nothing: it was deleted")

    async def _check_foreign(self, wait: _Wait, revision: run_v2.Revision, service: run_v2.Service) -> None:
        """Raises ForeignChange where a later revision than ours is there and takes the traffic that we mean to have.

        A name alone proves nothing: what is read may be older than our own change.
        """
        latest = views.short(service.latest_created_revision)
        if wait.request.tag is not None or latest in {"", wait.name}:
            return
        other = await self._resources.revision(wait.request.service, latest)
        if other is not None and views.made_at(other) > views.made_at(revision):
            raise ForeignChange(wait.request.service, wait.name, latest)

    async def _not_reached(self, wait: _Wait, service: run_v2.Service) -> Failed | None:
        """It is ready, but the traffic, or its tag, is elsewhere: still, by our own doing, or by somebody else's."""
        tag = wait.request.tag
        asked = (
            targets.asks_for(service, wait.name)
            if tag is None
            else any(one.tag == tag and one.revision == wait.name for one in service.traffic)
        )
        if not asked:
            if not wait.adopted or service.client != specs.CLIENT:
                raise ForeignChange(wait.request.service, wait.name, views.serving_name(service) or "nothing")
            await self._give_back(wait)  # we took it away ourselves, when the deploy was given up
            return None
        condition = service.terminal_condition
        if wait.over and not service.reconciling and condition.state == views.State.CONDITION_FAILED:
            error = _error_of(wait.operation)
            message = condition.message or (error[1] if error else "the traffic did not follow")
            return await self._why_failed(wait.request.service, wait.name, views.reason_of(condition), message)
        return None

    async def _give_back(self, wait: _Wait) -> None:
        tag, name = wait.request.tag, wait.name
        if tag is None:
            await self._changes.redirect(wait.request.service, targets.newest, name)
        else:
            await self._changes.redirect(
                wait.request.service, lambda found: targets.beside(found, name, tag), f"tag {tag}"
            )

    async def _late(self, wait: _Wait) -> Failed:
        reason = "PROGRESS_DEADLINE_EXCEEDED"
        message = f"Revision '{wait.name}' was not ready in {wait.limit_s:g} s."
        if wait.revision is not None and views.ready_at(wait.revision) is not None:
            reason = "AnotherRevisionServes"
            serves = views.serving_name(wait.service) if wait.service is not None else None
            message = f"Revision '{wait.name}' is ready, but '{serves or 'none'}' serves after {wait.limit_s:g} s."
        if wait.told:
            message += f" Last seen: {wait.told}"
        return await self._why_failed(wait.request.service, wait.name, reason, message)


def _error_of(operation: Operation | None) -> tuple[str, str] | None:
    """Code and message of an operation that failed; 9 and 13 mean the same, and neither is believed alone."""
    if operation is None or not operation.done or not operation.HasField("error"):
        return None
    return status_of(operation.error.code).name, operation.error.message
