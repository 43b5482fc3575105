"""Entries that a caller of WriteLogEntries wants stored: completed, and refused where Google refuses them."""

from __future__ import annotations

import re
from typing import Any

import grpc
from google.cloud.logging_v2.types import WriteLogEntriesPartialErrors, WriteLogEntriesRequest
from google.cloud.logging_v2.types.log_entry import LogEntry
from google.protobuf import json_format
from google.rpc import status_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.embedded.log_limits import LONGEST_ENTRY, MOST_LABELS, trimmed
from netra_loop.cloud.embedded.refusals import Refused
from netra_loop.cloud.embedded.times import instant_ns

_LOG_NAME = re.compile(r"projects/[^/]+/logs/[A-Za-z0-9_.%-]{1,511}")
_LARGEST_REQUEST = 10 * 1000 * 1000
_AHEAD_NS = 24 * 3600 * 10**9
_RETENTION_NS = 30 * _AHEAD_NS


def taken_of(request: WriteLogEntriesRequest, now_ns: int) -> tuple[list[dict[str, Any]], Refused | None]:
    """The entries to store, in their JSON form, and why the others are refused. Where one is refused none is taken,
    unless the request says `partial_success`. What is older than Google keeps entries is taken and forgotten.
    """
    size = WriteLogEntriesRequest.pb(request).ByteSize()
    if size > _LARGEST_REQUEST:
        raise Refused("INVALID_ARGUMENT", f"the request has {size} bytes, expected at most {_LARGEST_REQUEST}")
    defaults = json_format.MessageToDict(WriteLogEntriesRequest.pb(request))
    taken: list[dict[str, Any]] = []
    refused: dict[int, Refused] = {}
    for index, entry in enumerate(request.entries):
        try:
            taken.append(_completed(LogEntry.pb(entry), defaults, now_ns))
        except Refused as error:
            refused[index] = error
    if refused and not request.partial_success:
        raise next(iter(refused.values()))
    stored = [entry for entry in taken if now_ns - _instant(entry, now_ns) <= _RETENTION_NS]
    return stored, _partly(refused) if refused else None


def log_name_of(name: str) -> str:
    """The name of a log, as it is. Raises Refused where it is none."""
    if not _LOG_NAME.fullmatch(name):
        raise Refused("INVALID_ARGUMENT", f"log_name is {name!r}, expected projects/PROJECT/logs/LOG_ID")
    return name


def is_ahead(entry: dict[str, Any], now_ns: int) -> bool:
    """Whether its timestamp lies more than a day ahead."""
    return _instant(entry, now_ns) - now_ns > _AHEAD_NS


def _completed(message: Any, defaults: dict[str, Any], now_ns: int) -> dict[str, Any]:
    size = message.ByteSize()
    if size > LONGEST_ENTRY:
        raise Refused(
            "INVALID_ARGUMENT",
            f"Log entry with size {size / 1024:.1f}K exceeds maximum size of {LONGEST_ENTRY / 1024:.1f}K",
        )
    entry: dict[str, Any] = json_format.MessageToDict(message)
    log_name_of(entry.setdefault("logName", defaults.get("logName", "")))
    entry.setdefault("resource", defaults.get("resource", {"type": "global"}))
    if "/logs/" in entry["logName"] and entry["resource"].get("type") == "global":
        project = entry["logName"].split("/")[1]
        entry["resource"] = {"type": "global", "labels": {"project_id": project} | entry["resource"].get("labels", {})}
    labels = defaults.get("labels", {}) | entry.get("labels", {})
    if len(labels) > MOST_LABELS:
        raise Refused("INVALID_ARGUMENT", f"an entry has {len(labels)} labels, expected at most {MOST_LABELS}")
    if is_ahead(entry, now_ns):
        raise Refused(
            "INVALID_ARGUMENT", f"timestamp is {entry['timestamp']!r}, expected at most 24 hours ahead of the present"
        )
    return entry | {"labels": trimmed(labels)} if labels else entry


def _instant(entry: dict[str, Any], now_ns: int) -> int:
    return instant_ns(entry["timestamp"]) if "timestamp" in entry else now_ns


def _partly(refused: dict[int, Refused]) -> Refused:
    errors = {index: status_pb2.Status(code=_number(one.code), message=str(one)) for index, one in refused.items()}
    first = next(iter(refused.values()))
    detail = WriteLogEntriesPartialErrors(log_entry_errors=errors)
    return Refused(first.code.name, str(first), WriteLogEntriesPartialErrors.pb(detail))


def _number(code: grpc.StatusCode) -> int:
    return int(code.value[0])
