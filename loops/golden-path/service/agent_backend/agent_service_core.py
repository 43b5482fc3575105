"""Executes agent runs: from the user's request to the answer in the user's thread."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import uuid4

from agent_backend.agent_websocket_bridge import AgentWebSocketBridge
from agent_backend.logs import logger
from agent_backend.metrics import Metrics
from agent_backend.orchestrator import Emit, RequestScopedOrchestrator, RunResult
from agent_backend.settings import OrchestratorSource
from agent_backend.threads import Thread

SLOW_START_S = 3.0  # a run that has no orchestrator by then is worth a warning


@dataclass(frozen=True)
class AgentRequest:
    user_id: str
    agent_type: str
    user_request: str


class AgentServiceCore:
    def __init__(self, bridge: AgentWebSocketBridge, source: OrchestratorSource, metrics: Metrics) -> None:
        self._bridge = bridge
        self._source = source
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
        result = await self._execute(request, run_id, emit)
        thread.add("agent", run_id, result.answer)
        self._metrics.runs_completed += 1
        self._metrics.tool_errors += result.tool_errors
        duration_s = round(time.monotonic() - began, 3)
        logger.info("agent run completed", extra={"fields": {"run_id": run_id, "duration_s": duration_s}})
        await emit(
            "agent_completed",
            {
                "agent": request.agent_type,
                "answer": result.answer,
                "tools_used": list(result.tools_used),
                "tool_errors": result.tool_errors,
                "duration_s": duration_s,
            },
        )

    async def _execute(self, request: AgentRequest, run_id: str, emit: Emit) -> RunResult:
        orchestrator = await self._orchestrator_for(request, run_id)
        return await orchestrator.execute(request.user_request, emit)

    async def _orchestrator_for(self, request: AgentRequest, run_id: str) -> RequestScopedOrchestrator:
        if self._source is OrchestratorSource.PROCESS_SINGLETON:
            return self._bridge._orchestrator  # noqa: SLF001 - as it was written before the factory
        if self._source is OrchestratorSource.SHARED_POOL:
            warning = asyncio.get_running_loop().call_later(SLOW_START_S, _warn_slow_start, run_id)
            try:
                return await self._bridge.take_idle_orchestrator()
            finally:
                warning.cancel()
        return await self._bridge.create_execution_orchestrator(request.user_id, request.agent_type)


def _warn_slow_start(run_id: str) -> None:
    logger.warning(
        "agent run still waits for an orchestrator after %.0f s", SLOW_START_S, extra={"fields": {"run_id": run_id}}
    )
