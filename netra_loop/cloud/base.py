"""What netra-loop needs of a place where revisions live.

One Protocol, `Cloud`. Its only implementation speaks the real Cloud Run Admin API v2 and Cloud Logging v2 over gRPC, to
the embedded cloud or to Google alike; `netra_loop.testing.FakeCloud` is its shipped twin. All errors are
`errors.EnvironmentFailed` or a subclass, except a revision that never gets ready, which is an answer (`Failed`), not an
error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from netra_loop.core.records import LogEntry, Revision

LABEL_SESSION = "netra-loop-session"
LABEL_ITERATION = "netra-loop-iteration"


@dataclass(frozen=True)
class DeployRequest:
    """One intent to deploy one service. Repeating it with the same session, iteration and service must not make a
    second revision: the implementation looks for the labels first. `command` is what the embedded cloud starts in
    `source` (absolute path); `probe_*` describe the startup probe, `probe_path` None meaning a TCP probe on the port.
    """

    service: str
    session: str
    iteration: int
    source: str
    command: tuple[str, ...]
    port: int = 8080
    env: Mapping[str, str] = field(default_factory=dict)
    probe_path: str | None = None
    probe_timeout_s: float = 60.0
    probe_period_s: float = 1.0


@dataclass(frozen=True)
class Failed:
    """A revision that did not get ready: the condition's reason and message and the container's own last lines."""

    service: str
    revision: str
    reason: str
    message: str
    log_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployed:
    """A revision that serves. `adopted`: an earlier attempt had made it."""

    revision: Revision
    adopted: bool = False


@dataclass(frozen=True)
class LogQuery:
    """Entries of these revisions (short names) from `since` on, `page_size` at most 1000 at a time.

    `severity` leaves out what is below it, but nothing of the request log and stderr. None: no such bound. Of
    `services` the request log is read whichever revision answered.
    """

    revisions: tuple[str, ...]
    since: datetime
    until: datetime | None = None
    severity: str | None = None
    page_size: int = 1000
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogPage:
    """One page in timestamp order. `cursor` is the place to go on from after a crash."""

    entries: tuple[LogEntry, ...]
    cursor: str
    last: bool


Progress = Callable[[str], None]  # a sentence for a person: what the deploy waits for now


class Cloud(Protocol):
    """A place where revisions live."""

    async def deploy(self, request: DeployRequest, progress: Progress) -> Deployed | Failed:
        """Makes the revision and waits until it serves; probes first and adopts what an earlier attempt made.

        Safe to repeat. Cancelling leaves whatever was begun; a repetition finds it.
        """
        ...

    async def serving(self, service: str) -> Revision | None:
        """The revision that gets the traffic now; None where the service does not exist or serves nothing."""
        ...

    def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """The entries, page by page, oldest first. Safe to abandon and to start again."""
        ...

    async def close(self) -> None:
        """Lets go of connections. Revisions go on serving."""
        ...
