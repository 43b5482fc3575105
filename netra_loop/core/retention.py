"""Which sessions may go: decided by age and number, never against what somebody would still resume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from netra_loop.core.state import Status
from netra_loop.values import dataclass


class Session(Protocol):
    """What is asked of a session; a journal's head has it."""

    @property
    def loop(self) -> str:
        """The loop's name."""
        ...

    @property
    def environment(self) -> str:
        """Where it runs."""
        ...

    @property
    def state(self) -> str:
        """The contract's `state`."""
        ...

    @property
    def updated_at(self) -> datetime:
        """When it was last heard of."""
        ...


S = TypeVar("S", bound=Session)


@dataclass(frozen=True)
class Retention:
    """What is kept: all that changed within `older_than_s` seconds, and the newest `keep`. None: no such rule."""

    older_than_s: float | None
    keep: int | None


def removable(heads: Sequence[S], rule: Retention, now: datetime) -> list[S]:
    """Those of `heads` (newest first) that `rule` does not keep, but for the newest unfinished one of each loop and
    environment: that is what a resume without a name means. One from the future, by a clock that jumped, is kept.
    """
    unfinished: set[tuple[str, str]] = set()
    found = []
    for place, head in enumerate(heads):
        of = (head.loop, head.environment)
        if not Status(head.state).is_final and of not in unfinished:
            unfinished.add(of)
            continue
        old = rule.older_than_s is None or (now - head.updated_at).total_seconds() > rule.older_than_s
        if old and (rule.keep is None or place >= rule.keep):
            found.append(head)
    return found
