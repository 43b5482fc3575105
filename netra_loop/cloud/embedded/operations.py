"""`google.longrunning.Operations`: what goes on, in memory only. After a restart an operation is NOT_FOUND."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.protobuf import empty_pb2

from netra_loop.cloud.embedded.checks import parent_of
from netra_loop.cloud.embedded.knobs import KnobFile
from netra_loop.cloud.embedded.refusals import Refused, answering

SERVICE = "google.longrunning.Operations"
_KEPT = 1000
_LONGEST_WAIT_S = 3600.0

Resource = run_v2.Service | run_v2.Revision


class Operations:
    """All operations of this life of the server."""

    def __init__(self, knobs: KnobFile) -> None:
        self._knobs = knobs
        self._operations: dict[str, operations_pb2.Operation] = {}
        self._ended: dict[str, asyncio.Event] = {}

    def begin(self, parent: str, resource: Resource) -> operations_pb2.Operation:
        """A new one about `resource`."""
        operation = operations_pb2.Operation(name=f"{parent}/operations/{uuid.uuid4()}")
        operation.metadata.Pack(type(resource).pb(resource))
        self._operations[operation.name] = operation
        self._ended[operation.name] = asyncio.Event()
        while len(self._operations) > _KEPT:
            oldest = next(iter(self._operations))
            del self._operations[oldest], self._ended[oldest]
        return operation

    def succeed(self, operation: operations_pb2.Operation, resource: Resource) -> None:
        """Ends it with the resource as it is now."""
        operation.response.Pack(type(resource).pb(resource))
        self._end(operation, resource)

    def fail(self, operation: operations_pb2.Operation, resource: Resource, code: int, message: str) -> None:
        """Ends it with a status."""
        operation.error.code = code
        operation.error.message = message
        self._end(operation, resource)

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What the server is given."""
        operation = operations_pb2.Operation.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "GetOperation": answering(self._get, operations_pb2.GetOperationRequest, operation),
                "WaitOperation": answering(self._wait, operations_pb2.WaitOperationRequest, operation),
                "ListOperations": answering(
                    self._list,
                    operations_pb2.ListOperationsRequest,
                    operations_pb2.ListOperationsResponse.SerializeToString,
                ),
                "DeleteOperation": answering(
                    self._delete, operations_pb2.DeleteOperationRequest, empty_pb2.Empty.SerializeToString
                ),
            },
        )

    def _end(self, operation: operations_pb2.Operation, resource: Resource) -> None:
        operation.metadata.Pack(type(resource).pb(resource))
        operation.done = True
        if operation.name in self._ended:
            self._ended[operation.name].set()

    async def _get(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        return self._found(request.name)

    async def _wait(self, request: operations_pb2.WaitOperationRequest) -> operations_pb2.Operation:
        operation = self._found(request.name)
        asked_s = request.timeout.ToTimedelta().total_seconds() if request.HasField("timeout") else _LONGEST_WAIT_S
        if self._knobs.last_good().wait_returns_early:
            return operation
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(asked_s, _LONGEST_WAIT_S)):
                await self._ended[request.name].wait()
        return operation

    async def _list(self, request: operations_pb2.ListOperationsRequest) -> operations_pb2.ListOperationsResponse:
        prefix = f"{parent_of(request.name)}/operations/"
        found = [item for name, item in self._operations.items() if name.startswith(prefix)]
        return operations_pb2.ListOperationsResponse(operations=found)

    async def _delete(self, request: operations_pb2.DeleteOperationRequest) -> empty_pb2.Empty:
        self._found(request.name)
        del self._operations[request.name], self._ended[request.name]
        return empty_pb2.Empty()

    def _found(self, name: str) -> operations_pb2.Operation:
        operation = self._operations.get(name)
        if operation is None or self._knobs.last_good().lose_operations:
            raise Refused("NOT_FOUND", f"Operation {name!r} was not found")
        return operation
