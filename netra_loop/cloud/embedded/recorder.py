"""Makes log entries in Cloud Run's shape: of what a container prints, of what the platform says, of requests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from netra_loop.cloud.embedded.log_limits import MOST_LABELS, PIECE, pieces, trimmed
from netra_loop.cloud.embedded.log_lines import entry_of
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.log_writes import is_ahead
from netra_loop.cloud.embedded.times import rfc3339_ns
from netra_loop.values import dataclass


@dataclass(frozen=True)
class Origin:
    """Where an entry comes from. Short names; `labels` are the user's labels of service and revision."""

    project: str
    location: str
    service: str
    revision: str
    labels: Mapping[str, str]
    instance: str = ""


class Recorder:
    """Writes entries into the store."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def line(self, origin: Origin, stream: str, line: bytes) -> None:
        """One line of `stream` (stdout, stderr); an empty one gives no entry, one that is too long several.

        A time of its own that lies more than a day ahead does not count: the time it came is taken.
        """
        if line.strip():
            long = len(line) > PIECE
            for part in pieces(self._store.hidden(line.decode("utf-8", "replace"))) if long else (entry_of(line),):
                self._append(origin, _entry(origin, stream) | part, part.get("labels", {}))

    def system(self, origin: Origin, severity: str, text: str) -> None:
        """A sentence of the platform about an instance."""
        self._store.append(_entry(origin, "varlog/system") | {"severity": severity, "textPayload": text})

    def request(
        self, origin: Origin, *, started_ns: int, trace: str, span: str, request: Mapping[str, Any], note: str | None
    ) -> None:
        """One request, when it has ended. `note` says why the platform itself answered, None where it did not."""
        status = request["status"]
        entry = _entry(origin, "requests") | {
            "timestamp": rfc3339_ns(started_ns),
            "severity": "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO",
            "trace": f"projects/{origin.project}/traces/{trace}",
            "spanId": span,
            "traceSampled": True,
            "httpRequest": dict(request),
        }
        self._store.append(entry if note is None else entry | {"textPayload": note})

    def _append(self, origin: Origin, entry: dict[str, Any], labels: Mapping[str, str]) -> None:
        if "timestamp" in entry and is_ahead(entry, time.time_ns()):
            del entry["timestamp"]
        own = _labels(origin)
        kept = dict(itertools.islice(trimmed(labels).items(), max(0, MOST_LABELS - len(own))))
        self._store.append(entry | {"labels": kept | own})


def _entry(origin: Origin, log: str) -> dict[str, Any]:
    return {
        "logName": _log_name(origin.project, log),
        "resource": {
            "type": "cloud_run_revision",
            "labels": {
                "project_id": origin.project,
                "location": origin.location,
                "service_name": origin.service,
                "configuration_name": origin.service,
                "revision_name": origin.revision,
            },
        },
        "labels": _labels(origin),
    }


@lru_cache(maxsize=64)
def _log_name(project: str, log: str) -> str:
    return f"projects/{project}/logs/{quote(f'run.googleapis.com/{log}', safe='')}"


def _labels(origin: Origin) -> dict[str, str]:
    return {**origin.labels, **({"instanceId": origin.instance} if origin.instance else {})}
