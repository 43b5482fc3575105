"""One run of one agent: think, use tools, stream the answer. An orchestrator serves one request and is then dropped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent_backend.agents import Agent
from agent_backend.tools import TOOLS, ToolError

Emit = Callable[[str, dict[str, object]], Awaitable[None]]  # event type and payload, to the run's audience

THINKING_S = 0.03
TOOL_S = 0.02
CHUNK_S = 0.01
CHUNK_WORDS = 4

_NEXT_STEP = re.compile(r"(?<!\S)then(?!\S)", re.IGNORECASE)
_COUNT = re.compile(r"count(?: the)? words(?: of| in)?:?", re.IGNORECASE)
_COMPUTE = re.compile(r"(?:compute|calculate|what is)\b", re.IGNORECASE)
_ARITHMETIC = frozenset("0123456789+-*/%.() ")


@dataclass(frozen=True)
class ToolCall:
    tool: str
    argument: str


@dataclass(frozen=True)
class RunResult:
    answer: str
    tools_used: tuple[str, ...]
    tool_errors: int


class RequestScopedOrchestrator:
    """Knows one user and one agent, so that nothing of a run can reach anybody else."""

    def __init__(self, user_id: str, agent: Agent) -> None:
        self.user_id = user_id
        self.agent = agent

    async def execute(self, user_request: str, emit: Emit) -> RunResult:
        """Emits agent_thinking, then tool_executing and tool_completed for each tool, then agent_partial events.

        A tool that fails is part of a run's normal life: its tool_completed says so, and the answer tells the user.
        """
        calls = self.plan(user_request)
        await emit("agent_thinking", {"thought": f"{self.agent.name} will use " + ", ".join(c.tool for c in calls)})
        await asyncio.sleep(THINKING_S)
        parts: list[str] = []
        errors = 0
        for call in calls:
            succeeded, text = await self._use(call, emit)
            errors += not succeeded
            parts.append(text)
        answer = "\n".join(parts)
        await self._stream(answer, emit)
        return RunResult(answer, tuple(call.tool for call in calls), errors)

    def plan(self, user_request: str) -> list[ToolCall]:
        """Which tools to use, in order; `… then …` makes several steps. An agent with one tool uses that one."""
        counting = _COUNT.match(user_request)
        if counting and "count_words" in self.agent.tools:
            return [ToolCall("count_words", user_request[counting.end() :].strip())]  # that text may itself say "then"
        steps = [step.strip() for step in _NEXT_STEP.split(user_request) if step.strip()]
        return [self._choose(step) for step in steps or [user_request]]

    def _choose(self, step: str) -> ToolCall:
        computing = _COMPUTE.match(step)
        expression = step[computing.end() :].strip(" ?") if computing else step
        arithmetic = _ARITHMETIC.issuperset(expression) and any(character.isdigit() for character in expression)
        if self.agent.tools == ("calculate",) or (arithmetic and "calculate" in self.agent.tools):
            return ToolCall("calculate", expression)
        return ToolCall("search_corpus", step)

    async def _use(self, call: ToolCall, emit: Emit) -> tuple[bool, str]:
        await emit("tool_executing", {"tool": call.tool, "argument": call.argument[:200]})
        await asyncio.sleep(TOOL_S)
        try:
            result = TOOLS[call.tool](call.argument)
        except ToolError as error:
            await emit("tool_completed", {"tool": call.tool, "status": "error", "error": str(error)})
            return False, f"I could not do that: {error}."
        await emit("tool_completed", {"tool": call.tool, "status": "ok", "result": result})
        return True, result

    async def _stream(self, answer: str, emit: Emit) -> None:
        """The chunks joined are the answer, to the last character."""
        words = re.findall(r"\s*\S+", answer)
        for index, start in enumerate(range(0, len(words), CHUNK_WORDS)):
            await emit("agent_partial", {"index": index, "text": "".join(words[start : start + CHUNK_WORDS])})
            await asyncio.sleep(CHUNK_S)
