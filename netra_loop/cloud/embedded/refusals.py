"""How a handler says no: `Refused`, and the wrapping that turns handlers and refusals into gRPC."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

_log = logging.getLogger(__name__)


class Refused(Exception):  # it is an answer of the API, not a fault of ours
    """The call is answered with this status; nothing was changed. `code` is a canonical gRPC name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = grpc.StatusCode[code]


def answering(
    handler: Callable[[Any], Awaitable[Any]], request: Any, serialize: Callable[[Any], bytes]
) -> grpc.RpcMethodHandler[Any, Any]:
    """`handler` as gRPC wants it. `request` is a proto-plus class or a plain protobuf one."""

    async def handle(message: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handler(message)
        except Refused as refused:
            await context.abort(refused.code, str(refused))
        except Exception as error:  # noqa: BLE001  # the caller gets INTERNAL, the trace stays here
            _log.exception("%s failed", handler.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    deserialize = request.FromString if hasattr(request, "FromString") else request.deserialize
    return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=deserialize, response_serializer=serialize)
