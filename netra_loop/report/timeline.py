"""Everything that is known of one attempt at a test, on one axis of time: what the test did, what went over the wire,
what the server logged.

Instants are each machine's own: the test's for its begin and the wire, the server's for its log entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from netra_loop.clock import rfc3339
from netra_loop.core.authenticity import is_error_event
from netra_loop.core.joining import BY_TIME, BY_TRACE, SLACK_S
from netra_loop.core.records import Contact, Exchange, Frame, LogEntry, Result
from netra_loop.core.stages import Reached, Stage, reached
from netra_loop.report import phrases
from netra_loop.report.safe import safe_line, safe_text
from netra_loop.values import dataclass

SLOW_S = 1.0  # an answer that took so long stands out
TEXT_MAX = 300  # characters of a line; what a service or a test says may be longer
_SAID_MAX = 140  # characters of a message that was nothing but exchanged
_UPGRADE = ("ws:", "wss:")
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NORMAL_CLOSES = frozenset({1000, 1001, 1005, None})
_SEVERE = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})

Source = Literal["test", "wire", "server"]
Mark = Literal["", "odd", "bad"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happened at `at`, told by `source`: one harmless line, `more` lines below it, the plain facts.

    `lasts_s` is how long it kept the test waiting; `like` is equal for moments that say the same; `stages` are those it
    reached; `sure` is False for a log entry that only the time joins to the test.
    """

    at: datetime
    source: Source
    kind: str
    text: str
    more: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    lasts_s: float = 0.0
    like: tuple[object, ...] = ()
    stages: tuple[str, ...] = ()
    mark: Mark = ""
    sure: bool = True

    @property
    def until(self) -> datetime:
        """When it was over."""
        return self.at + timedelta(seconds=self.lasts_s)


def timeline(result: Result, entries: Iterable[LogEntry] = (), stages: Sequence[Stage] = ()) -> list[Moment]:
    """The moments of an attempt in the order of time. `entries` are the iteration's, or any that hold them; `stages`
    the loop's.
    """
    evidence = result.evidence
    place = _Places(result)
    wire = [
        *(_exchange(exchange, place) for exchange in evidence.exchanges),
        *(_frame(frame, place) for frame in evidence.frames),
        *(_contact(contact) for contact in evidence.contacts if not place.knows(contact)),
    ]
    server = [_entry(entry, how, place) for entry in entries if (how := joined_by(entry, result)) is not None]
    children = [
        Moment(
            at=child.at,
            source="test",
            kind="program",
            text=safe_line(f"starts {child.program}", TEXT_MAX),
            detail={"program": child.program},
            like=("program", child.program),
        )
        for child in evidence.children
    ]
    moments = [*_with_stages(wire, reached(evidence, stages)), *server, *children]
    moments.sort(key=lambda moment: moment.at)  # stable: the wire before the server at the same instant
    return _framed(result, moments)


def timeline_rows(result: Result, moments: Sequence[Moment]) -> list[dict[str, Any]]:
    """The moments as JSON: `at`, `offset_s` from the attempt's start, `source`, `kind`, `text`, and the facts in
    `detail`. A stage is an item of its own, behind what reached it.
    """
    rows = []
    for moment in moments:
        text = "\n".join((moment.text, *moment.more))
        rows.append(_row(result, moment.at, moment.source, moment.kind, text, moment.detail))
        rows += [
            _row(result, moment.until, moment.source, "stage", safe_line(name), {"stage": name})
            for name in moment.stages
        ]
    return sorted(rows, key=lambda row: str(row["at"]))


def joined_by(entry: LogEntry, result: Result) -> str | None:
    """How a log entry belongs to an attempt: by its `trace`, which is certain, by the `path` or the `user` it names, or
    by `time` alone; None: not at all.
    """
    if entry.trace_id:
        return BY_TRACE if entry.trace_id == result.trace_id else None
    early, late = timedelta(seconds=SLACK_S), timedelta(seconds=result.duration_s + SLACK_S)
    during = result.started_at - early <= entry.timestamp <= result.started_at + late
    return (entry.joined or BY_TIME) if during and result.id in entry.tests else None


def clock_behind_s(result: Result, moments: Sequence[Moment]) -> float:
    """How far the server's clock is behind at the least, in seconds: nothing that carries the attempt's own trace can
    have been logged before it began. 0 where nothing shows it.
    """
    certain = [one.at for one in moments if one.source == "server" and one.sure]
    return max(0.0, (result.started_at - min(certain, default=result.started_at)).total_seconds())


def _row(result: Result, at: datetime, source: str, kind: str, text: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    offset_s = round((at - result.started_at).total_seconds(), 3)
    row = {"at": rfc3339(at), "offset_s": offset_s, "source": source, "kind": kind}
    return {**row, "text": text, "detail": dict(detail)}


# ------------------------------------------------------------------------------------------------------------ the test


def _begin(result: Result) -> Moment:
    detail = {"worker": result.worker}
    text = safe_line(f"begins on {result.worker}", TEXT_MAX)
    return Moment(at=result.started_at, source="test", kind="begin", text=text, detail=detail)


def _end(result: Result) -> Moment:
    lines = [line.strip() for line in (result.message or "").splitlines() if line.strip()]
    said = f": {lines[0]}" if lines else ""
    return Moment(
        at=result.started_at + timedelta(seconds=result.duration_s),
        source="test",
        kind="end",
        text=safe_line(f"ends: {result.outcome.value}{said}", TEXT_MAX),
        detail={"outcome": result.outcome.value},
        mark="bad" if result.outcome.is_failure else "",
    )


def _framed(result: Result, moments: list[Moment]) -> list[Moment]:
    """`moments` with the test's begin and end among them: what the test's own clock saw while it ran lies between."""
    begin, end = _begin(result), _end(result)
    before = [one for one in moments if one.at < begin.at]
    after = [one for one in moments if one.at > end.at]
    return [*before, begin, *moments[len(before) : len(moments) - len(after)], end, *after]


# ------------------------------------------------------------------------------------------------------------ the wire


class _Places:
    """How to call an address: by its path alone where the attempt spoke with one host."""

    def __init__(self, result: Result) -> None:
        evidence = result.evidence
        urls = [*(one.url for one in evidence.exchanges), *(one.url for one in evidence.frames)]
        self._authorities = {_authority(url) for url in urls}

    def of(self, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return path if len(self._authorities) == 1 else f"{parts.netloc.rpartition('@')[2]}{path}"

    def knows(self, contact: Contact) -> bool:
        """Whether the contact's bytes are those of exchanges and frames that are told anyway."""
        host = "loopback" if contact.host in _LOOPBACK else contact.host
        return (host, contact.port) in self._authorities


def _authority(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return url, 0
    return "loopback" if host in _LOOPBACK else host, port


def _exchange(exchange: Exchange, place: _Places) -> Moment:
    status, upgrade = exchange.status, exchange.url.startswith(_UPGRADE)
    answer = str(status) if status is not None else exchange.error or "no answer"
    what = f"{exchange.method} {place.of(exchange.url)}{' (upgrade)' if upgrade else ''}"
    slow = exchange.duration_s >= SLOW_S
    mark: Mark = "bad" if status is None or status >= 500 else "odd" if status >= 400 or slow else ""
    return Moment(
        at=exchange.started_at,
        source="wire",
        kind="exchange",
        text=safe_line(f"{what} -> {answer} in {exchange.duration_s:.3f} s", TEXT_MAX),
        more=(safe_line(exchange.body, TEXT_MAX),) if exchange.body else (),
        detail={
            "method": exchange.method,
            "url": exchange.url,
            "status": status,
            "duration_s": round(exchange.duration_s, 3),
            "error": exchange.error,
            "body": exchange.body,
        },
        lasts_s=exchange.duration_s,
        like=("exchange", exchange.method, exchange.url, status, exchange.error),
        mark=mark,
    )


def _frame(frame: Frame, place: _Places) -> Moment:
    closes, sent = frame.kind == "close", frame.direction == "sent"
    where = place.of(frame.url)
    bad = is_error_event(frame) or (closes and frame.code not in _NORMAL_CLOSES)
    if closes:
        text = _closed(frame, where)
    elif frame.kind == "open":
        text = f"WebSocket {where} is open"
    else:
        text = f"{'->' if sent else '<-'} {frame.event or frame.kind}, {frame.size:,} B"
    return Moment(
        at=frame.at,
        source="wire",
        kind="frame" if frame.kind in {"text", "binary"} else frame.kind,
        text=safe_line(text, TEXT_MAX),
        more=(safe_line(frame.text, TEXT_MAX if bad else _SAID_MAX),) if frame.text else (),
        detail={
            name: value
            for name in ("url", "direction", "event", "size", "code", "reason", "text")
            if (value := getattr(frame, name)) is not None
        },
        like=("frame", frame.url, frame.kind, frame.direction, frame.event, frame.code),
        mark="bad" if bad else "",
    )


def _closed(frame: Frame, where: str) -> str:
    reason = f" ({frame.reason})" if frame.reason else ""
    if frame.code == 1006:
        return f"WebSocket {where} is lost without a close frame, 1006{reason}"
    who = "test" if frame.direction == "sent" else "server"
    if frame.code is None:
        return f"WebSocket {where} is let go by the {who} without a close frame{reason}"
    return f"WebSocket {where} is closed by the {who}: {frame.code}{reason}"


def _contact(contact: Contact) -> Moment:
    """Bytes that belong to no exchange and no frame that was seen."""
    lasted = (contact.last_at - contact.first_at).total_seconds()
    over = f" over {phrases.duration(lasted)}" if lasted >= 0.005 else ""
    sides = f"{contact.sent:,} B sent, {contact.received:,} B received{over}"
    return Moment(
        at=contact.first_at,
        source="wire",
        kind="contact",
        text=safe_line(f"other traffic with {contact.host}:{contact.port}: {sides}", TEXT_MAX),
        detail={
            "host": contact.host,
            "port": contact.port,
            "sent": contact.sent,
            "received": contact.received,
            "last_at": rfc3339(contact.last_at),
        },
        like=("contact", contact.host, contact.port),
    )


def _with_stages(moments: Sequence[Moment], stages: Sequence[Reached]) -> list[Moment]:
    """`moments`, each with the stages it reached: those whose instant is its begin or, of an exchange, its end."""
    names: dict[tuple[bool, datetime], list[str]] = {}
    for moment in reversed(moments):
        names[moment.kind == "exchange", moment.until] = []
    for one in stages:
        for key in ((False, one.at), (True, one.at)):
            if key in names:
                names[key].append(one.name)
                break
    out = []
    for moment in moments:
        taken = names.pop((moment.kind == "exchange", moment.until), [])
        out.append(replace(moment, stages=tuple(taken), like=(*moment.like, *taken)))
    return out


# ---------------------------------------------------------------------------------------------------------- the server


def _entry(entry: LogEntry, how: str, place: _Places) -> Moment:
    severe: Mark = "bad" if entry.severity in _SEVERE else "odd" if entry.severity == "WARNING" else ""
    facts = {
        name: value
        for name in ("severity", "log", "service", "revision", "insert_id", "request")
        if (value := getattr(entry, name)) is not None
    }
    request = entry.request
    if request is not None and request.get("status") is not None:
        status, latency = request["status"], request.get("latency_s")
        took = f" in {latency:.3f} s" if isinstance(latency, int | float) else ""
        told = f"{request.get('method', '?')} {place.of(str(request.get('url', '')))} {status}{took}"
        lines = [safe_line(f"request log: {told}", TEXT_MAX)]
        like: tuple[object, ...] = ("request", request.get("method"), request.get("url"), status)
    else:
        said = safe_text(entry.message.strip("\n")).split("\n")
        lines = [f"{safe_line(entry.severity)} {said[0]}".rstrip(), *said[1:]]
        like = ("log", entry.log, entry.severity, entry.message)
    if how not in {BY_TRACE, BY_TIME}:
        lines[0] += f"  [by its {how}]"
    return Moment(
        at=entry.timestamp,
        source="server",
        kind="request" if like[0] == "request" else "log",
        text=lines[0],
        more=tuple(lines[1:]),
        detail={**facts, "joined": how},
        like=like,
        mark=severe,
        sure=how == BY_TRACE,
    )
