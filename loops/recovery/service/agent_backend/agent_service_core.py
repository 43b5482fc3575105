"""Executes agent runs: from the user's request to the answer in the user's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import uuid4

from agent_backend.agent_websocket_bridge import AgentWebSocketBridge
from agent_backend.logs import logger
from agent_backend.metrics import Metrics
from agent_backend.orchestrator import Emit, RunResult
from agent_backend.orchestrator_factory import OrchestratorFactory
from agent_backend.settings import OrchestratorSource
from agent_backend.threads import Thread


@dataclass(frozen=True)
class AgentRequest:
    user_id: str
    agent_type: str
    user_request: str


class AgentServiceCore:
    """The factory decides where orchestrators come from; the source that settings name counts no more."""

    def __init__(self, bridge: AgentWebSocketBridge, _source: OrchestratorSource, metrics: Metrics) -> None:
        self._bridge = bridge
        self._factory = OrchestratorFactory(bridge)
        self._metrics = metrics

    async def run_agent(self, request: AgentRequest, thread: Thread) -> None:
        """One run, from agent_started to agent_completed. Cancelling it ends the run without a further event."""
        run_id = f"run-{uuid4().hex[:12]}"
        emit = self._bridge.emitter(request.user_id, thread.thread_id, run_id)
        began = time.monotonic()
        self._metrics.runs_started += 1
        thread.add("user", run_id, request.user_request)
        logger.info("agent run started", extra={"fields": {"run_id": run_id, "agent": request.agent_type}})
        await emit("agent_started", {"agent": request.agent_type})
        result = await self._execute(request, emit)
        thread.add("agent", run_id, result.answer)
        self._metrics.runs_completed += 1
        self._metrics.tool_errors += result.tool_errors
        duration_s = round(time.monotonic() - began, 3)
        logger.info("agent run completed", extra={"fields": {"run_id": run_id, "duration_s": duration_s}})
        answered = {
            "agent": request.agent_type,
            "answer": result.answer,
            "tools_used": list(result.tools_used),
            "tool_errors": result.tool_errors,
            "duration_s": duration_s,
        }
        await emit("agent_completed", answered)

    async def _execute(self, request: AgentRequest, emit: Emit) -> RunResult:
        orchestrator = await self._factory.orchestrator_for(request.user_id, request.agent_type)
        return await orchestrator.execute(request.user_request, emit)
