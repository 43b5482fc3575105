"""Who may call at all: where the server has a token, only those who send it."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

_REFUSAL = (
    "Request is missing required authentication credential: the header `authorization`, with the word Bearer and the "
    "token that `netra-loop cloud` printed as NETRA_LOOP_CLOUD_TOKEN"
)


class BearerGate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # it takes none at run time
    """Give it to the server as its first interceptor: what it refuses reaches no other."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See grpc.aio."""
        given = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        said = given if isinstance(given, bytes) else given.encode()
        if hmac.compare_digest(said, self._expected):
            return await continuation(handler_call_details)
        if str(handler_call_details.method).endswith("/TailLogEntries"):
            return grpc.stream_stream_rpc_method_handler(_refuse_stream)
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSAL)


async def _refuse_stream(_: Any, context: Any) -> Any:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSAL)
    yield  # never reached: it makes this a stream
