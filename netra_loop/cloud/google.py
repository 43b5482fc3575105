"""The one client: Cloud Run Admin API v2 and Cloud Logging v2, of Google or of the embedded cloud alike.

What it does in which place: `google_link` the connection, `google_calls` how a call is made and tried again,
`google_specs` what a deploy asks for, `google_targets` who is asked to get the traffic, `google_changes` how a service
is changed, `google_waiting` how long a revision is waited for, `google_hints` what to do about one that failed,
`google_reads` how log entries are read, `google_tail` how they are followed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from netra_loop.clock import Clock
from netra_loop.cloud import google_specs as specs
from netra_loop.cloud import google_views as views
from netra_loop.cloud.base import Deployed, DeployRequest, Failed, LogPage, LogQuery, Progress, Standing
from netra_loop.cloud.google_calls import Calls, OnWait
from netra_loop.cloud.google_changes import Changes
from netra_loop.cloud.google_hints import hint_for
from netra_loop.cloud.google_link import Link
from netra_loop.cloud.google_logs import entry_from, filter_of_output, line_of
from netra_loop.cloud.google_reads import LogReader, asking
from netra_loop.cloud.google_resources import POLL_S, Resources
from netra_loop.cloud.google_tail import LogTail
from netra_loop.cloud.google_waiting import Arrivals
from netra_loop.cloud.log_reads import ReadBudget
from netra_loop.core.records import LogEntry, Revision
from netra_loop.errors import CloudCallFailed

_LAST_LINES = 50
_LINES_LATE_S = 3.0  # a container's last words may come after the news of its end


_NEVER_RAN = frozenset({"CONTAINER_MISSING", "CONTAINER_PERMISSION_DENIED", "SECRETS_ACCESS_CHECK_FAILED"})  # no output


class CloudRun:
    """Implements `cloud.base.Cloud`. Made inside the running loop, closed before it ends.

    `endpoint` is plain-text gRPC for both APIs, `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`, on which `token` is
    sent as bearer where there is one; None is Google, with Application Default Credentials. `on_wait` is told of every
    wait over a second that quotas or an API out of reach cause. Logs are read out of the budget `reads`; None: the one
    that this process shares. Making one connects to nothing yet.
    """

    def __init__(
        self,
        endpoint: str | None,
        project: str,
        region: str,
        clock: Clock,
        *,
        token: str | None = None,
        on_wait: OnWait | None = None,
        reads: ReadBudget | None = None,
    ) -> None:
        self._project = project
        self._clock = clock
        self._link = Link(endpoint, token)
        self._calls = Calls(self._link, clock, project, on_wait)
        self._resources = Resources(self._link, self._calls, clock, f"projects/{project}/locations/{region}")
        self._changes = Changes(self._link, self._calls, self._resources, clock)
        self._reader = LogReader(self._calls, asking(self._link), project, on_wait=on_wait, budget=reads)
        self._tail = LogTail(self._link, self._reader, clock, project, on_wait=on_wait, budget=reads)
        self._arrivals = Arrivals(self._resources, self._changes, clock, self._why_failed)

    async def deploy(self, request: DeployRequest, progress: Progress) -> Deployed | Failed:
        """See `Cloud.deploy`. The wait is bounded by what the startup probe may take and a minute more, five where an
        image has to be read.
        """
        specs.check(request, emulated=self._link.endpoint is not None)
        progress(f"{request.service}: asking for revision {specs.revision_name(request)}")
        begun = await self._changes.make(request, progress)
        if begun.operation is None:
            progress(f"{request.service}: revision {begun.name} was made by an earlier attempt, adopting it")
        progress(f"{request.service}: waiting until revision {begun.name} is up and serves")
        answer = await self._arrivals.wait(request, begun, progress)
        return replace(answer, adopted=True) if begun.operation is None and isinstance(answer, Failed) else answer

    async def serving(self, service: str, tag: str | None = None) -> Revision | None:
        """See `Cloud.serving`."""
        found = await self._resources.service(service)
        if found is None:
            return None
        status = views.tagged(found, tag) if tag is not None else None
        if tag is not None:
            name = views.reached(found, status) if status is not None else ""
        else:
            name = views.serving_name(found) or ""
        if not name:
            return None
        revision = await self._resources.revision(service, name)
        return views.revision_of(found, name, views.ready_at(revision) if revision is not None else None, status)

    async def standing(self, service: str) -> Standing | None:
        """See `Cloud.standing`."""
        found = await self._resources.service(service)
        return views.standing_of(found) if found is not None else None

    async def route(self, service: str, revision: str | None, *, drop_tag: str | None = None) -> bool:
        """See `Cloud.route`."""
        return await self._changes.route(service, revision, drop_tag)

    async def tag(self, service: str, revision: str, tag: str) -> str:
        """See `Cloud.tag`."""
        return await self._changes.tag(service, revision, tag)

    async def untag(self, service: str, tag: str) -> bool:
        """See `Cloud.untag`."""
        return await self._changes.untag(service, tag)

    def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """See `Cloud.entries`."""
        return self._reader.entries(query)

    def tail(self, query: LogQuery, missed: Callable[[int], None] | None = None) -> AsyncIterator[tuple[LogEntry, ...]]:
        """See `Cloud.tail`."""
        return self._tail.entries(query, missed)

    async def close(self) -> None:
        """See `Cloud.close`."""
        await self._link.close()

    async def _why_failed(self, service: str, revision: str, reason: str, message: str) -> Failed:
        try:
            lines = await self._last_lines(revision) if reason not in _NEVER_RAN else ()
        except CloudCallFailed as error:  # the failure is told nevertheless
            lines = (f"(the container's log could not be read: {error})",)
        return Failed(service, revision, reason, message, lines, hint_for(reason, message, lines, self._project))

    async def _last_lines(self, revision: str) -> tuple[str, ...]:
        end = self._clock.monotonic() + _LINES_LATE_S
        while True:
            page = await self._reader.page(filter_of_output(revision), _LAST_LINES, "timestamp desc")
            if page.entries or self._clock.monotonic() > end:
                return tuple(line_of(entry_from(one)) for one in reversed(page.entries))
            await self._clock.sleep(5 * POLL_S)
