"""What one process of the tests collected, as it comes in."""

from __future__ import annotations

from dataclasses import field

from netra_loop.core.records import CollectedTest, CollectionError, Sources
from netra_loop.execution.base import Collection
from netra_loop.execution.pool_result import collected
from netra_loop.execution.pool_wire import Message
from netra_loop.values import dataclass


@dataclass
class Gathered:
    """What one process collected, as it comes in. `spawn` is why it must not be forked, None where it may be."""

    tests: list[CollectedTest] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    errors: tuple[CollectionError, ...] = ()
    deselected: int = 0
    notes: tuple[str, ...] = ()
    spawn: str | None = None
    sources: Sources = field(default_factory=Sources)

    def take(self, message: Message) -> bool:
        """Takes a message about the collection; True once it is complete."""
        if message["is"] == "tests":
            for row in message["tests"]:
                self.tests.append(collected(row))
                if row["group"] is not None:
                    self.groups[row["id"]] = row["group"]
            return False
        self.errors = tuple(CollectionError(row["id"], row["text"]) for row in message["errors"])
        self.deselected = message["deselected"]
        self.notes = tuple(message["notes"])
        self.spawn = message["spawn"]
        self.sources = Sources(**message["sources"])
        return True

    def collection(self) -> Collection:
        """The same for whoever asked."""
        return Collection(tuple(self.tests), self.errors, self.deselected, warnings=self.notes, sources=self.sources)
