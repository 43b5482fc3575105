"""A call that was refused, in our own words: the canonical code, who was not allowed what, and what mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError, TransportError
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.google_link import LOGIN
from netra_loop.errors import CloudCallFailed

PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN", "CANCELLED"}
API_ERRORS = (exceptions.GoogleAPIError, grpc.RpcError, GoogleAuthError)
_PERMISSION = re.compile(r"[Pp]ermission '?([\w-]+(?:\.[\w-]+){2,})'?|\b(iam\.service[aA]ccounts\.actAs)\b")
_API = re.compile(r"\b([a-z]+\.googleapis\.com)\b")
_LASTING_QUOTA = re.compile(r"Quota violated|Max instances must be set|maxScale may not exceed")
_PLUGIN = "Getting metadata from plugin failed"
_LOGIN_NEEDED = re.compile(r"[Rr]eauthentication|invalid_grant|RefreshError|invalid_scope|Token has been")
_ROLES = {
    "iam.serviceaccounts.actas": "roles/iam.serviceAccountUser",
    "logging.": "roles/logging.viewer",
    "artifactregistry.": "roles/artifactregistry.reader",
    "secretmanager.": "roles/secretmanager.secretAccessor",
    "run.": "roles/run.developer",
}
_HINTS = {
    "UNAUTHENTICATED": LOGIN,
    "NOT_FOUND": "check project, region and service in the loop file: netra-loop validate LOOP",
    "UNAVAILABLE": "the API cannot be reached: check the network and the environment's endpoint, then resume",
    "DEADLINE_EXCEEDED": "the API does not answer: check the network, then resume",
    "INTERNAL": "the API itself fails: resume in a while",
    "UNKNOWN": "the API itself fails: resume in a while",
    "ABORTED": "somebody else changes the service at the same time: agree on who deploys, then resume",
    "INVALID_ARGUMENT": "mend what the message names in the loop file, then: netra-loop validate LOOP",
}


@dataclass(frozen=True)
class Caller:
    """Who calls, for which project. None: not known."""

    project: str = ""
    principal: str | None = None


def refused(call: str, error: Exception, caller: Caller = Caller()) -> CloudCallFailed:
    """`error` in our own words; `call` says what was meant to be done."""
    code, message = _status(error)
    reason, facts = _error_info(error)
    lasting = False
    hint = _HINTS.get(code)
    if code == "PERMISSION_DENIED":
        message, hint = _denied(message, reason, facts, caller)
    elif code == "RESOURCE_EXHAUSTED":
        lasting = bool(_LASTING_QUOTA.search(message))
        hint = _quota(lasting=lasting, caller=caller)
    elif code == "INVALID_ARGUMENT" and _LASTING_QUOTA.search(message):
        hint = _quota(lasting=True, caller=caller)
    return CloudCallFailed(call, code, message, hint=hint, retryable=code in PASSING and not lasting)


def asked_pause_s(error: BaseException | None) -> float:
    """How long the API asks us to wait before the next try; 0.0 where it does not say."""
    for detail in getattr(error, "details", None) or ():
        if isinstance(detail, error_details_pb2.RetryInfo):
            seconds: float = detail.retry_delay.ToTimedelta().total_seconds()
            return seconds
    return 0.0


def _denied(message: str, reason: str | None, facts: dict[str, str], caller: Caller) -> tuple[str, str]:
    """The message with permission and principal in it, and the command that mends it."""
    if reason == "SERVICE_DISABLED" or "SERVICE_DISABLED" in message or "it is disabled" in message:
        found = _API.search(message)
        api = facts.get("service") or (found[1] if found else "run.googleapis.com")
        return message, f"gcloud services enable {api} --project {caller.project}, wait a minute, then resume"
    match = _PERMISSION.search(message)
    permission = facts.get("permission") or (next(filter(None, match.groups())) if match else None)
    if permission is None and "artifactregistry" in message:
        permission = "artifactregistry.repositories.downloadArtifacts"
    role = next((role for start, role in _ROLES.items() if (permission or "run.").lower().startswith(start)), None)
    who = caller.principal or "the caller (its name is not in the credentials)"
    told = f"{who} lacks {permission or 'a permission'} in project {caller.project!r}: {message}"
    if role is None:
        return told, f"grant the caller a role with {permission} in project {caller.project}, then resume"
    return told, f"{granting(role, caller)}, then resume"


def granting(role: str, caller: Caller) -> str:
    """The command that gives `caller` this role in its project; `MEMBER` stands in it where the caller is not known."""
    member = "MEMBER"
    if caller.principal is not None:
        kind = "serviceAccount" if caller.principal.endswith("gserviceaccount.com") else "user"
        member = f"{kind}:{caller.principal}"
    return f"gcloud projects add-iam-policy-binding {caller.project} --member={member} --role={role}"


def _quota(*, lasting: bool, caller: Caller) -> str:
    if lasting:
        return (
            "lower the service's scaling.max or its resources in the loop file, or ask for more quota of project "
            f"{caller.project} (IAM & Admin, Quotas), then resume"
        )
    return "a quota is used up: wait a minute or raise it, then resume"


def _status(error: Exception) -> tuple[str, str]:
    if isinstance(error, exceptions.RetryError) and isinstance(error.cause, Exception):
        return _status(error.cause)
    if isinstance(error, TransportError):
        return "UNAVAILABLE", str(error)
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
        status = status_of(status)
    if status is grpc.StatusCode.UNAVAILABLE and _PLUGIN in message and _LOGIN_NEEDED.search(message):
        status = grpc.StatusCode.UNAUTHENTICATED  # what gRPC makes of credentials that cannot be renewed
    return (status.name if isinstance(status, grpc.StatusCode) else "UNKNOWN"), message


def status_of(number: int) -> grpc.StatusCode:
    """The status with this number; UNKNOWN for one that gRPC does not know."""
    known = (status for status in grpc.StatusCode if status.value[0] == number)
    return next(known, grpc.StatusCode.UNKNOWN)


def _error_info(error: Exception) -> tuple[str | None, dict[str, str]]:
    """Reason and facts of google.rpc.ErrorInfo, where the answer has one."""
    if not isinstance(error, exceptions.GoogleAPICallError):
        return None, {}
    return error.reason, dict(error.metadata or {})
