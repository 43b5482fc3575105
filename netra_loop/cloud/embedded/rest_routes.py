"""The REST view's table: which path is which call of the API, as JSON of Google's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from google.cloud import run_v2
from google.cloud.logging_v2 import types as logs
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.protobuf import empty_pb2, json_format

from netra_loop.values import dataclass

_LOGGING = "/google.logging.v2.LoggingServiceV2"
_RUN = "/google.cloud.run.v2"
_PLACE = "projects/[^/]+/locations/[^/]+"


@dataclass(frozen=True)
class Route:
    """`path` is a pattern whose groups are fields of the request; `method` a full gRPC name."""

    verb: str
    path: str
    method: str
    request: Any
    response: Any


@dataclass(frozen=True)
class Call:
    """One call of the API, ready to be sent."""

    method: str
    body: bytes
    response: Any

    def json_of(self, answer: bytes) -> bytes:
        """The answer as Google's REST gives it."""
        message = _plain(self.response).FromString(answer)
        text = json_format.MessageToJson(message, ensure_ascii=False, indent=2)
        return f"{text}\n".encode()


class BadRequest(ValueError):
    """It is no call of the API; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


ROUTES = (
    Route(
        "POST", "entries:list", f"{_LOGGING}/ListLogEntries", logs.ListLogEntriesRequest, logs.ListLogEntriesResponse
    ),
    Route(
        "POST",
        "entries:write",
        f"{_LOGGING}/WriteLogEntries",
        logs.WriteLogEntriesRequest,
        logs.WriteLogEntriesResponse,
    ),
    Route(
        "GET", "(?P<parent>projects/[^/]+)/logs", f"{_LOGGING}/ListLogs", logs.ListLogsRequest, logs.ListLogsResponse
    ),
    Route(
        "DELETE",
        "(?P<log_name>projects/[^/]+/logs/.+)",
        f"{_LOGGING}/DeleteLog",
        logs.DeleteLogRequest,
        empty_pb2.Empty,
    ),
    Route(
        "GET",
        f"(?P<parent>{_PLACE})/services",
        f"{_RUN}.Services/ListServices",
        run_v2.ListServicesRequest,
        run_v2.ListServicesResponse,
    ),
    Route(
        "GET",
        f"(?P<name>{_PLACE}/services/[^/]+)",
        f"{_RUN}.Services/GetService",
        run_v2.GetServiceRequest,
        run_v2.Service,
    ),
    Route(
        "GET",
        f"(?P<parent>{_PLACE}/services/[^/]+)/revisions",
        f"{_RUN}.Revisions/ListRevisions",
        run_v2.ListRevisionsRequest,
        run_v2.ListRevisionsResponse,
    ),
    Route(
        "GET",
        f"(?P<name>{_PLACE}/services/[^/]+/revisions/[^/]+)",
        f"{_RUN}.Revisions/GetRevision",
        run_v2.GetRevisionRequest,
        run_v2.Revision,
    ),
    Route(
        "GET",
        f"(?P<name>{_PLACE})/operations",
        "/google.longrunning.Operations/ListOperations",
        operations_pb2.ListOperationsRequest,
        operations_pb2.ListOperationsResponse,
    ),
    Route(
        "GET",
        f"(?P<name>{_PLACE}/operations/[^/]+)",
        "/google.longrunning.Operations/GetOperation",
        operations_pb2.GetOperationRequest,
        operations_pb2.Operation,
    ),
)


def call_of(verb: str, target: str, body: bytes) -> Call:
    """The call that an HTTP request stands for. Raises BadRequest."""
    asked = urlsplit(target)
    path = asked.path.removeprefix("/v2/")
    found = [(route, match) for route in ROUTES if (match := re.fullmatch(route.path, path))]
    if not asked.path.startswith("/v2/") or not found:
        raise BadRequest(404, f"{asked.path!r} is not there, expected /v2/ and one of {_paths()}")
    for route, match in found:
        if route.verb == verb:
            named = {name: _name(name, value) for name, value in match.groupdict().items()}
            return Call(route.method, _request(route, named, asked.query, body), route.response)
    raise BadRequest(405, f"{verb} is not known at {asked.path!r}, expected {found[0][0].verb}: this view only looks")


def _request(route: Route, named: Mapping[str, str], query: str, body: bytes) -> bytes:
    message = _plain(route.request)()
    try:
        if route.verb == "POST":
            given = json.loads(body or b"{}")
            if not isinstance(given, dict):
                raise BadRequest(400, f"the body is {type(given).__name__}, expected an object")
        else:
            given = {name: _typed(value) for name, value in parse_qsl(query) if not name.startswith(("$", "alt"))}
        json_format.ParseDict(given, message)
        json_format.ParseDict(dict(named), message)
    except (json_format.ParseError, ValueError) as error:
        raise error if isinstance(error, BadRequest) else BadRequest(400, f"invalid JSON payload: {error}") from error
    content: bytes = message.SerializeToString()
    return content


def _name(field: str, value: str) -> str:
    """A log's name keeps its escapes; in the path they may be escaped once more."""
    return unquote(value) if field != "log_name" or "%25" in value else value


def _typed(text: str) -> Any:
    return text == "true" if text in {"true", "false"} else text


def _plain(kind: Any) -> Any:
    """The protobuf class of a proto-plus one."""
    return kind.pb() if hasattr(kind, "pb") else kind


def _paths() -> str:
    shown = (route.path.replace(_PLACE, "projects/P/locations/L").replace("[^/]+", "…") for route in ROUTES)
    return ", ".join(re.sub(r"\(\?P<\w+>(.*?)\)", r"\1", path) for path in shown)
