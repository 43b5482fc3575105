"""Which log entries belong to which test: by trace first; without one by time and what the test asked for.

A trace is certain. An entry without one can only be of a test that was running then, or within `SLACK_S`. Where it
names a user, a run or another id that some of those sent (`user`), or is of a request that some of them made (`path`),
it is of these; else of all of them, which says little (`time`), and whoever draws conclusions from it should know:
`how` says which.
An entry whose trace is of no test here belongs to somebody else.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from netra_loop.core.records import LogEntry, Result
from netra_loop.core.urls import path_of
from netra_loop.values import dataclass

BY_TRACE = "trace"
BY_PATH = "path"
BY_USER = "user"
BY_TIME = "time"
SLACK_S = 0.5  # clocks of two machines, and a server that logs after it answered
OR_NEARLY = f", or within {SLACK_S:g} s of that"  # said of what is joined by time, behind "while it ran"
_NAMES_MAX = 32  # ids of one attempt; those it used first
_NAME = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9][A-Za-z0-9_.@-]{5,199}\Z")
_SAID = re.compile(r'"(?i:(?:user|thread|run|session|conversation|request|agent)_?id)"\s*:\s*"([^"\\]{6,200})"')
_LOOKED_AT = 20_000  # characters of an entry

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_Key = tuple[str, str, datetime, str]


class Timed(Protocol):
    """Something that ran for a while."""

    @property
    def started_at(self) -> datetime:
        """When it began."""
        ...

    @property
    def duration_s(self) -> float:
        """For how long it ran."""
        ...


T = TypeVar("T", bound=Timed)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an attempt is recognised by: `paths` are `METHOD /path` of its requests, `names` the ids that it sent."""

    id: str
    attempt: int
    trace_id: str
    started_at: datetime
    duration_s: float
    paths: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()


def footprint(result: Result) -> Footprint:
    """Of an attempt with its evidence; one without evidence is recognised by its trace and its time alone."""
    evidence = result.evidence
    asked = [(one.method, urlsplit(one.url)) for one in evidence.exchanges]
    asked += [("GET", urlsplit(url)) for url in dict.fromkeys(frame.url for frame in evidence.frames)]
    names: dict[str, None] = {}
    for _, url in asked:
        words = (*url.path.split("/"), *(value for _, value in parse_qsl(url.query)))
        names.update(dict.fromkeys(word for word in map(unquote, words) if _NAME.match(word)))
    for frame in evidence.frames:
        if frame.text and frame.direction == "sent":
            names.update(dict.fromkeys(_SAID.findall(frame.text)))
    return Footprint(
        result.id,
        result.attempt,
        result.trace_id,
        result.started_at,
        result.duration_s,
        frozenset(f"{method.upper()} {url.path or '/'}" for method, url in asked),
        tuple(names)[:_NAMES_MAX],
    )


@dataclass(frozen=True)
class Joined:
    """Log entries with their `tests` filled in, in the order of time. `total` counts all that were read, where
    `entries` are only those worth keeping.
    """

    entries: tuple[LogEntry, ...] = ()
    _by_time: Mapping[tuple[str, int], Sequence[LogEntry]] | None = None
    total: int = 0

    @property
    def were_read(self) -> bool:
        """Whether there was any entry."""
        return bool(self.entries) or self.total > 0

    def how(self, entry: LogEntry) -> str | None:
        """`trace`, `path`, `user` or `time`; None where the entry, one of `entries`, belongs to no test."""
        return how(entry)

    def by_trace(self, result: Result) -> tuple[LogEntry, ...]:
        """The entries that carry the attempt's own trace."""
        return tuple(entry for entry in self.entries if entry.trace_id and entry.trace_id == result.trace_id)

    def by_time(self, result: Result) -> tuple[LogEntry, ...]:
        """The entries without a trace that were written while the attempt ran, or nearly, and may be of it."""
        return tuple((self._by_time or {}).get((result.id, result.attempt), ()))

    def entries_for(self, result: Result) -> tuple[LogEntry, ...]:
        """Everything joined to this attempt, in the order of time."""
        return tuple(
            sorted(
                {_key(entry): entry for entry in (*self.by_trace(result), *self.by_time(result))}.values(),
                key=lambda entry: (entry.timestamp, entry.insert_id),
            )
        )


def join(entries: Iterable[LogEntry], results: Sequence[Result], *, slack_s: float = SLACK_S) -> Joined:
    """Every entry once (the same log, time and insert id are one entry), with the ids of the tests it belongs to."""
    ordered = sorted(
        {_key(entry): entry for entry in entries}.values(), key=lambda entry: (entry.timestamp, entry.insert_id)
    )
    joiner = Joiner(map(footprint, results), slack_s=slack_s)
    by_time: dict[tuple[str, int], list[LogEntry]] = {}
    out: list[LogEntry] = []
    for entry in ordered:
        joined, owners = joiner.joined(entry)
        out.append(joined)
        for owner in owners:
            by_time.setdefault((owner.id, owner.attempt), []).append(joined)
    return Joined(tuple(out), by_time)


class Joiner:
    """Joins entries one by one. It is quick where they come in the order of time, and right in any order.

    `by_trace`: the test, alone, that each trace is of.
    """

    def __init__(self, attempts: Iterable[Footprint], *, slack_s: float = SLACK_S) -> None:
        self._attempts = sorted(attempts, key=lambda one: one.started_at)
        self.by_trace = {one.trace_id: (one.id,) for one in self._attempts if one.trace_id}
        self._slack = timedelta(seconds=slack_s)
        self._running = Running(self._attempts, self._slack)
        self._ahead = Running(self._attempts, self._slack)
        self._learned: dict[tuple[str, int], Footprint] = {}
        self._begun: tuple[Footprint, ...] = ()
        self._now: tuple[Footprint, ...] = ()
        self._ids: tuple[str, ...] = ()
        self._by_name: dict[str, list[Footprint]] = {}

    def joined(self, entry: LogEntry) -> tuple[LogEntry, Sequence[Footprint]]:
        """`entry` with its tests; and, where no trace says so, the attempts that it may be of."""
        tests, by, owners = self.tests_of(entry)
        same = entry.tests == tests and entry.joined == by
        return (entry if same else replace(entry, tests=tests, joined=by)), owners

    def tests_of(self, entry: LogEntry) -> tuple[tuple[str, ...], str | None, Sequence[Footprint]]:
        """What `tests` and `joined` of `entry` are; and, where no trace says so, the attempts that it may be of."""
        if entry.trace_id:
            return self.by_trace.get(entry.trace_id, ()), None, ()
        instant, running = entry.timestamp, self._running
        if not running.since <= instant < running.until:
            self._go_to(instant)
        if not self._now:
            return (), None, ()
        if entry.request is None and not self._by_name:
            return self._ids, None, self._now
        owners, by = self._of(entry)
        ids = self._ids if owners is self._now else _ids(owners)
        return ids, None if by == BY_TIME else by, owners

    def running(self, instant: datetime) -> Sequence[Footprint]:
        """The attempts that run at `instant`, a little slack given; the very same answer while nothing begins or ends.

        Looking ahead costs what is joined afterwards nothing.
        """
        ahead = self._ahead
        if ahead.since <= instant < ahead.until:
            return ahead.now
        if instant < ahead.since:  # it goes forwards alone
            ahead = self._ahead = Running(self._attempts, self._slack)
        return ahead.at(instant)

    def running_at(self, instants: Iterable[datetime]) -> list[Sequence[Footprint]]:
        """The same of several, each different answer in a row once."""
        found: list[Sequence[Footprint]] = []
        since = until = _FIRST  # of the last answer
        for instant in instants:
            if not since <= instant < until:
                found.append(self.running(instant))
                since, until = self._ahead.since, self._ahead.until
        return found

    def learn(self, attempts: Iterable[Footprint]) -> None:
        """What is known better by now of attempts that were given before, of the same time and trace."""
        self._learned.update(((one.id, one.attempt), one) for one in attempts)
        self._look(self._begun)

    def _go_to(self, instant: datetime) -> None:
        if instant < self._running.since:
            self._running = Running(self._attempts, self._slack)
        begun = self._running.at(instant)
        if begun is not self._begun:  # kept for all entries that were written while nothing began or ended
            self._look(begun)

    def _look(self, begun: tuple[Footprint, ...]) -> None:
        self._begun = begun
        now = tuple([self._learned.get((one.id, one.attempt), one) for one in begun])
        self._now, self._ids = now, _ids(now)
        self._by_name = {}
        for one in now:
            for name in one.names:
                self._by_name.setdefault(name, []).append(one)

    def _of(self, entry: LogEntry) -> tuple[Sequence[Footprint], str]:
        if entry.request is not None:
            asked = f"{entry.request.get('method')} {path_of(str(entry.request.get('url') or '')) or '/'}"
            owners = [one for one in self._now if asked in one.paths]
            if owners:
                return owners, BY_PATH
        named: dict[int, Footprint] = {}
        if self._by_name:
            for text in texts(entry):
                for name, owners in self._by_name.items():
                    if name in text:
                        named.update((id(one), one) for one in owners)
        return (list(named.values()), BY_USER) if named else (self._now, BY_TIME)


def how(entry: LogEntry) -> str | None:
    """By what an entry was joined: `trace`, `path`, `user` or `time`; None where it belongs to no test."""
    if not entry.tests:
        return None
    return entry.joined or (BY_TRACE if entry.trace_id else BY_TIME)


def texts(entry: LogEntry) -> Iterator[str]:
    """What an entry says: its message, and the texts of its payload and request."""
    yield entry.message[:_LOOKED_AT]
    for value in (entry.payload, entry.request):
        if value is not None:
            yield from _texts(value, 0)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:_LOOKED_AT]
    elif isinstance(value, Mapping) and depth < 6:
        for item in value.values():
            yield from _texts(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < 6:
        for item in value:
            yield from _texts(item, depth + 1)


def _ids(attempts: Iterable[Footprint]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sorted(one.id for one in attempts)))


def _key(entry: LogEntry) -> _Key:
    return entry.log, entry.revision, entry.timestamp, entry.insert_id


class Running(Generic[T]):
    """The attempts that run at an instant; instants must be asked for in ascending order: none before `since`.

    `now` is the last answer, from `since` on and before `until`.
    """

    def __init__(self, results: Sequence[T], slack: timedelta) -> None:
        self._slack = slack
        self.since = self.until = _FIRST
        self._waiting = sorted(results, key=lambda result: result.started_at, reverse=True)
        self._ends: list[tuple[datetime, int]] = []
        self._active: dict[int, T] = {}
        self.now: tuple[T, ...] = ()
        self._count = 0

    def at(self, instant: datetime) -> tuple[T, ...]:
        """The very tuple of the last answer where nothing has begun or ended since."""
        if instant < self.until:
            return self.now
        self.since = instant
        begun, changed = self._count, False
        while self._waiting and self._waiting[-1].started_at - self._slack <= instant:
            result = self._waiting.pop()
            ends_at = result.started_at + timedelta(seconds=result.duration_s) + self._slack
            heapq.heappush(self._ends, (ends_at, self._count))
            self._active[self._count] = result
            self._count += 1
        while self._ends and self._ends[0][0] < instant:
            del self._active[heapq.heappop(self._ends)[1]]
            changed = True
        if changed or self._count != begun:
            self.now = tuple(self._active.values())
        self.until = min(
            self._waiting[-1].started_at - self._slack if self._waiting else _LAST,
            self._ends[0][0] if self._ends else _LAST,
        )
        return self.now
