"""Conversations, kept in memory: a thread belongs to one user, and nobody else can tell that it exists."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import uuid4

THREADS_PER_USER = 200  # the oldest is forgotten first


class UnknownThreadError(LookupError):
    """This user has no thread with that id, whether or not somebody else has."""


@dataclass
class Thread:
    thread_id: str
    user_id: str
    messages: list[dict[str, str]] = field(default_factory=list)

    def add(self, role: str, run_id: str, text: str) -> None:
        self.messages.append({"role": role, "run_id": run_id, "text": text})


class ThreadStore:
    def __init__(self) -> None:
        self._threads: dict[str, OrderedDict[str, Thread]] = {}

    def create(self, user_id: str) -> Thread:
        threads = self._threads.setdefault(user_id, OrderedDict())
        thread = Thread(f"thread-{uuid4().hex[:12]}", user_id)
        threads[thread.thread_id] = thread
        if len(threads) > THREADS_PER_USER:
            threads.popitem(last=False)
        return thread

    def get(self, user_id: str, thread_id: str) -> Thread:
        """Raises UnknownThreadError."""
        thread = self._threads.get(user_id, OrderedDict()).get(thread_id)
        if thread is None:
            raise UnknownThreadError(thread_id)
        return thread

    def of_user(self, user_id: str) -> list[Thread]:
        """Oldest first."""
        return list(self._threads.get(user_id, OrderedDict()).values())
