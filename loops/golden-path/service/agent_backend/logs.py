"""Structured logs as Cloud Run reads them: one JSON object a line, with the severity and the trace of the request.

An exception's whole stack trace goes into `message`, because a trace printed as plain text becomes one log entry for
each of its lines.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

logger = logging.getLogger("agent_backend")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?:-|$)")
_CLOUD_TRACE = re.compile(r"(?P<trace>[0-9a-fA-F]{32})(?:/|;|$)")
_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
_user_id: ContextVar[str | None] = ContextVar("user_id", default=None)


def trace_id_of(headers: Mapping[str, str]) -> str | None:
    """The 32 hex digits out of `traceparent` (W3C) or `X-Cloud-Trace-Context`; None where neither is well formed."""
    if found := _TRACEPARENT.match(headers.get("traceparent", "")):
        return found["trace"]
    if found := _CLOUD_TRACE.match(headers.get("X-Cloud-Trace-Context", "")):
        return found["trace"].lower()
    return None


def bind_trace(trace_id: str | None) -> None:
    """What this task, and the tasks that it starts, log from now on belongs to this trace."""
    _trace_id.set(trace_id)


def bind_user(user_id: str) -> None:
    """The same for the user. A socket's upgrade and its session are one task, so both hold to its end."""
    _user_id.set(user_id)


class CloudRunFormatter(logging.Formatter):
    """Fields given as `extra={"fields": {...}}` stand beside the message."""

    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        entry: dict[str, object] = {
            "severity": record.levelname,
            "message": message,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
            "logging.googleapis.com/sourceLocation": {
                "file": record.pathname,
                "line": str(record.lineno),
                "function": record.funcName,
            },
        }
        if trace_id := _trace_id.get():
            entry["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace_id}"
        if user_id := _user_id.get():
            entry["user_id"] = user_id
        entry.update(getattr(record, "fields", {}))
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure(*, project: str) -> None:
    """Everything that logs in this process writes structured lines to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(CloudRunFormatter(project))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("websockets").setLevel(
        logging.WARNING
    )  # it tells each connection's opening and closing, and so do we
