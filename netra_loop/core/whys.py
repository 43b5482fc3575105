"""The whys of a finding, each backed by evidence: what the connection and the logs showed, the place where it was
raised, the commit that last touched it; and the first one that nothing answers, which is the fixer's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from netra_loop.core.error_groups import first_line
from netra_loop.core.records import Cause, Finding, FindingState, LogEntry, Outcome, Result, RootCause, Symptom
from netra_loop.core.signature import normalise
from netra_loop.core.source_lines import Place
from netra_loop.core.symptoms import last_close

OPEN = "? not known yet"
_SAID = 300
_NORMAL_CLOSES = frozenset({1000, 1001, 1005})
_NOBODY_ASKS = frozenset({Cause.ENVIRONMENT, Cause.DEPLOY})
_NONE_HAS_NO = re.compile(r"'NoneType' object has no attribute '(?P<name>\w+)'")
_HAS_NO = re.compile(r"(?P<kind>'\w+' object|module '[\w.]+'|type object '\w+') has no attribute '(?P<name>\w+)'")
_NONE_IS_NOT = re.compile(r"'NoneType' object is not (?P<what>callable|subscriptable|iterable)")
_OWNER = r"((?:await )?[A-Za-z_][\w.]*(?:\([^()]*\)|\[[^\[\]]*\])?)"


def raised_at(root: RootCause) -> str:
    """The why that names a root cause's place."""
    return f"it was raised at {root.file}:{root.line} in {root.function}"


def of_wire(results: Sequence[Result]) -> list[str]:
    """What the connection showed of failed attempts: who closed it, or after what nothing came any more."""
    return _of_close(results) or _of_silence(results)


def _of_close(results: Sequence[Result]) -> list[str]:
    closes = [(result, close) for result in results if (close := last_close(result)) is not None and close.code]
    closed = next((close for _, close in closes if close.code not in _NORMAL_CLOSES), None)
    if closed is None:
        return []
    alike = [(result, one) for result, one in closes if (one.code, one.direction) == (closed.code, closed.direction)]
    by = "the server" if closed.direction == "received" else "the test"
    reason = f" ({closed.reason})" if closed.reason else ""
    after = _range([(one.at - result.started_at).total_seconds() for result, one in alike])
    return [f"{by} closed the WebSocket with {closed.code}{reason}, {after} in"]


def _of_silence(results: Sequence[Result]) -> list[str]:
    silent: dict[str, list[float]] = {}
    for result in results:
        received = [one for one in result.evidence.frames if one.direction == "received" and one.kind != "open"]
        waited = result.outcome is Outcome.TIMEOUT or result.symptom is Symptom.MISSING_EVENT
        if waited and received and received[-1].kind != "close":
            last, ended = received[-1], result.started_at + timedelta(seconds=result.duration_s)
            said = last.event or f"{last.kind} of {last.size} bytes"
            silent.setdefault(said, []).append((ended - last.at).total_seconds())
    if not silent:
        return []
    said, seconds = max(silent.items(), key=lambda item: len(item[1]))
    times = f" ({len(seconds)})" if len(results) > 1 else ""
    return [f"the last that the server sent was {said}{times}, then nothing for {_range(seconds)}"]


def of_log(results: Sequence[Result], entries: Iterable[LogEntry], warned: Mapping[str, LogEntry]) -> list[str]:
    """The loudest that the service logged under the traces of failed attempts, where no exception is known."""
    traces = {result.trace_id for result in results if result.trace_id}
    loud = {one.trace_id: one for one in entries if one.trace_id in traces and one.log != "requests"}
    said = [one for trace in traces if (one := loud.get(trace) or warned.get(trace)) is not None]
    if not said:
        return []
    alike = Counter((one.severity, normalise(first_line(one))) for one in said)
    (kind, times), *_ = alike.most_common(1)
    example = next(one for one in said if (one.severity, normalise(first_line(one))) == kind)
    of = f"{times} of {len(traces)} tests" if len(traces) > 1 else "the test"
    return [f"{example.revision} logged {kind[0]} under the trace of {of}: {first_line(example)[:_SAID]}"]


def _range(seconds: Sequence[float]) -> str:
    low, high = f"{min(seconds):.2f}", f"{max(seconds):.2f}"
    return f"{low} s" if low == high else f"{low} to {high} s"


def grounded(finding: Finding, place: Place | None) -> Finding:
    """`finding` with what its place in the source adds to its whys, and the question that is left. Nothing is added to
    one that is fixed, which has no question any more, and nothing twice.
    """
    if finding.state is FindingState.FIXED:
        return replace(finding, whys=tuple(why for why in finding.whys if not why.endswith(OPEN)))
    if finding.whys and finding.whys[-1].endswith(OPEN):
        return finding
    whys = list(finding.whys)
    if finding.root_cause is not None and place is not None:
        named = raised_at(finding.root_cause)
        at = whys.index(named) if named in whys else len(whys)
        whys[at : at + 1] = _of_place(named, place)
    asked = question(finding, place)
    return replace(finding, whys=(*whys, f"{asked}{OPEN}") if asked else tuple(whys))


def question(finding: Finding, place: Place | None = None) -> str | None:
    """What a fixer has to find out, without its question mark; None where no fixer is asked."""
    if finding.cause in _NOBODY_ASKS or finding.state is FindingState.FLAKY:
        return None
    root = finding.root_cause
    if root is not None:
        return _of_exception(root, place.source if place is not None else "")
    match finding.symptom:
        case Symptom.TIMEOUT | Symptom.MISSING_EVENT if finding.stage is not None:
            return f"why does nothing follow {finding.stage}"
        case Symptom.WEBSOCKET_CLOSE:
            return f"why does the server close the socket{_after(finding.stage)}"
        case Symptom.ERROR_EVENT:
            return f"why does the server answer with an error{_after(finding.stage)}"
        case Symptom.FAKE_PASS:
            return "why does the test pass without asking the service"
        case Symptom.SERVER_ERROR:
            return "why is it logged while the tests pass"
        case _:
            return None


def _of_place(named: str, place: Place) -> Sequence[str]:
    shown = place.shown()
    whys = ["\n".join((f"{named}:", *shown)) if shown else named]
    if place.touched is not None:
        whys.append(f"line {place.line} was last touched by {place.touched}")
    return whys


def _of_exception(root: RootCause, source: str) -> str:
    if found := _NONE_HAS_NO.search(root.message):
        return f"why is {_owner(source, '.' + found['name']) or 'it'} None here"
    if found := _NONE_IS_NOT.search(root.message):
        after = {"callable": "(", "subscriptable": "["}.get(found["what"])
        return f"why is {(_owner(source, after) if after else None) or 'it'} None here"
    if found := _HAS_NO.search(root.message):
        return f"why has {_owner(source, '.' + found['name']) or found['kind']} no {found['name']} here"
    if root.exception == "KeyError":
        return f"why is the key {root.message[:80] or 'asked for'} not there"
    if root.exception in {"TimeoutError", "CancelledError"}:
        return f"what does {root.function} wait for in vain"
    return f"why does {root.function} raise {root.exception} here"


def _owner(source: str, after: str) -> str | None:
    """What stands before `after` in a line of source: `self._bridge` in `x = self._bridge.run()`; None where more than
    one thing may be meant.
    """
    found = {one.removeprefix("await ") for one in re.findall(_OWNER + re.escape(after) + r"(?!\w)", source)}
    if after.startswith("."):
        found = {one.removeprefix("await ") for one in re.findall(_OWNER + re.escape(after) + r"\b", source)}
    return found.pop() if len(found) == 1 else None


def _after(stage: str | None) -> str:
    return f" after {stage}" if stage else ""
