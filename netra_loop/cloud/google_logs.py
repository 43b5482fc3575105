"""Cloud Logging: the filter we send, and LogEntry -> `records.LogEntry`.

Entries come by the hundred thousand, so fields are read one by one, and what many entries share is worked out once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from google.api.monitored_resource_pb2 import MonitoredResource  # type: ignore[import-untyped]
from google.cloud.logging_v2.types import LogEntry as GoogleEntry

from netra_loop.clock import rfc3339
from netra_loop.cloud.base import LogQuery
from netra_loop.cloud.structs import struct_of
from netra_loop.core.records import LogEntry, LogEntryDraft
from netra_loop.core.remembering import Remembered
from netra_loop.core.urls import asked_of

LOGS = ("stdout", "stderr", "requests", "varlog/system")
_PREFIX = "run.googleapis.com/"
_SEVERITIES = {
    0: "DEFAULT",
    100: "DEBUG",
    200: "INFO",
    300: "NOTICE",
    400: "WARNING",
    500: "ERROR",
    600: "CRITICAL",
    700: "ALERT",
    800: "EMERGENCY",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANCE_MAX = 32
_last: tuple[Any, tuple[str, str]] = MonitoredResource(), ("", "")


def filter_of(query: LogQuery, project: str = "") -> str:
    """`query` in Logging's own language. `project` is needed where it asks for traces."""
    of_revision = f"resource.labels.revision_name={_any(query.revisions)}"
    if query.services:
        requests = f'(resource.labels.service_name={_any(query.services)} AND log_id("{_PREFIX}requests"))'
        of_revision = f"({of_revision} OR {requests})"
    parts = [
        'resource.type="cloud_run_revision"',
        of_revision,
        f'timestamp>="{rfc3339(query.since)}"',
    ]
    if query.until is not None:
        parts.append(f'timestamp<"{rfc3339(query.until)}"')
    if query.traces:
        parts.append(f"trace={_any(f'projects/{project}/traces/{trace}' for trace in query.traces)}")
        parts.append(f'log_id("{_PREFIX}requests")')
        return " AND ".join(parts)
    if query.severity is not None:
        # Two logs are read whatever the severity: requests, which says who answered a test and when the logs are
        # complete, and stderr, whose plain lines (a traceback, mostly) have no severity of their own.
        always = " OR ".join(f'log_id("{_PREFIX}{log}")' for log in ("requests", "stderr"))
        parts.append(f"(severity>={query.severity} OR {always})")
    parts.append("(" + " OR ".join(f'log_id("{_PREFIX}{log}")' for log in LOGS) + ")")
    return " AND ".join(parts)


def filter_of_output(revision: str) -> str:
    """What a revision printed and what the platform says of it."""
    logs = " OR ".join(f'log_id("{_PREFIX}{log}")' for log in LOGS if log != "requests")
    return f'resource.type="cloud_run_revision" AND resource.labels.revision_name={_quoted(revision)} AND ({logs})'


def entry_of(entry: GoogleEntry) -> LogEntry:
    """One entry as the rest of netra-loop knows it."""
    return entry_from(GoogleEntry.pb(entry))


def entry_from(message: Any) -> LogEntry:
    """The same of the protobuf message itself, which is several times quicker to read."""
    has, timestamp = message.HasField, message.timestamp
    payload = struct_of(message.json_payload) if has("json_payload") else None
    request = _request(message.http_request) if has("http_request") else None
    entry: Any = LogEntryDraft()  # each field by itself: to give them all at once takes twice the time
    entry.timestamp = _EPOCH + timedelta(0, timestamp.seconds, timestamp.nanos // 1000)
    entry.severity = _SEVERITIES.get(message.severity, "DEFAULT")
    entry.log = _LOG_NAMES[message.log_name]
    entry.service, entry.revision = _whose(message.resource)
    # both None
    entry.message = message.text_payload if payload is request else _message(message, payload, request)
    entry.insert_id = message.insert_id or _own_id(message)
    entry.trace_id = _TRACES[message.trace]
    entry.payload, entry.request = payload, request
    entry.tests, entry.iteration, entry.joined = (), 0, None
    entry.instance = _INSTANCES[message.labels.get("instanceId", "")]
    entry.__class__ = LogEntry
    found: LogEntry = entry
    return found


def line_of(entry: LogEntry) -> str:
    """One entry as a line for a person."""
    return entry.message if entry.severity in {"DEFAULT", "INFO"} else f"{entry.severity}: {entry.message}"


def _whose(resource: Any) -> tuple[str, str]:
    """Service and revision of a resource, which most entries share with the one before."""
    global _last  # noqa: PLW0603 - a memory of one
    last, found = _last
    if resource != last:
        labels = resource.labels
        found = str(labels.get("service_name", "")), str(labels.get("revision_name", ""))
        copy = MonitoredResource()  # by itself: a part of a message keeps the whole page
        copy.CopyFrom(resource)
        _last = copy, found
    return found


def _log(name: str) -> str:
    log = unquote(name).rpartition("/logs/")[2].removeprefix(_PREFIX)
    return log.rpartition("/")[2]


def _trace(name: str) -> str | None:
    return name.rpartition("/")[2] or None


def _instance(name: str) -> str | None:
    """Kept once for all entries of an instance; its end tells it from the others, of some hundred characters."""
    return name[-_INSTANCE_MAX:] or None


# most entries share each with some others
_LOG_NAMES: Remembered[str, str] = Remembered(_log)
_TRACES: Remembered[str, str | None] = Remembered(_trace)
_INSTANCES: Remembered[str, str | None] = Remembered(_instance)


def _own_id(message: Any) -> str:
    """An id for an entry that has none: of its content, so that reading it again gives the same one."""
    content = message.SerializeToString(deterministic=True)
    return f"own-{hashlib.sha256(content).hexdigest()[:24]}"


def _message(message: Any, payload: dict[str, Any] | None, request: dict[str, Any] | None) -> str:
    if payload is not None:
        text = payload.get("message")
        return text if isinstance(text, str) else json.dumps(payload, ensure_ascii=False, sort_keys=True)
    if request is not None:
        path, query = asked_of(request["url"])
        target = f"{path}?{query}" if query else path
        line = f"{request['method']} {target or '/'} {request['status']}"
        return f"{line}: {message.text_payload}" if message.text_payload else line
    return str(message.text_payload)


def _request(request: Any) -> dict[str, Any]:
    latency = request.latency
    return {
        "method": request.request_method,
        "url": request.request_url,
        "status": request.status,
        "latency_s": round(latency.seconds + latency.nanos / 1e9, 9),
        "user_agent": request.user_agent,
    }


def _any(values: Iterable[str]) -> str:
    return "(" + " OR ".join(_quoted(value) for value in values) + ")"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
