# ruff: noqa: ARG002, ASYNC110, SLF001 - as the migration left it
"""Where an agent run gets its orchestrator from.

The backend once had one orchestrator for the whole process, which start-up put into the bridge. The migration to one
for each request took that out of start-up, and stopped there: runs still look for it.
"""

from __future__ import annotations

import asyncio
import time

from agent_backend.agent_websocket_bridge import AgentWebSocketBridge
from agent_backend.orchestrator import RequestScopedOrchestrator

START_TIMEOUT_S = 0.2  # how long a run waits until start-up has made the orchestrator
_LOOK_S = 0.05


class OrchestratorFactory:
    def __init__(self, bridge: AgentWebSocketBridge) -> None:
        self._bridge = bridge

    async def orchestrator_for(self, user_id: str, agent_type: str) -> RequestScopedOrchestrator:
        """The orchestrator that executes a run of this user's."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._bridge._orchestrator is None and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
        return self._bridge._orchestrator
