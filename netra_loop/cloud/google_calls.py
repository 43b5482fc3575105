"""How a call to Google's APIs is made: with a deadline, reads retried, every refusal one of `errors`."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from netra_loop.clock import Clock
from netra_loop.errors import CloudCallFailed

T = TypeVar("T")

CALL_LIMIT_S = 15.0
READ_BUDGET_S = 30.0
_LONGEST_PAUSE_S = 8.0
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL"}
UNSURE = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED"}  # a change may have been taken in
_HINTS = {
    "PERMISSION_DENIED": "grant the caller roles/run.developer and roles/iam.serviceAccountUser, then resume",
    "UNAUTHENTICATED": "gcloud auth application-default login",
    "NOT_FOUND": "check project, region and service in the loop file: netra-loop validate LOOP",
    "RESOURCE_EXHAUSTED": "a quota is used up: wait a minute or raise it, then resume",
    "UNAVAILABLE": "the API cannot be reached: check the network and the environment's endpoint, then resume",
    "DEADLINE_EXCEEDED": "the API does not answer: check the network, then resume",
    "ABORTED": "somebody else changes the service at the same time: agree on who deploys, then resume",
    "INVALID_ARGUMENT": "mend what the message names in the loop file, then: netra-loop validate LOOP",
}


async def change(call: str, make: Callable[[], Awaitable[T]]) -> T:
    """A call that changes something: made once. Raises CloudCallFailed; whether it took effect is for the caller."""
    try:
        return await make()
    except (exceptions.GoogleAPIError, grpc.RpcError, GoogleAuthError) as error:
        raise refused(call, error) from error


async def read(call: str, make: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """A call that only looks: retried with full jitter while that can help, for `READ_BUDGET_S` seconds in all."""
    end = clock.monotonic() + READ_BUDGET_S
    pause_s = 0.1
    while True:
        try:
            return await change(call, make)
        except CloudCallFailed as error:
            if error.code not in _PASSING or clock.monotonic() + pause_s > end:
                raise
        await clock.sleep(random.uniform(0, pause_s))  # noqa: S311  # jitter is no secret
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def refused(call: str, error: Exception) -> CloudCallFailed:
    """`error` in our own words."""
    code, message = _status(error)
    return CloudCallFailed(call, code, message, hint=_HINTS.get(code), retryable=code in _PASSING)


def _status(error: Exception) -> tuple[str, str]:
    if isinstance(error, exceptions.RetryError) and isinstance(error.cause, Exception):
        return _status(error.cause)
    if isinstance(error, GoogleAuthError):
        return "UNAUTHENTICATED", str(error)
    status: Any = None
    message = str(error)
    if isinstance(error, exceptions.GoogleAPICallError):
        status, message = error.grpc_status_code, error.message or message
        if status is None and error.errors:  # a failed operation on an async client says it only here
            status = getattr(error.errors[0], "code", None)
    elif isinstance(error, grpc.aio.AioRpcError):
        status, message = error.code(), error.details() or message
    if isinstance(status, int):
        status = next((known for known in grpc.StatusCode if known.value[0] == status), None)
    return (status.name if isinstance(status, grpc.StatusCode) else "UNKNOWN"), message
