"""What one attempt at a test did and what the service logged meanwhile, on one axis of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from netra_loop.clock import rfc3339
from netra_loop.core.records import Exchange, Frame, LogEntry, Result
from netra_loop.core.trace_lines import Thrown, thrown, trace_text
from netra_loop.values import dataclass

MOST = 40
_TEXT = 300  # characters of one
_LOUD = frozenset({"WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"})
_NORMAL_CLOSES = frozenset({None, 1000, 1001, 1005})


@dataclass(frozen=True)
class Moment:
    """Something that was seen: `after_s` seconds after the attempt began, by the `source` http, websocket, log or test.
    `telling`: it looks like a failure. `times`: so often in a row.
    """

    at: datetime
    after_s: float
    source: str
    text: str
    telling: bool = False
    times: int = 1

    def row(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "at": rfc3339(self.at),
            "after_s": round(self.after_s, 3),
            "source": self.source,
            "text": self.text,
            "telling": self.telling,
            "times": self.times,
        }


def timeline(result: Result, entries: Iterable[LogEntry]) -> list[Moment]:
    """Everything that is known of an attempt, in the order of time, each on one line. `entries` are those of its own,
    whatever else they were joined to.
    """
    logged = list(entries)
    traces = [one for one in thrown(logged, {}) if len(one.entries) > 1]  # that came as an entry for each line
    inside = {id(entry) for one in traces for entry in one.entries}
    seen = [
        *(_exchange(one) for one in result.evidence.exchanges),
        *(_frame(one) for one in result.evidence.frames),
        *(_trace(one) for one in traces),
        *(_entry(one) for one in logged if id(one) not in inside),
    ]
    ended = result.started_at + timedelta(seconds=result.duration_s)
    said = (result.message or "").strip().splitlines()
    seen.append((ended, "test", f"{result.outcome.value}{f': {said[0]}' if said else ''}", result.outcome.is_failure))
    moments = [
        Moment(at, (at - result.started_at).total_seconds(), source, _line(text), telling)
        for at, source, text, telling in sorted(seen, key=lambda one: one[0])
    ]
    return _folded(moments)


def shortened(moments: Sequence[Moment], most: int = MOST) -> tuple[list[Moment], int]:
    """At most so many of them, still in order, and how many were left out: what looks like a failure stays first, then
    what stands next to it, then the beginning.
    """
    kept = chosen([one.telling for one in moments], most)
    return [moments[place] for place in kept], len(moments) - len(kept)


def chosen(telling: Sequence[bool], most: int) -> list[int]:
    """Which of so many are kept, by their places: `telling` says of each whether it looks like a failure."""
    pivot = telling.index(True) if True in telling else len(telling) - 1
    ranked = sorted(range(len(telling)), key=lambda place: (not telling[place], place != 0, abs(place - pivot), place))
    return sorted(ranked[:most])


_Seen = tuple[datetime, str, str, bool]


def _exchange(one: Exchange) -> _Seen:
    where = urlsplit(one.url).path or "/"
    answer = f"{one.status}" if one.status is not None else one.error or "no answer"
    body = f" {one.body}" if one.body else ""
    at = one.started_at + timedelta(seconds=one.duration_s)
    bad = one.status is None or one.status >= 400
    return at, "http", f"{one.method} {where} -> {answer} in {one.duration_s:.2f} s{body}", bad


def _frame(one: Frame) -> _Seen:
    who = "received" if one.direction == "received" else "sent"
    if one.kind == "open":
        return one.at, "websocket", f"open {urlsplit(one.url).path or '/'}", False
    if one.kind == "close":
        by = "the server" if one.direction == "received" else "the test"
        reason = f" ({one.reason})" if one.reason else ""
        bad = one.direction == "received" and one.code not in _NORMAL_CLOSES
        return one.at, "websocket", f"{by} closes with {one.code or 'no code'}{reason}", bad
    event = one.event or f"{one.kind} of {one.size} bytes"
    bad = one.direction == "received" and "error" in event.lower()
    return one.at, "websocket", f"{who} {event}{f': {one.text}' if bad and one.text else ''}", bad


def _entry(one: LogEntry) -> _Seen:
    if one.request is not None:
        status = int(one.request.get("status") or 0)
        where = urlsplit(str(one.request.get("url") or "")).path or "/"
        told = f"{one.service} request log: {one.request.get('method') or ''} {where} -> {status}"
        return one.timestamp, "log", told, status >= 500
    said = [line for line in one.message.strip().splitlines() if line.strip()]
    first = said[0] if said else ""
    thrown = [line for line in trace_text(one).strip().splitlines() if line.strip()]
    last = thrown[-1].strip() if thrown else ""
    more = f" | {last}" if last and last != first.strip() else ""
    return one.timestamp, "log", f"{one.service} {one.severity} {first}{more}", one.severity in _LOUD


def _trace(one: Thrown) -> _Seen:
    first, cause = one.entries[0], one.cause
    return one.at, "log", f"{first.service} {first.severity} {cause.exception}: {cause.message}", True


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _folded(moments: Sequence[Moment]) -> list[Moment]:
    """The same thing many times in a row is one moment, told with its number."""
    folded: list[Moment] = []
    for one in moments:
        last = folded[-1] if folded else None
        if last is not None and (last.source, last.text) == (one.source, one.text):
            folded[-1] = Moment(last.at, last.after_s, last.source, last.text, last.telling, last.times + 1)
        else:
            folded.append(one)
    return folded
