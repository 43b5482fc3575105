"""Counters since start-up, in the text format that Prometheus scrapes."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Metrics:
    http_requests: int = 0
    websocket_sessions: int = 0
    runs_started: int = 0
    runs_completed: int = 0
    tool_errors: int = 0

    def as_text(self) -> str:
        return "".join(f"agent_backend_{name}_total {value}\n" for name, value in asdict(self).items())
