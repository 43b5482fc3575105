"""`FakeCloud`: revisions that are made, fail, get traffic and log as they are told."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace

from netra_loop.clock import Clock
from netra_loop.cloud.base import Deployed, DeployRequest, Failed, LogPage, LogQuery, Progress, Standing, Target
from netra_loop.core.records import LogEntry, Revision
from netra_loop.errors import CloudCallFailed, ForeignChange
from netra_loop.testing.clock import FakeClock

_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_LATEST = (Target(None, 100),)
_TAIL_PAUSE_S = 1.0

Intent = tuple[str, int, str]  # session, iteration, service
_Answer = tuple[str, str] | tuple[BaseException, bool]  # a failed revision's reason and message, or what to raise


@dataclass
class _Service:
    """One service: what was made of it, what is ready, and who gets the traffic. `changes` is its etag."""

    made: list[str] = field(default_factory=list)
    ready: list[str] = field(default_factory=list)
    targets: tuple[Target, ...] = _LATEST
    changes: int = 0

    @property
    def latest_ready(self) -> str | None:
        return max(self.ready, key=self.made.index, default=None)

    @property
    def serving(self) -> str | None:
        most = max(self.targets, key=lambda target: target.percent)
        return self.latest_ready if most.revision is None else most.revision

    def move(self, targets: Iterable[Target]) -> None:
        self.targets = tuple(targets)
        self.changes += 1


class FakeCloud:
    """`Cloud` in memory. The object stands for the cloud itself: what was deployed outlives whoever deployed it.

    `effects` counts the revisions really made for each (session, iteration, service), `calls` the deploys asked for, so
    that a repetition that adopts shows as two calls and one effect. `asked` are the requests themselves, `routed` the
    changes of traffic alone, as (service, revision). `logs` is what `entries` gives, in any order. A revision's URL
    serves while it gets the traffic; a tag's URL always does.
    """

    def __init__(self, clock: Clock | None = None, logs: Iterable[LogEntry] = ()) -> None:
        self._clock = clock or FakeClock()
        self._made: dict[Intent, Deployed | Failed] = {}
        self._services: defaultdict[str, _Service] = defaultdict(_Service)
        self._told: defaultdict[str | None, deque[_Answer]] = defaultdict(deque)
        self._refusals: defaultdict[str, deque[tuple[BaseException, bool]]] = defaultdict(deque)
        self.effects: Counter[Intent] = Counter()
        self.calls: Counter[Intent] = Counter()
        self.asked: list[DeployRequest] = []
        self.routed: list[tuple[str, str | None]] = []
        self._given_up: dict[str, int] = {}  # the change by which the traffic was sent elsewhere
        self.logs = list(logs)

    # ---------------------------------------------------------------------------------- what it is told

    def fail_next(self, reason: str, message: str, *, service: str | None = None) -> None:
        """The next revision to be made, of `service` or of any, never gets ready; what served goes on serving."""
        self._told[service].append((reason, message))

    def raise_next(
        self, error: BaseException, *, after_effect: bool = False, call: str = "deploy", service: str | None = None
    ) -> None:
        """The next deploy that would make a revision, of `service` or of any, or the next `call` (route, tag,
        untag, standing), raises `error`: before its effect or right after.
        """
        if call == "deploy":
            self._told[service].append((error, after_effect))
        else:
            self._refusals[call].append((error, after_effect))

    def somebody_deploys(self, service: str) -> str:
        """Another one's revision, ready and with all traffic; its short name."""
        found = self._services[service]
        name = self._name(service)
        found.ready.append(name)
        found.move(_LATEST)
        return name

    def somebody_routes(self, service: str, *targets: Target) -> None:
        """Another one's change of traffic."""
        self._services[service].move(targets)

    def gets_ready_late(self, revision: str) -> None:
        """A revision that had failed gets ready after all, as one does that starts too slowly."""
        self._services[revision.rpartition("-")[0].rpartition("-")[0]].ready.append(revision)

    # ---------------------------------------------------------------------------------- as a cloud

    async def deploy(self, request: DeployRequest, progress: Progress) -> Deployed | Failed:
        """See `Cloud.deploy`; repeating an intent adopts what it made."""
        intent = (request.session, request.iteration, request.service)
        self.calls[intent] += 1
        self.asked.append(request)
        if intent in self._made:
            return self._adopted(request, self._made[intent])
        told = self._told[request.service] or self._told[None]
        match told.popleft() if told else None:
            case (BaseException() as error, True):
                self._make(intent, request.tag)
                raise error
            case (BaseException() as error, _):
                raise error
            case (str() as reason, str() as message):
                self.effects[intent] += 1
                failed = Failed(request.service, self._name(request.service), reason, message)
                self._settle(failed.service, failed.revision, request.tag)
                self._made[intent] = failed
            case _:
                progress(f"{request.service} gets ready")
                self._make(intent, request.tag)
        return self._made[intent]

    def _adopted(self, request: DeployRequest, earlier: Deployed | Failed) -> Deployed | Failed:
        found = self._services[request.service]
        if isinstance(earlier, Failed):
            if earlier.revision not in found.ready:
                return replace(earlier, adopted=True)
            earlier = Deployed(self._revision(request.service, earlier.revision, request.tag))
        if request.tag is None and self._given_up.get(request.service) == found.changes:
            found.move(_LATEST)  # it is ready, and was sent back by ourselves
        if request.tag is None and found.serving != earlier.revision.name:
            raise ForeignChange(request.service, earlier.revision.name, found.serving or "nothing")
        return replace(earlier, adopted=True)

    def _make(self, intent: Intent, tag: str | None) -> None:
        service = intent[2]
        name = self._name(service)
        self._settle(service, name, tag)
        self._services[service].ready.append(name)
        self.effects[intent] += 1
        self._made[intent] = Deployed(self._revision(service, name, tag))

    def _settle(self, service: str, name: str, tag: str | None) -> None:
        """The traffic that a deploy asks for: all to the latest ready revision, or pinned with a tag for the new."""
        found = self._services[service]
        if tag is None:
            found.move([*_LATEST, *(target for target in found.targets if target.tag)])
            return
        pinned = [replace(target, revision=target.revision or found.serving) for target in found.targets]
        kept = pinned if found.ready else list(_LATEST)
        found.move([*(target for target in kept if target.tag != tag), Target(name, 0, tag, _tag_url(tag, name))])

    def _revision(self, service: str, name: str, tag: str | None) -> Revision:
        url = f"http://{name}.invalid" if tag is None else _tag_url(tag, name)
        return Revision(service, name, url, url.replace("http", "ws", 1), ready_at=self._clock.now(), tag=tag)

    def _name(self, service: str) -> str:
        found = self._services[service]
        found.made.append(f"{service}-{len(found.made) + 1:05d}-fak")
        return found.made[-1]

    async def serving(self, service: str, tag: str | None = None) -> Revision | None:
        """See `Cloud.serving`."""
        found = self._services.get(service)
        name = None if found is None else found.serving
        if tag is not None and found is not None:
            name = next((target.revision for target in found.targets if target.tag == tag), None)
        return None if name is None else self._revision(service, name, tag)

    async def standing(self, service: str) -> Standing | None:
        """See `Cloud.standing`."""
        with _Told(self._refusals["standing"]):
            found = self._services.get(service)
            if found is None:
                return None
            url = f"http://{found.serving}.invalid"
            made = found.made[-1] if found.made else None
            return Standing(service, url, str(found.changes), found.targets, found.serving, made, found.latest_ready)

    async def route(self, service: str, revision: str | None, *, drop_tag: str | None = None) -> bool:
        """See `Cloud.route`."""
        with _Told(self._refusals["route"]):
            found = self._services[service]
            tags = [replace(one, percent=0) for one in found.targets if one.tag and one.tag != drop_tag]
            wanted = (Target(revision, 100), *tags)
            if found.targets == wanted:
                return False
            found.move(wanted)
            self.routed.append((service, revision))
            self._given_up[service] = found.changes
            return True

    async def tag(self, service: str, revision: str, tag: str) -> str:
        """See `Cloud.tag`."""
        with _Told(self._refusals["tag"]):
            found = self._services.get(service)
            if found is None or revision not in found.ready:
                call = f"tagging revision {revision!r} of service {service!r}"
                raise CloudCallFailed(call, "NOT_FOUND", f"there is no revision {revision!r}")
            url = _tag_url(tag, revision)
            kept = [replace(one, tag=None, url=None) if one.tag == tag else one for one in found.targets]
            wanted = [*(one for one in kept if one.percent or one.tag), Target(revision, 0, tag, url)]
            if set(wanted) != set(found.targets):
                found.move(wanted)
            return url

    async def untag(self, service: str, tag: str) -> bool:
        """See `Cloud.untag`."""
        with _Told(self._refusals["untag"]):
            found = self._services[service]
            kept = [target if target.tag != tag else replace(target, tag=None, url=None) for target in found.targets]
            if tuple(kept) == found.targets:
                return False
            found.move(target for target in kept if target.percent or target.tag)
            return True

    async def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """See `Cloud.entries`; `cursor` is the number of entries given so far."""
        kept = sorted((entry for entry in self.logs if _answers(entry, query)), key=lambda entry: entry.timestamp)
        for start in range(0, max(len(kept), 1), query.page_size):
            end = start + query.page_size
            yield LogPage(tuple(kept[start:end]), cursor=str(min(end, len(kept))), last=end >= len(kept))

    async def tail(
        self, query: LogQuery, missed: Callable[[int], None] | None = None
    ) -> AsyncIterator[tuple[LogEntry, ...]]:
        """See `Cloud.tail`; what was logged before it was opened is left out."""
        del missed  # nothing is ever left out here
        told = len(self.logs)
        while True:
            fresh = tuple(entry for entry in self.logs[told:] if _answers(entry, query))
            told = len(self.logs)
            if fresh:
                yield fresh
            await self._clock.sleep(_TAIL_PAUSE_S)

    async def request(self, url: str, trace_id: str) -> None:
        """A request to a revision's URL, as its request log shows it: what marks the logs as complete."""
        for service, found in self._services.items():
            reached = {f"http://{found.serving}.invalid": found.serving}
            reached |= {target.url: target.revision for target in found.targets if target.url}
            for base, revision in reached.items():
                if url.startswith(base) and revision is not None:
                    self.logs.append(self._requested(service, revision, url, trace_id))

    def _requested(self, service: str, revision: str, url: str, trace_id: str) -> LogEntry:
        agent = "netra-loop (fake)"
        return LogEntry(
            timestamp=self._clock.now(),
            severity="INFO",
            log="requests",
            service=service,
            revision=revision,
            message="",
            insert_id=f"fake-{len(self.logs):08d}",
            trace_id=trace_id,
            request={"method": "GET", "url": url, "status": 200, "latency_s": 0.0, "user_agent": agent},
        )

    async def close(self) -> None:
        """See `Cloud.close`."""


class _Told:
    """A call that may have been told to raise, before what it does or after."""

    def __init__(self, refusals: deque[tuple[BaseException, bool]]) -> None:
        told: tuple[BaseException | None, bool] = refusals.popleft() if refusals else (None, False)
        self._error, self._after = told

    def __enter__(self) -> None:
        if self._error is not None and not self._after:
            raise self._error

    def __exit__(self, *_: object) -> None:
        if self._error is not None and self._after:
            raise self._error


def _tag_url(tag: str, revision: str) -> str:
    return f"http://{tag}---{revision}.invalid"


def _answers(entry: LogEntry, query: LogQuery) -> bool:
    if query.traces and not (entry.log == "requests" and entry.trace_id in query.traces):
        return False
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
