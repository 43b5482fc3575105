"""`google.logging.v2.LoggingServiceV2`: list and write, over the log store."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud.logging_v2.types import (
    ListLogEntriesRequest,
    ListLogEntriesResponse,
    WriteLogEntriesRequest,
    WriteLogEntriesResponse,
)
from google.cloud.logging_v2.types.log_entry import LogEntry
from google.protobuf import json_format

from netra_loop.cloud.embedded.filter import FilterError, Node, parse
from netra_loop.cloud.embedded.log_store import LogStore, Place
from netra_loop.cloud.embedded.matching import And
from netra_loop.cloud.embedded.refusals import Refused, answering

SERVICE = "google.logging.v2.LoggingServiceV2"
LARGEST_PAGE = 1000
_DEFAULT_PAGE = 50
_ORDERS = {"": False, "timestamp asc": False, "timestamp desc": True}
_LOG_NAME = re.compile(r"projects/[^/]+/logs/[^/]+")


@dataclass(frozen=True)
class InProjects:
    """Entries of these projects (`projects/P`)."""

    names: tuple[str, ...]

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `matching.Node.matches`."""
        return entry["logName"].partition("/logs/")[0] in self.names


class LoggingApi:
    """The handlers; one for each server."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What the server is given."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "ListLogEntries": answering(self.list_entries, ListLogEntriesRequest, ListLogEntriesResponse.serialize),
                "WriteLogEntries": answering(
                    self.write_entries, WriteLogEntriesRequest, WriteLogEntriesResponse.serialize
                ),
            },
        )

    async def list_entries(self, request: ListLogEntriesRequest) -> ListLogEntriesResponse:
        """One page. A token goes with the very same question."""
        wanted, newest_first, size = _question(request)
        wanted = And(
            (InProjects(tuple(request.resource_names)), *(wanted.parts if isinstance(wanted, And) else (wanted,)))
        )
        after = _place_of(request)
        self._store.flush()
        page = await asyncio.to_thread(self._store.query, wanted, limit=size, newest_first=newest_first, after=after)
        response = ListLogEntriesResponse()
        for entry in page.entries:
            json_format.ParseDict(entry, ListLogEntriesResponse.pb(response).entries.add(), ignore_unknown_fields=True)
        response.next_page_token = "" if page.after is None else _token(request, page.after)
        return response

    async def write_entries(self, request: WriteLogEntriesRequest) -> WriteLogEntriesResponse:
        """All of them or, where one is refused, none."""
        defaults = json_format.MessageToDict(WriteLogEntriesRequest.pb(request))
        entries = [_written(LogEntry.pb(entry), defaults) for entry in request.entries]
        if not request.dry_run:
            for entry in entries:
                self._store.append(entry)
            self._store.flush()
        return WriteLogEntriesResponse()


def _question(request: ListLogEntriesRequest) -> tuple[Node, bool, int]:
    if not request.resource_names:
        raise Refused("INVALID_ARGUMENT", "resource_names is empty, expected projects/PROJECT")
    if not 0 <= request.page_size <= LARGEST_PAGE:
        raise Refused("INVALID_ARGUMENT", f"page_size is {request.page_size}, expected 0 to {LARGEST_PAGE}")
    if request.order_by not in _ORDERS:
        raise Refused(
            "INVALID_ARGUMENT", f"order_by is {request.order_by!r}, expected 'timestamp asc' or 'timestamp desc'"
        )
    try:
        wanted = parse(request.filter)
    except FilterError as error:
        raise Refused("INVALID_ARGUMENT", str(error)) from error
    return wanted, _ORDERS[request.order_by], request.page_size or _DEFAULT_PAGE


def _written(message: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = json_format.MessageToDict(message)
    entry.setdefault("logName", defaults.get("logName", ""))
    if not _LOG_NAME.fullmatch(entry["logName"]):
        raise Refused("INVALID_ARGUMENT", f"log_name is {entry['logName']!r}, expected projects/PROJECT/logs/LOG_ID")
    entry.setdefault("resource", defaults.get("resource", {"type": "global"}))
    labels = defaults.get("labels", {}) | entry.get("labels", {})
    return entry | {"labels": labels} if labels else entry


def _digest(request: ListLogEntriesRequest) -> str:
    question = json.dumps([list(request.resource_names), request.filter, request.order_by])
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def _token(request: ListLogEntriesRequest, place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps([_digest(request), *place]).encode()).decode()


def _place_of(request: ListLogEntriesRequest) -> Place | None:
    if not request.page_token:
        return None
    try:
        digest, at_ns, insert_id, log = json.loads(base64.urlsafe_b64decode(request.page_token))
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", f"page_token {request.page_token!r} was not made here") from error
    if digest != _digest(request):
        raise Refused("INVALID_ARGUMENT", "page_token belongs to another filter, order or project")
    return int(at_ns), str(insert_id), str(log)
