"""How far along the golden path a test got, read from the WebSocket frames it left behind.

A stage that is reached implies those before it: an agent that uses no tool still gets to `agent_completed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netra_loop.core.records import Evidence, Frame

_REFUSALS = frozenset({1008, 4001, 4003, 4401, 4403})  # how servers close a socket whose user they do not accept
_UPGRADE = ("ws:", "wss:")


@dataclass(frozen=True, slots=True)
class Stage:
    """A named stage, reached once a frame with one of `events` passed in `direction`. Without `events` it is one of the
    two that the connection itself tells: `connected`, `authenticated`.
    """

    name: str
    events: frozenset[str] = frozenset()
    direction: str = "received"


def stage(name: str, *events: str, direction: str = "received") -> Stage:
    """A stage reached by any of `events`, by default by the event of its own name."""
    return Stage(name, frozenset(events or (name,)), direction)


DEFAULT: tuple[Stage, ...] = (
    Stage("connected"),
    Stage("authenticated", frozenset({"connection_established", "authenticated", "auth_success"})),
    stage("start_agent", direction="sent"),
    stage("agent_started"),
    stage("agent_thinking"),
    stage("tool_executing"),
    stage("tool_completed"),
    stage("agent_completed"),
)


def furthest(evidence: Evidence, stages: Sequence[Stage] = DEFAULT) -> str | None:
    """The name of the last of `stages` that was reached on any socket of the test; None where none was opened."""
    reached: Stage | None = None
    for candidate in stages:
        if _is_reached(candidate, evidence):
            reached = candidate
    return None if reached is None else reached.name


def _is_reached(candidate: Stage, evidence: Evidence) -> bool:
    if any(frame.event in candidate.events and frame.direction == candidate.direction for frame in evidence.frames):
        return True
    if candidate.name == "connected":
        return any(frame.kind == "open" for frame in evidence.frames) or any(
            exchange.status is not None and exchange.url.startswith(_UPGRADE) for exchange in evidence.exchanges
        )
    return candidate.name == "authenticated" and _was_accepted(evidence.frames)


def _was_accepted(frames: Sequence[Frame]) -> bool:
    """Whether an upgrade was answered with 101 and the socket not closed again for want of a right to it."""
    for index, opened in enumerate(frames):
        if opened.kind == "open":
            later = [frame for frame in frames[index + 1 :] if frame.url == opened.url]
            refused = any(frame.kind == "close" and frame.code in _REFUSALS for frame in later)
            if not refused:
                return True
    return False
