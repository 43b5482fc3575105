"""Which exception is behind a failure, as far as that can be known.

One of the attempt's own trace is. One without a trace, joined by nothing but the time, may be of any test that ran at
that instant: it counts where that is one test alone, or where all of them failed in the same way; else it is only said
to be possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from netra_loop.core.facts import EntryKey, Facts, key_of
from netra_loop.core.joining import OR_NEARLY, SLACK_S, Running
from netra_loop.core.records import Outcome, Result, RootCause, Symptom
from netra_loop.core.symptoms import Look, last_close
from netra_loop.core.trace_lines import Thrown
from netra_loop.values import dataclass

SERVER_SIDE = frozenset(
    {
        Symptom.WEBSOCKET_CLOSE,
        Symptom.ERROR_EVENT,
        Symptom.HTTP_STATUS,
        Symptom.TIMEOUT,
        Symptom.MISSING_EVENT,
    },
)
_ERRORS = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})


@dataclass(frozen=True)
class Why:
    """What the logs say of a failure: `one` is behind it; else `possible` may be, as it may be of other tests of the
    `running` that ran then, or nearly. Nothing of both where the logs say nothing.
    """

    one: Thrown | None = None
    possible: Thrown | None = None
    running: int = 0


class Causes:
    """The exception behind a failure. `looks` has for each test that failed what its failure looks like."""

    def __init__(self, facts: Facts, exceptions: Sequence[Thrown], looks: Mapping[str, Look]) -> None:
        self._joined = facts.joined
        self._looks = looks
        self._nothing = Why()
        self._by_trace: dict[str, list[Thrown]] = {}
        self._by_entry: dict[EntryKey, Thrown] = {}
        self._running: dict[int, tuple[Result, ...]] = {}
        running = Running(facts.results, timedelta(seconds=SLACK_S))
        for one in sorted(exceptions, key=lambda one: one.at):
            if one.trace_id is not None:
                self._by_trace.setdefault(one.trace_id, []).append(one)
            else:
                self._by_entry.update({key_of(entry): one for entry in one.entries})
                self._running[id(one)] = running.at(one.at)

    def of(self, result: Result, look: Look) -> Why:
        """Of an attempt; nothing for one that did not fail."""
        if not result.outcome.is_failure:
            return self._nothing
        own = self._by_trace.get(result.trace_id, [])
        if own:
            return Why(next((one for one in own if one.entries[0].severity in _ERRORS), own[0]))
        if look.symptom not in SERVER_SIDE:
            return Why()
        near = {
            id(one): one
            for entry in self._joined.by_time(result)
            if (one := self._by_entry.get(key_of(entry))) is not None
        }
        if not near:
            return Why()
        moment = _failed_at(result)
        ranked = sorted(
            near.values(), key=lambda one: (one.entries[0].joined is None, abs((one.at - moment).total_seconds()))
        )
        places = {_place(one.cause) for one in ranked}
        counting = (one for one in ranked if self._is_certain(one, look, is_only=len(places) == 1))
        chosen = next(counting, None)
        return Why(chosen) if chosen is not None else Why(None, ranked[0], len(self._others(ranked[0])))

    def _is_certain(self, one: Thrown, look: Look, *, is_only: bool) -> bool:
        """Whether it cannot be of another test. `is_only`: nothing else was raised near the failure."""
        tests = self._others(one)
        if len(tests) <= 1:
            return True
        alike = all(test in self._looks and _like(self._looks[test]) == _like(look) for test in tests)
        failed = all(result.outcome.is_failure for result in self._running[id(one)] if result.id in tests)
        return is_only and alike and failed

    def _others(self, one: Thrown) -> frozenset[str]:
        """The tests that it may be of."""
        first = one.entries[0]
        if first.joined is not None:
            return frozenset(first.tests)
        return frozenset((*first.tests, *(result.id for result in self._running[id(one)])))


def possibly(whys: Iterable[Why]) -> str | None:
    """A sentence on what may be behind failures that nothing is known to be behind; None where nothing may."""
    told = next((why for why in whys if why.possible is not None), None)
    if told is None or told.possible is None:
        return None
    cause = told.possible.cause
    said = f"{cause.exception}: {cause.message}" if cause.message else cause.exception
    return (
        f"possibly: {said[:160]} at {cause.file}:{cause.line} was logged without a trace id "
        f"while {told.running} tests ran{OR_NEARLY}, and may be of any of them"
    )


def _place(cause: RootCause) -> tuple[str, int, str]:
    return cause.file, cause.line, cause.exception


def _like(look: Look) -> tuple[str, str]:
    return look.alike or look.symptom, look.words


def _failed_at(result: Result) -> datetime:
    """When the server failed the attempt, as far as the client could see: its close, its error, else the end of what
    came (a test that waits in vain fails long after the server did).
    """
    close = last_close(result)
    if close is not None and close.direction == "received" and result.outcome is not Outcome.TIMEOUT:
        return close.at
    seen = [one for one in result.evidence.frames if one.kind != "close" or one.direction == "received"]
    if seen:
        return seen[-1].at
    if result.evidence.exchanges:
        last = result.evidence.exchanges[-1]
        return last.started_at + timedelta(seconds=last.duration_s)
    return result.started_at + timedelta(seconds=result.duration_s)
