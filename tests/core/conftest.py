"""Small makers of records for the tests of this room, as the fixture `make`."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netra_loop.core.records import Contact, Evidence, Exchange, Frame, LogEntry, Outcome, Result

T0 = datetime(2025, 9, 9, 16, 0, tzinfo=UTC)
WS = "ws://127.0.0.1:4000/ws"


TRACEBACK = """Traceback (most recent call last):
  File "/work/service/agent_backend/app.py", line 80, in handle
    await self._service.execute(message)
  File "/work/service/agent_backend/agent_service_core.py", line 544, in _execute
    orchestrator = self._bridge._orchestrator.create(user_id)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
AttributeError: 'NoneType' object has no attribute 'create\'"""


class Make:
    """Records with defaults."""

    T0 = T0
    TRACEBACK = TRACEBACK

    @staticmethod
    def at(seconds: float) -> datetime:
        return T0 + timedelta(seconds=seconds)

    @staticmethod
    def frame(kind: str = "text", direction: str = "received", second: float = 0, **more: Any) -> Frame:
        return Frame(url=more.pop("url", WS), kind=kind, direction=direction, at=Make.at(second), **more)

    @staticmethod
    def event(name: str, second: float = 1, direction: str = "received", **more: Any) -> Frame:
        return Make.frame("text", direction, second, event=name, **more)

    @staticmethod
    def closed(code: int, second: float = 6.96, reason: str = "", direction: str = "received") -> Frame:
        return Make.frame("close", direction, second, code=code, reason=reason)

    @staticmethod
    def exchange(status: int | None, path: str = "/api", error: str | None = None, body: str | None = None) -> Exchange:
        return Exchange("GET", f"http://127.0.0.1:4000{path}", status, T0, 0.1, error, body)

    @staticmethod
    def contact(host: str = "127.0.0.1", port: int = 4000, sent: int = 10, received: int = 10) -> Contact:
        return Contact(host, port, sent, received, T0, T0)

    @staticmethod
    def result(name: str = "test_a", outcome: Outcome = Outcome.FAILED, **more: Any) -> Result:
        values: dict[str, Any] = {
            "id": f"tests/test_x.py::{name}",
            "tier": "P1",
            "iteration": 1,
            "attempt": 1,
            "outcome": outcome,
            "duration_s": 7.0,
            "started_at": T0,
            "worker": "gw0",
            "revision": "backend-00001",
            "trace_id": f"trace-{name}-{more.get('attempt', 1)}",
            **more,
        }
        return Result(**values)

    @staticmethod
    def evidence(*frames: Frame, exchanges: tuple[Exchange, ...] = (), contacts: tuple[Contact, ...] = ()) -> Evidence:
        return Evidence(contacts=contacts, exchanges=exchanges, frames=frames)

    @staticmethod
    def entry(message: str, second: float = 1, **more: Any) -> LogEntry:
        values: dict[str, Any] = {
            "timestamp": Make.at(second),
            "severity": "ERROR",
            "log": "stderr",
            "service": "backend",
            "revision": "backend-00001",
            "message": message,
            "insert_id": f"{second:012.6f}-{zlib.crc32(message.encode())}",
            **more,
        }
        return LogEntry(**values)


@pytest.fixture
def make() -> type[Make]:
    return Make
