"""The one client: Cloud Run Admin API v2 and Cloud Logging v2, of Google or of the embedded cloud alike.

A deploy is found again by its labels, so repeating one adopts what an earlier attempt made, at whatever point that
attempt was cut off. The service is only ever changed under the etag that was read, so nobody's change is overwritten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import grpc.aio
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcAsyncIOTransport
from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.protobuf import duration_pb2

from netra_loop.clock import Clock, rfc3339
from netra_loop.cloud import google_specs as specs
from netra_loop.cloud.base import Deployed, DeployRequest, Failed, LogPage, LogQuery, Progress
from netra_loop.cloud.google_calls import CALL_LIMIT_S, UNSURE, change, read
from netra_loop.cloud.google_logs import entry_of, filter_of, filter_of_output, line_of
from netra_loop.core.records import Revision
from netra_loop.errors import CloudCallFailed, ForeignChange

T = TypeVar("T")

_CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_PAGE_LIMIT_S = 60.0
_MARGIN_S = 60.0  # beyond the startup probe: scheduling, routing, image import
_SLICE_S = 5.0
_POLL_S = 0.2
_CHANGE_TRIES = 3
_LAST_LINES = 50


class CloudRun:
    """Implements `cloud.base.Cloud`. Made inside the running loop, closed before it ends.

    `endpoint` is plain-text gRPC for both APIs, such as `unix:/…/cloud.sock` or `127.0.0.1:9010`; None is Google, with
    application-default credentials. Making one connects to nothing yet.
    """

    def __init__(self, endpoint: str | None, project: str, region: str, clock: Clock) -> None:
        self._project = project
        self._parent = f"projects/{project}/locations/{region}"
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None
        if endpoint is None:
            self._services = run_v2.ServicesAsyncClient()
            self._revisions = run_v2.RevisionsAsyncClient()
            self._logging = LoggingServiceV2AsyncClient()
            return
        self._channel = grpc.aio.insecure_channel(endpoint.removeprefix("http://"), options=_CHANNEL)
        self._services = run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=self._channel))
        self._revisions = run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=self._channel))
        self._logging = LoggingServiceV2AsyncClient(
            transport=LoggingServiceV2GrpcAsyncIOTransport(channel=self._channel)
        )

    async def deploy(self, request: DeployRequest, progress: Progress) -> Deployed | Failed:
        """See `Cloud.deploy`. The wait is bounded by the startup probe's time and a minute more."""
        earlier = await self._made_for(request)
        operation = None
        if earlier is not None:
            progress(f"{request.service}: revision {_short(earlier)} was made by an earlier attempt, adopting it")
        else:
            progress(f"{request.service}: asking for a new revision")
            operation, earlier = await self._make(request)
        deadline = self._clock.monotonic() + request.probe_timeout_s + _MARGIN_S
        name = await self._name_of(request, operation, earlier)
        progress(f"{request.service}: waiting until revision {name} is up and serves")
        revision = await self._settled(request.service, name, operation, deadline)
        failed = await self._failure(request.service, revision, name)
        if failed is not None:
            return failed
        return await self._serving_now(request.service, name, revision, deadline, adopted=operation is None)

    async def serving(self, service: str) -> Revision | None:
        """See `Cloud.serving`."""
        found = await self._service(service)
        name = specs.serving_name(found) if found is not None else None
        if found is None or name is None:
            return None
        revision = await self._revision(service, name)
        return specs.revision_of(found, name, specs.ready_at(revision) if revision is not None else None)

    async def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """See `Cloud.entries`. A cursor is the next page's token, or the newest entry's time on the last page."""
        token = ""
        newest = query.since
        while True:
            page = await self._page(filter_of(query), query.page_size, "timestamp asc", token)
            entries = tuple(entry_of(entry) for entry in page.entries)
            newest = entries[-1].timestamp if entries else newest
            token = page.next_page_token
            yield LogPage(entries, cursor=token or rfc3339(newest), last=not token)
            if not token:
                return

    async def close(self) -> None:
        """See `Cloud.close`."""
        if self._channel is not None:
            await self._channel.close(grace=None)
            return
        for client in (self._services, self._revisions, self._logging):
            await client.transport.close()  # type: ignore[no-untyped-call]

    # ---------------------------------------------------------------------------------- making a revision

    async def _make(self, request: DeployRequest) -> tuple[operations_pb2.Operation | None, run_v2.Revision | None]:
        """The operation of a new revision; or, where a call's fate was unsure and it had worked, that revision."""
        for attempt in range(1, _CHANGE_TRIES + 1):
            present = await self._service(request.service)
            service = specs.service_of(request, self._name(request.service), present)
            try:
                return await self._upsert(service), None
            except CloudCallFailed as error:
                made = await self._made_for(request)
                if made is not None:
                    return None, made
                if error.code in {"ABORTED", "ALREADY_EXISTS"}:
                    await self._refuse_foreign(request.service, present, service.template.revision)
                elif error.code not in UNSURE:
                    raise
                if attempt == _CHANGE_TRIES:
                    raise
                await self._clock.sleep(_POLL_S * attempt)
        raise AssertionError("the last try either returns or raises")  # pragma: no cover

    async def _upsert(self, service: run_v2.Service) -> operations_pb2.Operation:
        async def call() -> operations_pb2.Operation:
            request = run_v2.UpdateServiceRequest(service=service, allow_missing=True)
            return (await self._services.update_service(request, retry=None, timeout=CALL_LIMIT_S)).operation

        return await change(f"deploying service {_short(service)!r}", call)

    async def _refuse_foreign(self, service: str, before: run_v2.Service | None, ours: str) -> None:
        """Raises ForeignChange where somebody has made a revision since `before` was read."""
        now = await self._service(service)
        then = before.latest_created_revision if before is not None else ""
        if now is not None and now.latest_created_revision != then:
            raise ForeignChange(service, ours, now.latest_created_revision.rpartition("/")[2])

    async def _made_for(self, request: DeployRequest) -> run_v2.Revision | None:
        wanted = specs.labels_of(request)

        async def call() -> run_v2.Revision | None:
            pages = await self._revisions.list_revisions(
                parent=self._name(request.service), retry=None, timeout=CALL_LIMIT_S
            )
            async for revision in pages:
                if all(revision.labels.get(key) == value for key, value in wanted.items()):
                    return revision
            return None

        return await self._read_or_none(f"listing revisions of {request.service!r}", call)

    async def _name_of(
        self, request: DeployRequest, operation: operations_pb2.Operation | None, made: run_v2.Revision | None
    ) -> str:
        if made is not None:
            return _short(made)
        if operation is not None and operation.HasField("metadata"):
            asked = run_v2.Service.deserialize(operation.metadata.value)
            if asked.template.revision:
                return str(asked.template.revision)
        made = await self._made_for(request)
        if made is None:
            raise CloudCallFailed(
                f"deploying service {request.service!r}", "NOT_FOUND", "the new revision is not listed", retryable=True
            )
        return _short(made)

    # ---------------------------------------------------------------------------------- waiting for it

    async def _settled(
        self, service: str, name: str, operation: operations_pb2.Operation | None, deadline: float
    ) -> run_v2.Revision | None:
        """The revision once it is ready or failed; as it is then, when the deadline has passed."""
        while True:
            revision = await self._revision(service, name)
            if revision is not None and (specs.ready_at(revision) or specs.failure(revision)):
                return revision
            if self._clock.monotonic() >= deadline:
                return revision
            if operation is None or operation.done:
                await self._clock.sleep(_POLL_S)
            else:
                operation = await self._wait(operation, min(_SLICE_S, deadline - self._clock.monotonic()))

    async def _wait(self, operation: operations_pb2.Operation, seconds: float) -> operations_pb2.Operation | None:
        """The operation after a while; None where it is no longer known, which a restart of the server does."""
        limit = duration_pb2.Duration()
        limit.FromMilliseconds(max(1, int(seconds * 1000)))
        request = operations_pb2.WaitOperationRequest(name=operation.name, timeout=limit)

        async def call() -> operations_pb2.Operation:
            answer = await self._services.wait_operation(request, timeout=seconds + CALL_LIMIT_S)
            # the library leaves out the deserializer of this one call
            return operations_pb2.Operation.FromString(answer) if isinstance(answer, bytes) else answer

        before = self._clock.monotonic()
        answer = await self._read_or_none("waiting for the deploy's operation", call)
        if answer is not None and not answer.done and self._clock.monotonic() - before < _POLL_S:
            await self._clock.sleep(_POLL_S)  # the API may answer a wait at once
        return answer

    async def _failure(self, service: str, revision: run_v2.Revision | None, name: str) -> Failed | None:
        if revision is not None and specs.ready_at(revision):
            return None
        reason, message = (specs.failure(revision) if revision is not None else None) or (
            "PROGRESS_DEADLINE_EXCEEDED",
            f"Revision '{name}' was not ready in the time that its startup probe has, and a minute more.",
        )
        page = await self._page(filter_of_output(name), _LAST_LINES, "timestamp desc", "")
        lines = tuple(line_of(entry) for entry in reversed(page.entries))
        return Failed(service, name, reason, message, lines)

    async def _serving_now(
        self, service: str, name: str, revision: run_v2.Revision | None, deadline: float, *, adopted: bool
    ) -> Deployed | Failed:
        """Waits for the traffic to follow. Raises ForeignChange where it went to another revision."""
        since: datetime | None = specs.ready_at(revision) if revision is not None else None
        while True:
            found = await self._service(service)
            serves = specs.serving_name(found) if found is not None else None
            if found is not None and serves == name:
                return Deployed(specs.revision_of(found, name, since), adopted=adopted)
            if found is None or not found.reconciling:
                raise ForeignChange(service, name, serves or "nothing")
            if self._clock.monotonic() >= deadline:
                message = f"Revision '{name}' is ready, but '{serves or 'none'}' serves."
                return Failed(service, name, "PROGRESS_DEADLINE_EXCEEDED", message)
            await self._clock.sleep(_POLL_S)

    # ---------------------------------------------------------------------------------- looking

    async def _service(self, service: str) -> run_v2.Service | None:
        async def call() -> run_v2.Service:
            return await self._services.get_service(name=self._name(service), retry=None, timeout=CALL_LIMIT_S)

        return await self._read_or_none(f"reading service {service!r}", call)

    async def _revision(self, service: str, name: str) -> run_v2.Revision | None:
        async def call() -> run_v2.Revision:
            full = f"{self._name(service)}/revisions/{name}"
            return await self._revisions.get_revision(name=full, retry=None, timeout=CALL_LIMIT_S)

        return await self._read_or_none(f"reading revision {name!r}", call)

    async def _page(self, text: str, size: int, order: str, token: str) -> ListLogEntriesResponse:
        request = ListLogEntriesRequest(
            resource_names=[f"projects/{self._project}"],
            filter=text,
            order_by=order,
            page_size=size,
            page_token=token,
        )

        async def call() -> ListLogEntriesResponse:
            pager = await self._logging.list_log_entries(request, retry=None, timeout=_PAGE_LIMIT_S)
            async for page in pager.pages:
                return page
            return ListLogEntriesResponse()

        return await read("reading log entries", call, self._clock)

    async def _read_or_none(self, what: str, call: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await read(what, call, self._clock)
        except CloudCallFailed as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    def _name(self, service: str) -> str:
        return f"{self._parent}/services/{service}"


def _short(resource: run_v2.Service | run_v2.Revision) -> str:
    return str(resource.name.rpartition("/")[2])
