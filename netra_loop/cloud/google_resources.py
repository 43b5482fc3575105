"""Looking at services and revisions, and waiting for operations: the calls of Cloud Run that change nothing."""

from __future__ import annotations

from google.cloud import run_v2
from google.longrunning.operations_pb2 import (  # type: ignore[import-untyped]
    Operation,
    WaitOperationRequest,
)
from google.protobuf import duration_pb2

from netra_loop.clock import Clock
from netra_loop.cloud.google_calls import CALL_LIMIT_S, Calls
from netra_loop.cloud.google_link import Link
from netra_loop.errors import CloudCallFailed

POLL_S = 0.2
_NO_OPERATION = {"NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED"}


class Resources:
    """Services and revisions by their short names; None stands for what is not there."""

    def __init__(self, link: Link, calls: Calls, clock: Clock, parent: str) -> None:
        self._link = link
        self._calls = calls
        self._clock = clock
        self._parent = parent

    def full_name(self, service: str) -> str:
        """`projects/P/locations/L/services/SERVICE`."""
        return f"{self._parent}/services/{service}"

    async def service(self, service: str) -> run_v2.Service | None:
        """The service as it is now."""

        async def call() -> run_v2.Service:
            name = self.full_name(service)
            return await self._link.services.get_service(name=name, retry=None, timeout=CALL_LIMIT_S)

        return await self._calls.read_or_none(f"reading service {service!r}", call)

    async def revision(self, service: str, name: str) -> run_v2.Revision | None:
        """The revision as it is now."""

        async def call() -> run_v2.Revision:
            full = f"{self.full_name(service)}/revisions/{name}"
            return await self._link.revisions.get_revision(name=full, retry=None, timeout=CALL_LIMIT_S)

        return await self._calls.read_or_none(f"reading revision {name!r}", call)

    async def operation(self, operation: Operation, seconds: float) -> Operation | None:
        """The operation once it is done, and after `seconds` at the latest; None where it is no longer known, which a
        restart of the server does, or may not be asked for: services and revisions tell as much. Never returns at once
        for one that goes on.
        """
        limit = duration_pb2.Duration()
        limit.FromMilliseconds(max(1, int(seconds * 1000)))
        request = WaitOperationRequest(name=operation.name, timeout=limit)

        async def call() -> Operation:
            answer = await self._link.services.wait_operation(request, retry=None, timeout=seconds + CALL_LIMIT_S)
            # the library leaves out the deserializer of this one call
            return Operation.FromString(answer) if isinstance(answer, bytes) else answer

        before = self._clock.monotonic()
        try:
            answer = await self._calls.read("waiting for the operation", call)
        except CloudCallFailed as error:
            if error.code not in _NO_OPERATION:
                raise
            return None
        if not answer.done and self._clock.monotonic() - before < POLL_S:
            await self._clock.sleep(POLL_S)  # the API may answer a wait at once
        return answer
