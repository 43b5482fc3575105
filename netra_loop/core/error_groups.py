"""Errors that the logs show, those alike counted as one group, and which of them the revision before did not have.

A group is an exception by its place and message, a line of severity ERROR or more by its words, or a request answered
with 5xx by its method and path; of the last only what no exception and no error of the same trace explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from netra_loop.clock import from_rfc3339, rfc3339
from netra_loop.core.records import LogEntry, RootCause, Symptom
from netra_loop.core.signature import finding_id, normalise, signature
from netra_loop.values import dataclass

ERRORS = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})
MOST_GROUPS = 100  # that are stored of an iteration, those with the most entries
_MOST_TESTS = 50
_EXAMPLE = 1_500  # characters
_MOST_TRACES = 20_000

_Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """Errors of one service that are alike. `tests` are ids of those they were joined to, 50 at most. `new`: the
    revision before, `before`, did not have it; None: there is none whose logs are known.
    """

    service: str
    signature: str
    title: str
    count: int
    first_at: datetime
    last_at: datetime
    severity: str
    example: str
    revisions: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    place: str | None = None
    new: bool | None = None
    before: str | None = None

    @property
    def id(self) -> str:
        """Short, and the same in every session."""
        return "E" + finding_id(f"{self.service}: {self.signature}").removeprefix("F")

    def row(self) -> dict[str, Any]:
        """As plain values; `from_row` is the reverse."""
        return {
            "id": self.id,
            "service": self.service,
            "new": self.new,
            "count": self.count,
            "first_at": rfc3339(self.first_at),
            "last_at": rfc3339(self.last_at),
            "severity": self.severity,
            "title": self.title,
            "place": self.place,
            "signature": self.signature,
            "revisions": list(self.revisions),
            "before": self.before,
            "tests": list(self.tests),
            "example": self.example,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ErrorGroup:
        """The group that `row` tells of."""
        return cls(
            service=row["service"],
            signature=row["signature"],
            title=row["title"],
            count=row["count"],
            first_at=from_rfc3339(row["first_at"]),
            last_at=from_rfc3339(row["last_at"]),
            severity=row["severity"],
            example=row["example"],
            revisions=tuple(row["revisions"]),
            tests=tuple(row["tests"]),
            place=row["place"],
            new=row["new"],
            before=row["before"],
        )


@dataclass
class _Gathering:
    first: LogEntry
    title: str
    example: str
    place: str | None = None
    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    revisions: dict[str, None] = field(default_factory=dict)
    tests: dict[str, None] = field(default_factory=dict)

    def take(self, entry: LogEntry) -> None:
        at = entry.timestamp
        self.count += 1
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        self.last_at = at if self.last_at is None else max(self.last_at, at)
        self.revisions[entry.revision] = None
        if len(self.tests) < _MOST_TESTS:
            self.tests.update(dict.fromkeys(entry.tests))


class ErrorGroups:
    """Gathers errors one by one; holds a group and an example for each kind, not the entries."""

    def __init__(self) -> None:
        self._groups: dict[_Key, _Gathering] = {}
        self._failed: dict[str, list[tuple[_Key, LogEntry]]] = {}  # requests, by trace, until all is known
        self._explained: set[str] = set()

    def exception(self, cause: RootCause, entries: Sequence[LogEntry]) -> None:
        """An exception, told by `entries`."""
        first = entries[0]
        key = (first.service, _signature_of(cause))
        group = self._groups.get(key)
        if group is None:
            said = f": {cause.message}" if cause.message else ""
            group = self._groups[key] = _Gathering(
                first,
                f"{cause.exception}{said}"[:300],
                _example(entries),
                f"{cause.file}:{cause.line} in {cause.function}",
            )
        group.take(first)
        self._explain(entries)

    def loud(self, entry: LogEntry) -> None:
        """An entry of severity ERROR or more without a stack trace."""
        words = first_line(entry)
        key = (entry.service, signature(Symptom.SERVER_ERROR, words))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Gathering(entry, words[:300], _example((entry,)))
        group.take(entry)
        self._explain((entry,))

    def failed_request(self, entry: LogEntry) -> None:
        """A request answered with 5xx."""
        request = entry.request or {}
        words = f"{request.get('method')} {urlsplit(str(request.get('url') or '')).path or '/'}"
        words += f" answered {request.get('status')}"
        key = (entry.service, signature(Symptom.SERVER_ERROR, words))
        if entry.trace_id is None or len(self._failed) >= _MOST_TRACES:
            self._requested(key, entry)
        else:
            self._failed.setdefault(entry.trace_id, []).append((key, entry))

    def groups(self) -> list[ErrorGroup]:
        """What was gathered, the most frequent first."""
        for trace_id, requests in self._failed.items():
            if trace_id not in self._explained:
                for key, entry in requests:
                    self._requested(key, entry)
        self._failed.clear()
        made = [_made(key, group) for key, group in self._groups.items()]
        return sorted(made, key=lambda one: (-one.count, one.first_at, one.signature))

    def _requested(self, key: _Key, entry: LogEntry) -> None:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Gathering(entry, key[1].partition(": ")[2], entry.message[:_EXAMPLE])
        group.take(entry)

    def _explain(self, entries: Iterable[LogEntry]) -> None:
        if len(self._explained) < _MOST_TRACES:
            self._explained.update(entry.trace_id for entry in entries if entry.trace_id)


def first_line(entry: LogEntry) -> str:
    """What a loud entry says, in one line."""
    said = entry.message.strip()
    return said.splitlines()[0] if said else "an error without a message"


def compared(groups: Iterable[ErrorGroup], before: Mapping[str, tuple[str, AbstractSet[str]]]) -> Iterator[ErrorGroup]:
    """`groups`, told whether each is new: `before` has for each service the revision before and its signatures."""
    for group in groups:
        known = before.get(group.service)
        if known is None:
            yield group
            continue
        revision, signatures = known
        yield ErrorGroup(**{**_fields(group), "new": group.signature not in signatures, "before": revision})


def told(groups: Sequence[Mapping[str, Any]], left_out: int = 0) -> str:
    """`3 error groups, 1 new in this revision`; empty where there is none."""
    many = len(groups) + left_out
    if not many:
        return ""
    new = sum(group["new"] is True for group in groups)
    unknown = all(group["new"] is None for group in groups)
    said = f"{many} error group{'' if many == 1 else 's'}"
    return said if unknown else f"{said}, {new or 'none'} new in this revision"


@lru_cache(maxsize=512)
def _signature_of(cause: RootCause) -> str:
    """One fault is logged again and again, in the same words."""
    return signature(Symptom.SERVER_ERROR, "", cause)


def _fields(group: ErrorGroup) -> dict[str, Any]:
    return {name: getattr(group, name) for name in ErrorGroup.__dataclass_fields__}


def _example(entries: Sequence[LogEntry]) -> str:
    return "\n".join(entry.message for entry in entries)[:_EXAMPLE]


def _made(key: _Key, group: _Gathering) -> ErrorGroup:
    at = group.first.timestamp
    return ErrorGroup(
        service=key[0],
        signature=key[1],
        title=normalise(group.title) if group.place is None else group.title,
        count=group.count,
        first_at=group.first_at or at,
        last_at=group.last_at or at,
        severity=group.first.severity,
        example=group.example,
        revisions=tuple(sorted(group.revisions)),
        tests=tuple(group.tests),
        place=group.place,
    )
