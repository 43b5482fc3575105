"""What a wait may come to: shared by `wait` and by what it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netra_loop.core.events import Event
from netra_loop.core.records import Finding
from netra_loop.values import dataclass


@dataclass(frozen=True)
class Arrived:
    """It came. What is stored with the outcome: `events`, not stamped yet, and, where they are not None, the findings
    of `findings_iteration`, whole.
    """

    summary: str
    facts: Mapping[str, Any]
    events: tuple[Event, ...] = ()
    findings: tuple[Finding, ...] | None = None
    findings_iteration: int = 0


@dataclass(frozen=True)
class Note:
    """Something else was seen, which a person should know of: `text`, told once for each `key`."""

    key: str
    text: str
