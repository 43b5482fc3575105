"""How far along the golden path a test got, read from the frames and exchanges it left behind.

A stage that is reached implies those before it: an agent that uses no tool still gets to `agent_completed`. The stages
are the loop's (`stages:` in the loop file); where it names none, they are the golden path's, `DEFAULT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import urlsplit

from netra_loop.core.records import Evidence, Exchange, Frame
from netra_loop.core.spec import BUILT_IN_STAGES, StageSpec

_CONNECTED, _AUTHENTICATED = BUILT_IN_STAGES
_REFUSALS = frozenset({1008, 4001, 4003, 4401, 4403})  # how servers close a socket whose user they do not accept
_UPGRADE = ("ws:", "wss:")
_ANY_METHOD = ""
_ANY_SEGMENTS = "**"


@dataclass(frozen=True, slots=True)
class Stage:
    """A named stage, reached once a frame with one of the events `received` came or one with one of `sent` went, or
    `request` was answered. `built_in`: also, or only, by what the connection itself tells of `connected` and
    `authenticated`.
    """

    name: str
    received: frozenset[str] = frozenset()
    sent: frozenset[str] = frozenset()
    request: Request | None = None
    built_in: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: its method (empty: any), its path without the query, segment by segment (`*` is any text in one,
    `**` any number of them), and the statuses that its answer may have (`201`, `2xx`); none: any below 400.
    """

    method: str
    path: tuple[str, ...]
    statuses: tuple[str, ...] = ()

    def is_answered_by(self, exchange: Exchange) -> bool:
        """Whether `exchange` is this request with one of its statuses."""
        if exchange.status is None or self.method not in {_ANY_METHOD, exchange.method.upper()}:
            return False
        status = str(exchange.status)
        wanted = any(status == one or (one[1:] == "xx" and status[:1] == one[:1]) for one in self.statuses)
        return (wanted if self.statuses else exchange.status < 400) and _leads(self.path, _segments(exchange.url))


@dataclass(frozen=True, slots=True)
class Reached:
    """A stage and the instant it was first reached."""

    name: str
    at: datetime


def stage(name: str, *events: str, direction: str = "received") -> Stage:
    """A stage reached by any of `events`, by default by the event of its own name."""
    named = frozenset(events or (name,))
    return Stage(name, sent=named) if direction == "sent" else Stage(name, received=named)


DEFAULT: tuple[Stage, ...] = (
    Stage(_CONNECTED, built_in=True),
    Stage(_AUTHENTICATED, frozenset({"connection_established", "authenticated", "auth_success"}), built_in=True),
    stage("start_agent", direction="sent"),
    stage("agent_started"),
    stage("agent_thinking"),
    stage("tool_executing"),
    stage("tool_completed"),
    stage("agent_completed"),
)


@lru_cache(maxsize=16)
def stages_of(specs: tuple[StageSpec, ...]) -> tuple[Stage, ...]:
    """A loop's stages, made ready to be looked for: the golden path's where it names none (`()`)."""
    return tuple(_stage_of(spec) for spec in specs) if specs else DEFAULT


def furthest(evidence: Evidence, stages: Sequence[Stage] = DEFAULT) -> str | None:
    """The name of the last of `stages` that was reached, on any socket of the test; None where none was."""
    found = reached(evidence, stages)
    return found[-1].name if found else None


def reached(evidence: Evidence, stages: Sequence[Stage] = DEFAULT) -> tuple[Reached, ...]:
    """Those of `stages` that were seen to be reached, in the order of `stages`, each with when it first was."""
    first: dict[tuple[str, str], datetime] = {}
    for frame in evidence.frames:
        if frame.event is not None:
            key = (frame.direction, frame.event)
            first[key] = min(frame.at, first.get(key, frame.at))
    found = []
    for candidate in stages:
        instants = [
            *(first[key] for event in candidate.received if (key := ("received", event)) in first),
            *(first[key] for event in candidate.sent if (key := ("sent", event)) in first),
        ]
        if candidate.request is not None:
            answered = candidate.request.is_answered_by
            instants += [_ended(exchange) for exchange in evidence.exchanges if answered(exchange)]
        if candidate.built_in:
            told = _connected(evidence) if candidate.name == _CONNECTED else _accepted(evidence.frames)
            instants += [told] if told is not None else []
        if instants:
            found.append(Reached(candidate.name, min(instants)))
    return tuple(found)


def _stage_of(spec: StageSpec) -> Stage:
    if spec.built_in:
        return next(one for one in DEFAULT if one.name == spec.name)
    request = None
    if spec.request is not None:
        method, _, path = spec.request.rpartition(" ")
        request = Request(method, tuple(path.split("/")), spec.status)
    return Stage(spec.name, frozenset(spec.received), frozenset(spec.sent), request)


def _segments(url: str) -> tuple[str, ...]:
    try:
        return tuple((urlsplit(url).path or "/").split("/"))
    except ValueError:
        return ()  # no URL that anything could have answered at


def _leads(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Whether `pattern` is the path of `segments`: segment by segment, keeping the set of places that are possible."""

    def onward(places: set[int]) -> set[int]:
        more = set(places)
        for place in range(len(pattern)):
            if place in more and pattern[place] == _ANY_SEGMENTS:
                more.add(place + 1)
        return more

    places = onward({0})
    for segment in segments:
        step = {
            place if pattern[place] == _ANY_SEGMENTS else place + 1
            for place in places
            if place < len(pattern) and (pattern[place] == _ANY_SEGMENTS or fnmatchcase(segment, pattern[place]))
        }
        places = onward(step)
    return len(pattern) in places


def _ended(exchange: Exchange) -> datetime:
    return exchange.started_at + timedelta(seconds=exchange.duration_s)


def _connected(evidence: Evidence) -> datetime | None:
    """When a WebSocket first opened, or its upgrade was answered in any other way."""
    opened = [frame.at for frame in evidence.frames if frame.kind == "open"]
    answered = [
        _ended(exchange)
        for exchange in evidence.exchanges
        if exchange.status is not None and exchange.url.startswith(_UPGRADE)
    ]
    return min(opened) if opened else min(answered, default=None)


def _accepted(frames: Sequence[Frame]) -> datetime | None:
    """When an upgrade was first answered with 101 and the socket not closed again for want of a right to it.

    Frames name a URL and not a socket. Of several that are open at one, a refusal ends the youngest, since it comes
    soon; any other close the oldest.
    """
    accepted: list[datetime] = []
    still_open: dict[str, list[datetime]] = {}
    for frame in frames:
        here = still_open.setdefault(frame.url, [])
        if frame.kind == "open":
            here.append(frame.at)
        elif frame.kind == "close" and here:
            if frame.code in _REFUSALS:
                here.pop()
            else:
                accepted.append(here.pop(0))
    return min((*accepted, *(at for here in still_open.values() for at in here)), default=None)
