"""What netra-loop needs of a place where revisions live.

One Protocol, `Cloud`. Its only implementation speaks the real Cloud Run Admin API v2 and Cloud Logging v2 over gRPC, to
the embedded cloud or to Google alike; `netra_loop.testing.FakeCloud` is its shipped twin. All errors are
`errors.EnvironmentFailed` or a subclass, except a revision that never gets ready, which is an answer (`Failed`), not an
error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Protocol

from netra_loop.core.records import LogEntry, Revision
from netra_loop.core.spec import ResourcesSpec, ScalingSpec, VpcSpec
from netra_loop.values import dataclass

LABEL_SESSION = "netra-loop-session"
LABEL_ITERATION = "netra-loop-iteration"
IN_PIECES = "split-"  # how the insert id of an entry begins that was put together of several


@dataclass(frozen=True)
class DeployRequest:
    """One intent to deploy one service. Repeating it with the same session, iteration and service must not make a
    second revision: the implementation looks for the labels first. `probe_*` describe the startup probe, `probe_path`
    None meaning a TCP probe on the port.

    Without an `image` it is for the embedded cloud, which starts `command` in `source` (absolute path); with one,
    `command` takes the place of the image's own entry point where it is not empty. `secrets` maps a variable to
    `SECRET` or `SECRET:VERSION`. `tag`: not None means that the revision gets no traffic, is reached at the tag's URL,
    and what serves now is pinned by name. What is None or empty is left to the platform.
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
    image: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: ResourcesSpec = ResourcesSpec()
    scaling: ScalingSpec = ScalingSpec()
    vpc: VpcSpec | None = None
    concurrency: int | None = None
    request_timeout_s: float | None = None
    service_account: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class Target:
    """A share of a service's traffic. `revision` None: whatever is the latest ready one. `url` is the tag's own."""

    revision: str | None
    percent: int
    tag: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Standing:
    """A service as it is now: what it was asked to serve (`targets`), what serves (`serving`, the revision that gets
    all or most of the traffic), and what was made and got ready last. Short names; None where there is none. `change`
    differs after every change that anybody makes (the etag).
    """

    service: str
    url: str
    change: str
    targets: tuple[Target, ...]
    serving: str | None
    latest_created: str | None
    latest_ready: str | None


@dataclass(frozen=True)
class Failed:
    """A revision that did not get ready: the condition's reason and message, the container's own last lines, and what
    to do about it (`hint`, "" where nothing is known). `adopted`: an earlier attempt had made it.
    """

    service: str
    revision: str
    reason: str
    message: str
    log_lines: tuple[str, ...] = ()
    hint: str = ""
    adopted: bool = False


@dataclass(frozen=True)
class Deployed:
    """A revision that serves. `adopted`: an earlier attempt had made it."""

    revision: Revision
    adopted: bool = False


@dataclass(frozen=True)
class LogQuery:
    """Entries of these revisions (short names) from `since` on, `page_size` at most 1000 at a time.

    `severity` leaves out what is below it, but nothing of the request log and stderr. None: no such bound. Of
    `services` the request log is read whichever revision answered. With `traces` it asks for nothing but the request
    log's entries of these traces.

    `give_up` is asked before each read that would have to wait for the limit of reads, our own or the API's: the
    monotonic time at which it comes too late, whereupon OutOfReads is raised at once. None: it is waited for, our own
    however long.
    """

    revisions: tuple[str, ...]
    since: datetime
    until: datetime | None = None
    severity: str | None = None
    page_size: int = 1000
    services: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    give_up: Callable[[], float] | None = None


@dataclass(frozen=True)
class LogPage:
    """One page in timestamp order. `cursor` is the time up to which all was given, in RFC 3339.

    `unfinished`, on the last page alone, are entries that came in several pieces of which some are still missing: told
    as far as they are known, and again, under the same key, once more is.
    """

    entries: tuple[LogEntry, ...]
    cursor: str
    last: bool
    unfinished: tuple[LogEntry, ...] = ()


Progress = Callable[[str], None]  # a sentence for a person: what the deploy waits for now


class Cloud(Protocol):
    """A place where revisions live."""

    async def deploy(self, request: DeployRequest, progress: Progress) -> Deployed | Failed:
        """Makes the revision and waits until it serves; probes first and adopts what an earlier attempt made.

        Safe to repeat. Cancelling leaves whatever was begun; a repetition finds it.
        """
        ...

    async def serving(self, service: str, tag: str | None = None) -> Revision | None:
        """The revision that gets the traffic now, or the one behind `tag`, reached at that tag's URL; None where the
        service or the tag does not exist or nothing serves.
        """
        ...

    async def standing(self, service: str) -> Standing | None:
        """The service as it is; None where there is none."""
        ...

    async def route(self, service: str, revision: str | None, *, drop_tag: str | None = None) -> bool:
        """Sends all traffic to `revision` (short name), pinned; None: to whatever is the latest ready one. Other tags
        stay, `drop_tag` goes. Changes nothing but traffic; False where it was so already. Safe to repeat. Raises
        ForeignChange where the service changed between reading and writing and is not ours.
        """
        ...

    async def tag(self, service: str, revision: str, tag: str) -> str:
        """Puts `tag` on `revision` (short name) at 0 %, leaving the traffic as it is, and gives the tag's URL once it
        leads there. One that `tag` was on before loses it. Safe to repeat; after doubt it looks first. Raises
        EnvironmentFailed where there is no such service or revision, ForeignChange as `route`.
        """
        ...

    async def untag(self, service: str, tag: str) -> bool:
        """Takes `tag` off, leaving the traffic as it is; False where there was no such tag. Safe to repeat."""
        ...

    def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """The entries, page by page, oldest first. Safe to abandon and to start again."""
        ...

    def tail(self, query: LogQuery, missed: Callable[[int], None] | None = None) -> AsyncIterator[tuple[LogEntry, ...]]:
        """Entries as they come, a few at a time, in the order of their arrival; some may never come and some twice: for
        looking on, never for judging. Opened again where the stream ends; goes on until it is closed (`aclose`) or
        raises EnvironmentFailed where it cannot be had at all. `missed` is told how many entries the cloud says it has
        left out.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections. Revisions go on serving."""
        ...
