"""What a failed attempt looks like, who has to act on it, and the words that name it.

Evidence speaks before the test's own words, and what the server did before what the test made of it: a test that ran
into its limit after the server had closed the socket shows `websocket-close`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from netra_loop.core.authenticity import is_error_event
from netra_loop.core.records import Authenticity, Cause, Exchange, Frame, Outcome, Result, Symptom
from netra_loop.core.signature import normalise

_NORMAL_CLOSES = frozenset({None, 1000, 1001, 1005})
_AUTH_CLOSES = frozenset({4001, 4003, 4401, 4403})
_TAIL = 1500  # characters at the end of a traceback, where the error itself stands

_CLOSED = re.compile(
    r"ConnectionClosed(?:Error|OK)?\b|\breceived 1\d{3} \(|no close frame received|WebSocket (?:was )?closed|"
    r"closed (?:the socket )?with (?:code )?(?:1\d{3}|4\d{3})",
)
_CLOSE_CODE = re.compile(r"(?:received|closed? (?:the socket )?with(?: code)?|code[=:]?) ?([14]\d{3})\b")
_UNREACHED = {
    "DNS": r"gaierror|NameResolutionError|Name or service not known|nodename nor servname|Temporary failure in name|"
    r"getaddrinfo failed|is not known \(DNS",
    "TLS": r"SSLCertVerificationError|certificate verify failed|\bTLS to \S+ failed",
    "refused": r"ConnectionRefusedError|connection refused|Connect call failed|ConnectError\b|ClientConnectorError|"
    r"connection attempts failed|Max retries exceeded",
    "unreachable": r"No route to host|Network is unreachable|cannot be reached|ConnectTimeout|network gave up waiting",
}
_REFUSED = re.compile("|".join(f"(?P<{kind}>{words})" for kind, words in _UNREACHED.items()), re.IGNORECASE)
_STATUS = re.compile(
    r"(?:HTTP(?:/[\d.]+)?|status(?:[ _]code)?|[Ee]rror|Response|answered|returned|got|token:|assert)[\s:='\"\[(<]{1,4}"
    r"([45]\d\d)\b|[!=]= ?([45]\d\d)\b|\b([45]\d\d) (?:[A-Z][a-z]+|- )",
)
_HTTP_ERROR = re.compile(
    r"HTTPStatusError|InvalidStatus|HTTPError|ClientResponseError|server rejected WebSocket|raise_for_status",
)
_TIMED_OUT = re.compile(
    r"\bTimeoutError\b|\bReadTimeout\b|\btimed out\b|TimeoutExpired|\bwithin [\d.]+ ?(?:s|ms|seconds)\b",
)
_MISSING = re.compile(
    r"\b(?:no|never|without|missing|wait(?:ing|ed) for|did not (?:receive|get|see))\b.{0,60}"
    r"(?:event|frame|message|agent_\w+|tool_\w+)|"
    r"\b(?:agent_\w+|tool_\w+|event)\b.{0,40}\b(?:never|not received|did not)",
    re.IGNORECASE | re.DOTALL,
)
_ASSERTION = re.compile(r"^(?:E\s+)?(?:AssertionError\b|assert )", re.MULTILINE)
_TEST_FAULT = re.compile(
    r"fixture '[^']*' not found|\b(?:ImportError|ModuleNotFoundError|NameError|SyntaxError|IndentationError)\b|"
    r"recursive dependency involving fixture|ScopeMismatch",
)
_RATE = re.compile(r"RESOURCE_EXHAUSTED|quota exceeded|Too Many Requests", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Look:
    """What an attempt looks like: the symptom, the words of it that make the signature, and who has to act."""

    symptom: Symptom
    words: str
    cause: Cause
    short: str  # for a title: "closes with 1011"
    alike: Symptom | None = None  # in the signature instead of the symptom: who stops at one place stops for one reason


def symptom_of(result: Result) -> Symptom | None:
    """The symptom of an attempt; None where nothing is wrong with it (a fake pass has one)."""
    if not result.outcome.is_failure:
        return Symptom.FAKE_PASS if result.authenticity is Authenticity.FAKE else None
    look = look_at(result)
    return None if look is None else look.symptom


def look_at(result: Result) -> Look | None:
    """Everything that names the failure of an attempt; None where nothing is wrong with it."""
    if not result.outcome.is_failure:
        return _fake(result) if result.authenticity is Authenticity.FAKE else None
    for recognise in (_crash, _connection, _closed, _auth, _error_event, _status, _timeout, _missing, _own_words):
        look = recognise(result)
        if look is not None:
            return look
    return Look(Symptom.EXCEPTION, "no message", Cause.UNKNOWN, "fails without a message")


def _said(result: Result) -> str:
    return f"{result.message or ''}\n{result.traceback[-_TAIL:]}"


def first_line(result: Result) -> str:
    """The attempt's own message on one line: what failed, without where."""
    lines = (result.message or "").strip().splitlines()
    return lines[0].strip().removeprefix("E ").strip() if lines else ""


# ------------------------------------------------------------------------- one recogniser each, the most telling first


def _fake(result: Result) -> Look:
    return _faked(result.reasons[0] if result.reasons else "no-contact")


@lru_cache(maxsize=64)
def _faked(kind: str) -> Look:
    return Look(Symptom.FAKE_PASS, kind, Cause.TEST, f"passes without touching the environment ({kind})")


def _crash(result: Result) -> Look | None:
    if result.outcome is not Outcome.CRASHED:
        return None
    words = first_line(result) or "the test's process died"
    return Look(Symptom.CRASH, words, Cause.UNKNOWN, words)


def _connection(result: Result) -> Look | None:
    """Nothing answered at all: an exchange that did get an answer, or a socket that opened, says otherwise."""
    answered = any(exchange.status is not None for exchange in result.evidence.exchanges) or result.evidence.frames
    failed = [exchange for exchange in result.evidence.exchanges if exchange.status is None and exchange.error]
    said = f"{_said(result)}\n{failed[-1].error if failed else ''}"
    found = _REFUSED.search(said)
    if found is None or (answered and not _REFUSED.search(first_line(result))):
        return None
    host = _host(failed[-1].url) if failed else ""
    kind = found.lastgroup or "refused"
    words = f"{kind} {f'by {host}' if host else ''}".strip()
    return Look(Symptom.CONNECTION, words, Cause.ENVIRONMENT, f"cannot connect ({words})")


def _closed(result: Result) -> Look | None:
    closes = [
        frame
        for frame in result.evidence.frames
        if frame.kind == "close"
        and frame.code not in _NORMAL_CLOSES
        and frame.direction == "received"  # one that we sent ends a wait of ours and tells nothing
    ]
    said = _said(result)
    code: int | None = closes[-1].code if closes else None
    reason = (closes[-1].reason or "") if closes else ""
    if code is None:
        if not _CLOSED.search(said):
            return None
        named = _CLOSE_CODE.search(said)
        code = int(named[1]) if named else 1006
    if code in _AUTH_CLOSES:
        return Look(Symptom.AUTH, f"closed with {code} {reason}", Cause.UNKNOWN, f"is refused with {code}")
    words = f"closed with {code} {reason}".strip()
    cause = Cause.PRODUCT if code in {1002, 1003, 1007, 1009, 1011} or code >= 4000 else Cause.UNKNOWN
    return Look(Symptom.WEBSOCKET_CLOSE, words, cause, f"closes with {code}")


def _auth(result: Result) -> Look | None:
    named = {status for status in _statuses(_said(result)) if status in {401, 403}}
    answers = [one for one in result.evidence.exchanges if one.status in {401, 403}]
    last = result.evidence.exchanges[-1] if result.evidence.exchanges else None
    refused = last if last is not None and last.status in {401, 403} and not result.evidence.frames else None
    exchange = next((one for one in reversed(answers) if one.status in named), refused)
    if exchange is None and not (named and (_HTTP_ERROR.search(_said(result)) or not result.evidence.exchanges)):
        return None
    status = exchange.status if exchange is not None else min(named)
    detail = _detail(exchange.body) if exchange is not None else ""
    place = _target(exchange) if exchange is not None else first_line(result)
    return Look(Symptom.AUTH, f"{place} answered {status} {detail}".strip(), Cause.UNKNOWN, f"is refused with {status}")


def _error_event(result: Result) -> Look | None:
    """The server's last word was an error event, or the test says that it got one."""
    received = [frame for frame in result.evidence.frames if frame.direction == "received" and frame.kind != "close"]
    errors = [frame for frame in received if is_error_event(frame)]
    named = errors and (errors[-1].event or "") in _said(result)
    if not errors or not (named or received[-1] is errors[-1]):
        return None
    words = f"{errors[-1].event} {_detail(errors[-1].text)}".strip()
    return Look(Symptom.ERROR_EVENT, words, Cause.PRODUCT, f"gets {normalise(words)[:80]}")


def _status(result: Result) -> Look | None:
    said = _said(result)
    named = _statuses(said)
    failing = [one for one in result.evidence.exchanges if one.status is not None and one.status >= 400]
    exchange = next((one for one in reversed(failing) if one.status in named), None)
    if exchange is None and failing and (failing[-1].status or 0) >= 500:
        exchange = failing[-1]
    if exchange is None and not (named and (_HTTP_ERROR.search(said) or not result.evidence.exchanges)):
        return None
    status = (exchange.status if exchange is not None else None) or max(named)
    place = _target(exchange) if exchange is not None else first_line(result)
    words = f"{place} answered {status} {_detail(exchange.body) if exchange is not None else ''}".strip()
    if status in {429, 502, 503, 504} or _RATE.search(said):
        cause = Cause.ENVIRONMENT
    else:
        cause = Cause.PRODUCT if status >= 500 or status in {404, 405} else Cause.UNKNOWN
    return Look(Symptom.HTTP_STATUS, words, cause, f"gets {status} from {normalise(place)[:60]}")


def _timeout(result: Result) -> Look | None:
    if result.outcome is not Outcome.TIMEOUT:
        return None
    return _silence(result, Symptom.TIMEOUT)


def _missing(result: Result) -> Look | None:
    """The test gave up waiting by itself."""
    said = _said(result)
    gave_up = _TIMED_OUT.search(first_line(result)) or _TIMED_OUT.search(said[-1000:])
    if result.evidence.frames and (gave_up or _MISSING.search(first_line(result))):
        return _silence(result, Symptom.MISSING_EVENT)
    return _silence(result, Symptom.TIMEOUT) if gave_up else None


def _silence(result: Result, symptom: Symptom) -> Look:
    """Nothing came any more. What came last names it: everything that stops at one place stops for one reason, whether
    the test was killed or gave up by itself.
    """
    stage = result.stage  # the loop's own; the golden path's would be no guess to make
    pending = next((one for one in reversed(result.evidence.exchanges) if one.status is None), None)
    frames = result.evidence.frames
    if pending is not None and not (frames and frames[-1].at > pending.started_at):
        words = f"no answer from {_target(pending)}"
        return Look(symptom, words, Cause.PRODUCT, normalise(words), Symptom.TIMEOUT)
    if frames and result.outcome is Outcome.TIMEOUT and _all_closed(frames):
        words = f"does not end after {stage}, its sockets closed"
        return Look(symptom, words, Cause.UNKNOWN, words)
    if frames:
        words = f"no event after {stage or 'the upgrade'}"
        return Look(symptom, words, Cause.PRODUCT, words, Symptom.MISSING_EVENT)
    words = f"nothing sent or received in {result.id.partition('::')[0]}"
    return Look(symptom, words, Cause.UNKNOWN, "ends without an answer")


def _all_closed(frames: Sequence[Frame]) -> bool:
    """Whether the test had done with every socket; one that was let go of at the time limit had been waited on."""
    opened = sum(frame.kind == "open" for frame in frames)
    return 0 < opened <= sum(frame.kind == "close" and frame.code is not None for frame in frames)


def _own_words(result: Result) -> Look | None:
    line = first_line(result) or next(_error_lines(result.traceback), "")
    if not line:
        return None
    if _ASSERTION.search(line) or (_ASSERTION.search(result.traceback[-_TAIL:]) and ":" not in line.split(" ")[0]):
        return Look(Symptom.ASSERTION, line, Cause.UNKNOWN, normalise(line)[:100])
    cause = Cause.TEST if _TEST_FAULT.search(line) or _TEST_FAULT.search(result.traceback[-_TAIL:]) else Cause.UNKNOWN
    return Look(Symptom.EXCEPTION, line, cause, normalise(line)[:100])


# ------------------------------------------------------------------------------------------------------------ helpers


def _error_lines(traceback: str) -> Iterator[str]:
    """The lines of pytest's report that tell the error."""
    return (line[1:].strip() for line in traceback.splitlines() if line.startswith("E  "))


def _statuses(said: str) -> set[int]:
    return {int(next(group for group in found.groups() if group)) for found in _STATUS.finditer(said)}


def _target(exchange: Exchange) -> str:
    try:
        return f"{exchange.method} {urlsplit(exchange.url).path or '/'}"
    except ValueError:
        return f"{exchange.method} {exchange.url[:100]}"


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _detail(body: str | None) -> str:
    """What an error answer or event says of itself."""
    if not body:
        return ""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return normalise(body)[:120]
    for _ in range(3):
        if not isinstance(value, dict):
            break
        keys = ("detail", "error", "message", "error_message", "reason", "payload", "data")
        value = next((value[key] for key in keys if value.get(key)), "")
    return value[:120] if isinstance(value, str) else ""


def looked_at(traceback: str) -> str:
    """The part of a traceback that a look is made from: the line that tells the error, and the end."""
    if len(traceback) <= _TAIL:
        return traceback
    error = next((line for line in traceback.splitlines() if line.startswith("E  ")), "")
    return f"{error}\n{traceback[-_TAIL:]}" if error else f" {traceback[-_TAIL:]}"


def last_close(result: Result) -> Frame | None:
    """The last close the attempt saw, whatever its code."""
    return next((frame for frame in reversed(result.evidence.frames) if frame.kind == "close"), None)
