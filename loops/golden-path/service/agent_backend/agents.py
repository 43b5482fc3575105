"""The agents there are: what each is for and which tools it may use."""

from __future__ import annotations

from dataclasses import asdict, dataclass


class UnknownAgentError(LookupError):
    """No agent has that name."""


@dataclass(frozen=True)
class Agent:
    name: str
    description: str
    tools: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


AGENTS = {
    agent.name: agent
    for agent in (
        Agent("assistant", "Chooses the tool that fits the request.", ("calculate", "search_corpus", "count_words")),
        Agent("calculator", "Does arithmetic.", ("calculate",)),
        Agent("researcher", "Searches the documents.", ("search_corpus",)),
    )
}
DEFAULT_AGENT = "assistant"


def agent_named(name: str) -> Agent:
    """Raises UnknownAgentError."""
    if name not in AGENTS:
        raise UnknownAgentError(name)
    return AGENTS[name]
