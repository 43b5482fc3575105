"""`FakeCloud`: revisions that are made, fail and log as they are told."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from netra_loop.clock import Clock
from netra_loop.cloud.base import Deployed, DeployRequest, Failed, LogPage, LogQuery, Progress
from netra_loop.core.records import LogEntry, Revision
from netra_loop.testing.clock import FakeClock

_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")


class FakeCloud:
    """`Cloud` in memory. The object stands for the cloud itself: what was deployed outlives whoever deployed it.

    `effects` counts the revisions really made for each (session, iteration, service), `calls` the deploys asked for, so
    that a repetition that adopts shows as two calls and one effect. `logs` is what `entries` gives, in any order.
    """

    def __init__(self, clock: Clock | None = None, logs: Iterable[LogEntry] = ()) -> None:
        self._clock = clock or FakeClock()
        self._made: dict[tuple[str, int, str], Deployed | Failed] = {}
        self._serving: dict[str, Revision] = {}
        self._numbers: Counter[str] = Counter()
        self._told: deque[tuple[str, str] | tuple[BaseException, bool]] = deque()
        self.effects: Counter[tuple[str, int, str]] = Counter()
        self.calls: Counter[tuple[str, int, str]] = Counter()
        self.logs = list(logs)

    def fail_next(self, reason: str, message: str) -> None:
        """The next revision to be made never gets ready; the service goes on serving what it served."""
        self._told.append((reason, message))

    def raise_next(self, error: BaseException, *, after_effect: bool = False) -> None:
        """The next deploy that would make a revision raises `error`, before it is made or right after."""
        self._told.append((error, after_effect))

    async def deploy(self, request: DeployRequest, progress: Progress) -> Deployed | Failed:
        """See `Cloud.deploy`; repeating an intent adopts what it made."""
        intent = (request.session, request.iteration, request.service)
        self.calls[intent] += 1
        if intent in self._made:
            earlier = self._made[intent]
            return replace(earlier, adopted=True) if isinstance(earlier, Deployed) else earlier
        match self._told.popleft() if self._told else None:
            case (BaseException() as error, True):
                self._make(intent)
                raise error
            case (BaseException() as error, _):
                raise error
            case (str() as reason, str() as message):
                self.effects[intent] += 1
                self._made[intent] = Failed(request.service, self._name(request.service), reason, message)
            case _:
                progress(f"{request.service} gets ready")
                self._make(intent)
        return self._made[intent]

    def _make(self, intent: tuple[str, int, str]) -> None:
        service = intent[2]
        name = self._name(service)
        revision = Revision(service, name, f"http://{name}.invalid", f"ws://{name}.invalid", ready_at=self._clock.now())
        self.effects[intent] += 1
        self._made[intent] = Deployed(revision)
        self._serving[service] = revision

    def _name(self, service: str) -> str:
        self._numbers[service] += 1
        return f"{service}-{self._numbers[service]:05d}-fak"

    async def serving(self, service: str) -> Revision | None:
        """See `Cloud.serving`."""
        return self._serving.get(service)

    async def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """See `Cloud.entries`; `cursor` is the number of entries given so far."""
        kept = sorted((entry for entry in self.logs if _answers(entry, query)), key=lambda entry: entry.timestamp)
        for start in range(0, max(len(kept), 1), query.page_size):
            end = start + query.page_size
            yield LogPage(tuple(kept[start:end]), cursor=str(min(end, len(kept))), last=end >= len(kept))

    async def request(self, url: str, trace_id: str) -> None:
        """A request to a revision's URL, as its request log shows it: what marks the logs as complete."""
        for revision in self._serving.values():
            if url.startswith(revision.url):
                number = len(self.logs)
                self.logs.append(
                    LogEntry(
                        timestamp=self._clock.now(),
                        severity="INFO",
                        log="requests",
                        service=revision.service,
                        revision=revision.name,
                        message="",
                        insert_id=f"fake-{number:08d}",
                        trace_id=trace_id,
                        request={
                            "method": "GET",
                            "url": url,
                            "status": 200,
                            "latency_s": 0.0,
                            "user_agent": "netra-loop (fake)",
                        },
                    )
                )

    async def close(self) -> None:
        """See `Cloud.close`."""


def _answers(entry: LogEntry, query: LogQuery) -> bool:
    return (
        (entry.revision in query.revisions or (entry.log == "requests" and entry.service in query.services))
        and entry.timestamp >= query.since
        and (query.until is None or entry.timestamp < query.until)
        and (
            query.severity is None
            or entry.log in {"requests", "stderr"}  # read whatever its severity: the marked request is among it
            or _SEVERITIES.index(entry.severity) >= _SEVERITIES.index(query.severity)
        )
    )
