"""One line of a doctor's report, and what every check is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from enum import StrEnum

from netra_loop.clock import Clock
from netra_loop.core.spec import EnvironmentSpec, LoopSpec
from netra_loop.phases.scope import Scope
from netra_loop.settings import Settings
from netra_loop.toolbox import SessionTools
from netra_loop.values import dataclass


class Status(StrEnum):
    """How something stands: a session would go well, would go worse, would fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Line:
    """What one look found. `mend` is what to type or do about it, "" where there is nothing to."""

    check: str
    status: Status
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class Loop:
    """The loop in question, in one of its environments. `tools` are those of a session that never begins."""

    spec: LoopSpec
    environment: str
    scope: Scope
    tools: SessionTools

    @property
    def place(self) -> EnvironmentSpec:
        """The environment's own part of the loop file."""
        return self.spec.environments[self.environment]


@dataclass(frozen=True)
class Subject:
    """What is looked at; without a loop, what every loop needs."""

    settings: Settings
    clock: Clock
    loop: Loop | None = None


Check = Callable[[Subject], AsyncIterator[Line]]


def ok(check: str, detail: str) -> Line:
    """All is well."""
    return Line(check, Status.OK, detail)


def warn(check: str, detail: str, mend: str = "") -> Line:
    """It would go, but worse than it might."""
    return Line(check, Status.WARN, detail, mend)


def fail(check: str, detail: str, mend: str) -> Line:
    """It would not go."""
    return Line(check, Status.FAIL, detail, mend)
