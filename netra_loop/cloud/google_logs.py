"""Cloud Logging: the filter we send, and LogEntry -> `records.LogEntry`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from google.cloud.logging_v2.types import LogEntry as GoogleEntry
from google.protobuf import json_format

from netra_loop.clock import rfc3339
from netra_loop.cloud.base import LogQuery
from netra_loop.core.records import LogEntry

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


def filter_of(query: LogQuery) -> str:
    """`query` in Logging's own language."""
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
    message = GoogleEntry.pb(entry)
    log = unquote(message.log_name).rpartition("/logs/")[2].removeprefix(_PREFIX)
    payload = json_format.MessageToDict(message.json_payload) if message.HasField("json_payload") else None
    request = _request(message.http_request) if message.HasField("http_request") else None
    return LogEntry(
        timestamp=_instant(message.timestamp),
        severity=_SEVERITIES.get(message.severity, "DEFAULT"),
        log=log.rpartition("/")[2],
        service=message.resource.labels.get("service_name", ""),
        revision=message.resource.labels.get("revision_name", ""),
        message=_message(message, payload, request),
        insert_id=message.insert_id,
        trace_id=message.trace.rpartition("/")[2] or None,
        payload=payload,
        request=request,
    )


def line_of(entry: GoogleEntry) -> str:
    """One entry as a line for a person."""
    known = entry_of(entry)
    return known.message if known.severity in {"DEFAULT", "INFO"} else f"{known.severity}: {known.message}"


def _message(message: Any, payload: dict[str, Any] | None, request: dict[str, Any] | None) -> str:
    if payload is not None:
        text = payload.get("message")
        return text if isinstance(text, str) else json.dumps(payload, ensure_ascii=False, sort_keys=True)
    if request is not None:
        asked = urlsplit(request["url"])
        target = asked.path + (f"?{asked.query}" if asked.query else "")
        line = f"{request['method']} {target or '/'} {request['status']}"
        return f"{line}: {message.text_payload}" if message.text_payload else line
    return str(message.text_payload)


def _request(request: Any) -> dict[str, Any]:
    return {
        "method": request.request_method,
        "url": request.request_url,
        "status": request.status,
        "latency_s": request.latency.ToTimedelta().total_seconds(),
        "user_agent": request.user_agent,
    }


def _instant(timestamp: Any) -> datetime:
    instant: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return instant


def _any(values: Iterable[str]) -> str:
    return "(" + " OR ".join(_quoted(value) for value in values) + ")"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
