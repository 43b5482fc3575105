"""The gate that every call of the API passes: it is counted, and refused or spoiled where a knob says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from netra_loop.cloud.embedded.files import read_json, write_json
from netra_loop.cloud.embedded.knobs import Failure, KnobFile

FILE = "calls.json"
_PERMISSIONS = {
    "GetService": "run.services.get",
    "ListServices": "run.services.list",
    "CreateService": "run.services.create",
    "UpdateService": "run.services.update",
    "DeleteService": "run.services.delete",
    "GetIamPolicy": "run.services.getIamPolicy",
    "GetRevision": "run.revisions.get",
    "ListRevisions": "run.revisions.list",
    "DeleteRevision": "run.revisions.delete",
    "GetOperation": "run.operations.get",
    "WaitOperation": "run.operations.get",
    "ListOperations": "run.operations.list",
    "DeleteOperation": "run.operations.delete",
    "ListLogEntries": "logging.logEntries.list",
    "TailLogEntries": "logging.logEntries.list",
    "ListLogs": "logging.logs.list",
    "WriteLogEntries": "logging.logEntries.create",
}

Handler = Any  # grpc has no common name for the four shapes of a handler


def read_calls(folder: Path) -> dict[str, int]:
    """How often each method (`GetService`, `ListLogEntries`, …) was called in this life of the server on `folder`.

    Exact: a call is counted before it is answered.
    """
    found: dict[str, int] = read_json(folder / FILE) or {}
    return found


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # it takes none at run time
    """Give it to the server as its interceptor."""

    def __init__(self, folder: Path, knobs: KnobFile) -> None:
        self._file = folder / FILE
        self._knobs = knobs
        self._counts: Counter[str] = Counter()
        self._met: Counter[Failure] = Counter()
        write_json(self._file, {}, durable=False)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """See grpc.aio."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method).rpartition("/")[2]
        self._counts[method] += 1
        write_json(self._file, dict(self._counts), durable=False)
        if handler is None:
            return None
        try:
            knobs = self._knobs.now()
        except ValueError as error:
            return _spoiled(handler, Failure(method, "INTERNAL", message=str(error)))
        failure = self._due(method, knobs.fail)
        permission = _PERMISSIONS.get(method, "")
        if permission in knobs.deny:
            return _denied(handler, permission)
        return handler if failure is None else _spoiled(handler, failure)

    def _due(self, method: str, failures: tuple[Failure, ...]) -> Failure | None:
        """The failure that meets this call; each one that names the method counts the calls it saw."""
        for failure in failures:
            if failure.call == method:
                self._met[failure] += 1
                beyond = self._met[failure] - failure.skip
                if beyond > 0 and (failure.times is None or beyond <= failure.times):
                    return failure
        return None


def denial(permission: str, resource: str) -> str:
    """What Google says to a caller who lacks `permission`."""
    return f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."


def resource_of(request: Any) -> str:
    """The name that a request is about."""
    for field in ("name", "parent", "resource", "service"):
        found = getattr(request, field, None)
        if found:
            return str(getattr(found, "name", found))
    return ", ".join(getattr(request, "resource_names", ()))


def _denied(handler: Handler, permission: str) -> Handler:
    async def refuse(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, denial(permission, resource_of(request)))

    async def refuse_stream(requests: Any, context: Any) -> Any:
        async for request in requests:
            await refuse(request, context)
            yield  # never reached: it makes this a stream

    return _with(handler, refuse, refuse_stream)


def _spoiled(handler: Handler, failure: Failure) -> Handler:
    """`handler`, failing before or after its work."""
    code = grpc.StatusCode[failure.code]
    message = failure.message or f"injected {failure.code} on {failure.call}"

    async def spoil(context: Any) -> None:
        await asyncio.sleep(failure.hold_s)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, message)

    async def answer(request: Any, context: Any) -> Any:
        if not failure.after_effect:
            await spoil(context)
        response = await handler.unary_unary(request, context)
        if failure.after_effect:
            await spoil(context)
        return response

    async def answer_stream(requests: Any, context: Any) -> Any:
        if not failure.after_effect:
            await spoil(context)
        async for response in handler.stream_stream(requests, context):
            yield response
            if failure.after_effect:
                await spoil(context)

    return _with(handler, answer, answer_stream)


def _with(handler: Handler, unary: Callable[..., Any], stream: Callable[..., Any]) -> Handler:
    """A handler of the same shape with other hands."""
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, handler.request_deserializer, handler.response_serializer)
