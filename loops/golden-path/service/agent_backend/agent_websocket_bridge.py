"""Between agents and sockets: makes the orchestrator of a run and carries the run's events to whoever may see them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from agent_backend.agents import agent_named
from agent_backend.orchestrator import Emit, RequestScopedOrchestrator

Send = Callable[[dict[str, Any]], Awaitable[None]]


class AgentWebSocketBridge:
    """Audiences are kept by user and thread: an event of one user's thread can reach that user's sockets only."""

    def __init__(self) -> None:
        self._audiences: dict[tuple[str, str], list[Send]] = defaultdict(list)
        # Left from the time before create_execution_orchestrator. Start-up used to set the one and to fill the other.
        self._orchestrator: RequestScopedOrchestrator = None  # type: ignore[assignment]
        self._idle_orchestrators: asyncio.Queue[RequestScopedOrchestrator] = asyncio.Queue()

    async def create_execution_orchestrator(self, user_id: str, agent_type: str) -> RequestScopedOrchestrator:
        """A new orchestrator for this request alone. Raises UnknownAgentError."""
        return RequestScopedOrchestrator(user_id, agent_named(agent_type))

    async def take_idle_orchestrator(self) -> RequestScopedOrchestrator:
        """An orchestrator out of the shared pool; waits until one is idle."""
        return await self._idle_orchestrators.get()

    def subscribe(self, user_id: str, thread_id: str, send: Send) -> None:
        """From now on `send` gets the thread's events, once each however often it subscribes."""
        audience = self._audiences[user_id, thread_id]
        if send not in audience:
            audience.append(send)

    def unsubscribe(self, send: Send) -> None:
        """Takes `send` out of every audience."""
        for key, audience in list(self._audiences.items()):
            if send in audience:
                audience.remove(send)
            if not audience:
                del self._audiences[key]

    def emitter(self, user_id: str, thread_id: str, run_id: str) -> Emit:
        """Wraps a run's events into frames, numbered from 1, and sends them to the thread's audience."""
        numbers = count(1)

        async def emit(event_type: str, payload: dict[str, object]) -> None:
            frame = {
                "type": event_type,
                "run_id": run_id,
                "thread_id": thread_id,
                "user_id": user_id,
                "sequence": next(numbers),
                "timestamp": datetime.now(UTC).isoformat(),
                "payload": payload,
            }
            for send in tuple(self._audiences.get((user_id, thread_id), ())):
                await send(frame)

        return emit
