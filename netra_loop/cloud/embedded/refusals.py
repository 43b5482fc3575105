"""How a handler says no: `Refused`, and the wrapping that turns handlers and refusals into gRPC."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.rpc import status_pb2  # type: ignore[import-untyped]

_DETAILS = "grpc-status-details-bin"
_log = logging.getLogger(__name__)


class Refused(Exception):  # it is an answer of the API, not a fault of ours
    """The call is answered with this status; nothing was changed. `code` is a canonical gRPC name.

    `details` are messages that go along, such as `google.rpc.ErrorInfo`.
    """

    def __init__(self, code: str, message: str, *details: Any) -> None:
        super().__init__(message)
        self.code = grpc.StatusCode[code]
        self._details = details

    def trailing(self) -> tuple[tuple[str, bytes], ...]:
        """The metadata that carries the details."""
        if not self._details:
            return ()
        status = status_pb2.Status(code=self.code.value[0], message=str(self))
        for detail in self._details:
            status.details.add().Pack(detail)
        return ((_DETAILS, status.SerializeToString()),)


def answering(
    handler: Callable[[Any], Awaitable[Any]], request: Any, serialize: Callable[[Any], bytes]
) -> grpc.RpcMethodHandler[Any, Any]:
    """`handler` as gRPC wants it. `request` is a proto-plus class or a plain protobuf one."""

    async def handle(message: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handler(message)
        except Refused as refused:
            await context.abort(refused.code, str(refused), refused.trailing())
        except Exception as error:  # noqa: BLE001  # the caller gets INTERNAL, the trace stays here
            _log.exception("%s failed", handler.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    deserialize = request.FromString if hasattr(request, "FromString") else request.deserialize
    return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=deserialize, response_serializer=serialize)
