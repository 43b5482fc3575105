"""A small agent backend: a user opens a WebSocket, starts an agent, and gets the agent's answer back."""

__version__ = "1.4.0"
