"""Records to rows and back: plain values that every database (and the in-memory twin) can hold.

Instants become RFC 3339 text in UTC, which sorts as time does; lists and mappings become canonical JSON text; the heavy
part of a result becomes one blob, compressed where that pays. Text columns lose what no database takes: NUL and lone
surrogates become visible replacement marks. JSON and blobs keep both. Log entries: `entry_rows`.

Reading raises ValueError, KeyError or TypeError on what this version cannot have written; callers say where it was.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from netra_loop.core.records import (
    AttemptStarted,
    Authenticity,
    Batch,
    Cause,
    Child,
    Claim,
    Contact,
    Evidence,
    Exchange,
    Finding,
    FindingState,
    Frame,
    Outcome,
    Result,
    RootCause,
    Selected,
    Sighting,
    Symptom,
)
from netra_loop.core.remembering import Remembered
from netra_loop.errors import Defect
from netra_loop.journal import tables as t
from netra_loop.journal.base import SessionHead

Row = dict[str, Any]
Values = tuple[Any, ...]

JUDGED_COLUMNS = ("authenticity", "reasons", "symptom")
HEAD_COLUMNS = tuple(one.name for one in fields(SessionHead))
# What `…_from_values` read, in their order: a table's columns without those that the asker knows.
SELECTED_READ = t.selection.names[2:]
ATTEMPT_READ = t.attempts.names[1:]
RESULT_READ = t.results.names[1:]
RESULT_LIGHT = RESULT_READ[:-1]  # without the body
FINDING_READ = t.findings.names[2:]

COMPRESS_ABOVE = 4096  # bytes; below it the saving is not worth the time
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
# What the encoder makes anew for each value; None where the interpreter has no such thing.
_make_encoder: Any = getattr(json.encoder, "c_make_encoder", None)
_encode = _make_encoder and _make_encoder(
    None, _ENCODER.default, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, True
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = tuple(f":{second:02d}." for second in range(60))
_NUL = "\N{SYMBOL FOR NULL}"
_INSTANTS = {"started_at", "first_at", "last_at", "at"}
_NO_EVIDENCE = Evidence()
_NOTHING_HEAVY = ("", "", _NO_EVIDENCE, 0.0, "")  # output, traceback, evidence, wider_s, placed
_intern = sys.intern
_from_iso = datetime.fromisoformat
_WHOLE = {Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED}
# A look at a mapping takes a fifth of the time of asking the enumeration, which says what else there may be.
_outcome = {one.value: one for one in Outcome}.get
_authenticity = {one.value: one for one in Authenticity}.get
_symptom = {one.value: one for one in Symptom}.get


def clean(text: str) -> str:
    """`text` as a text column can hold it: NUL becomes U+2400, a lone surrogate U+FFFD."""
    if text.isascii():
        return text.replace("\0", _NUL)
    return text.replace("\0", _NUL).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def write_at(instant: datetime) -> str:
    """`instant` as `clock.rfc3339` spells it, the quick way. Defect: no time zone."""
    if instant.tzinfo is None:
        raise Defect(f"instant {instant!r} for the journal has no time zone, expected UTC")
    since = instant - _EPOCH
    minutes, seconds = divmod(since.seconds, 60)
    return "%s%s%06dZ" % (_MINUTES[since.days, minutes], _SECONDS[seconds], since.microseconds)  # noqa: UP031 - quicker


def write_all_at(instants: Iterable[datetime]) -> list[str]:
    """The same of many, of which most are of the minute of the one before."""
    texts: list[str] = []
    known, day, minute = "", -1, -1
    for instant in instants:
        if instant.tzinfo is not UTC:
            texts.append(write_at(instant))
            continue
        since = instant - _EPOCH
        minutes, seconds = divmod(since.seconds, 60)
        if minutes != minute or since.days != day:
            day, minute = since.days, minutes
            known = _MINUTES[day, minute]
        texts.append("%s%s%06dZ" % (known, _SECONDS[seconds], since.microseconds))  # noqa: UP031 - quicker
    return texts


def _minute(of: tuple[int, int]) -> str:
    """Of the days since 1970, and the minutes of the day. Many rows are of one minute, and spelling one takes longer
    than all else that is done with its instant.
    """
    days, minutes = of
    return (_EPOCH + timedelta(days, minutes=minutes)).isoformat()[: len("2026-01-01T00:00")]


WORDS: Remembered[str, str] = Remembered(clean)  # of what many rows hold
_MINUTES: Remembered[tuple[int, int], str] = Remembered(_minute)


def read_at(text: str) -> datetime:
    """The reverse of `write_at`. ValueError for anything else."""
    instant = _from_iso(text)
    if instant.tzinfo is not UTC:
        raise ValueError(f"{text!r} is no instant in UTC")
    return instant


def canonical(value: Any) -> str:
    """The one JSON spelling of `value`: keys sorted, no spaces, ASCII. Defect where JSON cannot say it.

    NaN and the infinities pass, in Python's spelling: a service may log them.
    """
    try:
        return _ENCODER.encode(value) if _encode is None else "".join(_encode(value, 0))
    except (TypeError, ValueError, RecursionError) as error:
        raise Defect(f"a value for the journal is no plain JSON: {error}") from error


def optional(text: str | None) -> str | None:
    """`clean` for a column that may be empty."""
    return None if text is None else clean(text)


def _tuple(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text != "[]" else ()


_REASONS: Remembered[str, tuple[str, ...]] = Remembered(_tuple)  # many results have the same


# ---------------------------------------------------------------------------------------------------- heads


def head_to_row(head: SessionHead) -> Row:
    """Every field of the head; the store adds its own columns."""
    return {
        "id": head.id,
        "loop": clean(head.loop),
        "environment": clean(head.environment),
        "state": str(head.state),
        "iteration": head.iteration,
        "phase": optional(head.phase),
        "started_at": write_at(head.started_at),
        "updated_at": write_at(head.updated_at),
        "exit_code": head.exit_code,
    }


def head_from_row(row: Mapping[str, Any]) -> SessionHead:
    """The reverse of `head_to_row`; further columns are passed over."""
    return head_from_values([row[name] for name in HEAD_COLUMNS])


def head_from_values(values: Sequence[Any]) -> SessionHead:
    """The same of `HEAD_COLUMNS`."""
    session, loop, environment, state, iteration, phase, started_at, updated_at, exit_code = values
    return SessionHead(
        session, loop, environment, state, iteration, phase, read_at(started_at), read_at(updated_at), exit_code
    )


# ---------------------------------------------------------------------------------------------------- tests


def selected_to_row(session: str, iteration: int, item: Selected) -> Row:
    """One selected test."""
    return dict(zip(t.selection.names, selected_values(session, iteration, item), strict=True))


def selected_values(session: str, iteration: int, item: Selected) -> Values:
    """The same without names."""
    reason, path = WORDS[item.reason], item.path
    tier = optional(item.tier)
    return session, iteration, clean(item.id), tier, item.position, reason, path and WORDS[path], item.line


def selected_from_row(row: Mapping[str, Any]) -> Selected:
    """The reverse of `selected_to_row`."""
    return selected_from_values([row[name] for name in SELECTED_READ])


def selected_from_values(values: Sequence[Any]) -> Selected:
    """The same of `SELECTED_READ`."""
    test, tier, position, reason, path, line = values
    return Selected(_intern(test), tier and _intern(tier), position, _intern(reason), path and _intern(path), line)


def attempt_to_row(session: str, item: AttemptStarted) -> Row:
    """One attempt begun."""
    return dict(zip(t.attempts.names, attempt_values(session, item), strict=True))


def attempt_values(session: str, item: AttemptStarted) -> Values:
    """The same without names."""
    started_at = write_at(item.started_at)
    return session, item.iteration, clean(item.id), item.attempt, WORDS[item.worker], started_at, clean(item.trace_id)


def attempt_from_row(row: Mapping[str, Any]) -> AttemptStarted:
    """The reverse of `attempt_to_row`."""
    return attempt_from_values([row[name] for name in ATTEMPT_READ])


def attempt_from_values(values: Sequence[Any]) -> AttemptStarted:
    """The same of `ATTEMPT_READ`."""
    iteration, test, attempt, worker, started_at, trace_id = values
    return AttemptStarted(test, iteration, attempt, _intern(worker), read_at(started_at), trace_id)


def result_to_row(session: str, item: Result) -> Row:
    """One result, its heavy fields in `body`."""
    return dict(zip(t.results.names, result_values(session, item), strict=True))


def result_values(session: str, item: Result) -> Values:
    """The same without names."""
    authenticity, reasons, symptom = judged_values(item)
    return (
        session,
        item.iteration,
        clean(item.id),
        item.attempt,
        optional(item.tier),
        item.outcome.value,
        item.duration_s,
        write_at(item.started_at),
        WORDS[item.worker],
        optional(item.revision),
        clean(item.trace_id),
        item.flaky,
        authenticity,
        reasons,
        optional(item.stage),
        symptom,
        optional(item.message),
        _body(item),
    )


def result_from_row(row: Mapping[str, Any]) -> Result:
    """The reverse of `result_to_row`; a row read without its `body` leaves the heavy fields empty."""
    return result_from_values([*(row[name] for name in RESULT_LIGHT), row.get("body")])


def result_from_values(values: Sequence[Any]) -> Result:
    """The same of `RESULT_READ` or, with the heavy fields empty, of `RESULT_LIGHT`."""
    iteration, test, attempt, tier, outcome, duration_s, started_at, worker, revision, trace_id, flaky = values[:11]
    authenticity, reasons, stage, symptom, message, *bodies = values[11:]
    return Result(
        _intern(test),
        tier and _intern(tier),
        iteration,
        attempt,
        _outcome(outcome) or Outcome(outcome),
        duration_s,
        read_at(started_at),
        _intern(worker),
        revision and _intern(revision),
        _intern(trace_id),
        bool(flaky),
        _authenticity(authenticity) or Authenticity(authenticity),
        _REASONS[reasons],
        stage,
        None if symptom is None else _symptom(symptom) or Symptom(symptom),
        message,
        *(_NOTHING_HEAVY if not bodies or bodies[0] is None else _unbody(bodies[0])),
    )


def judged_to_row(item: Result) -> Row:
    """The columns that `Batch.judged` writes."""
    return dict(zip(JUDGED_COLUMNS, judged_values(item), strict=True))


def judged_values(item: Result) -> Values:
    """The same without names."""
    reasons = canonical(item.reasons) if item.reasons else "[]"
    return item.authenticity.value, reasons, item.symptom.value if item.symptom is not None else None


def duration_rows(batch: Batch) -> list[Row]:
    """What the batch teaches about how long tests take by themselves, and the fixtures that they share.

    What did not run to its end teaches nothing: a refused connection takes no time, a timeout all there is.
    """
    ran = [item for item in batch.results if item.worker and item.outcome in _WHOLE]
    rows = [{"id": clean(item.id), "duration_s": max(0.0, item.duration_s - item.wider_s)} for item in ran]
    return [*rows, *({"id": clean(name), "duration_s": seconds} for name, seconds in batch.fixtures.items())]


def _body(item: Result) -> bytes | None:
    parts: Row = {}
    if item.output:
        parts["output"] = item.output
    if item.traceback:
        parts["traceback"] = item.traceback
    evidence = item.evidence
    for name, items in (
        ("contacts", evidence.contacts),
        ("exchanges", evidence.exchanges),
        ("frames", evidence.frames),
        ("children", evidence.children),
    ):
        if items:
            parts[name] = [_plain(one) for one in items]
    if evidence.mocked:
        parts["mocked"] = evidence.mocked
    if item.wider_s:
        parts["wider_s"] = item.wider_s
    if item.placed:
        parts["placed"] = item.placed
    if not parts:
        return None
    raw = canonical(parts).encode()
    return zlib.compress(raw) if len(raw) > COMPRESS_ABOVE else raw


def _plain(item: Contact | Exchange | Frame | Child) -> Row:
    row: Row = {}
    for name in item.__slots__:
        value = getattr(item, name)
        if value is not None:
            row[name] = write_at(value) if name in _INSTANTS else value
    return row


def _unbody(body: bytes) -> tuple[str, str, Evidence, float, str]:
    """What `_NOTHING_HEAVY` stands for where there is none."""
    try:
        raw = bytes(body) if bytes(body[:1]) == b"{" else zlib.decompress(body)
    except zlib.error as error:
        raise ValueError(f"the body of a result cannot be unpacked: {error}") from error
    part = json.loads(raw).get
    contacts = [Contact(**_timed(one, "first_at", "last_at")) for one in part("contacts", ())]
    exchanges = [Exchange(**{"status": None, **_timed(one, "started_at")}) for one in part("exchanges", ())]
    frames = [Frame(**_timed(one, "at")) for one in part("frames", ())]
    children = [Child(**_timed(one, "at")) for one in part("children", ())]
    mocked = part("mocked", ())
    evidence = _NO_EVIDENCE
    if contacts or exchanges or frames or mocked or children:
        evidence = Evidence(tuple(contacts), tuple(exchanges), tuple(frames), tuple(mocked), tuple(children))
    return part("output", ""), part("traceback", ""), evidence, part("wider_s", 0.0), part("placed", "")


def _timed(row: Row, *instants: str) -> Row:
    for name in instants:
        row[name] = read_at(row[name])
    return row


# ---------------------------------------------------------------------------------------------------- findings


def finding_to_row(session: str, iteration: int, position: int, item: Finding) -> Row:
    """One finding, the `position`-th of its batch."""
    return dict(zip(t.findings.names, finding_values(session, iteration, position, item), strict=True))


def finding_values(session: str, iteration: int, position: int, item: Finding) -> Values:
    """The same without names."""
    return (
        session,
        iteration,
        clean(item.id),
        position,
        item.state.value,
        item.cause.value,
        item.symptom.value,
        clean(item.signature),
        clean(item.title),
        optional(item.impact),
        canonical(item.tests),
        item.first_iteration,
        item.last_iteration,
        canonical(asdict(item.root_cause)) if item.root_cause is not None else None,
        optional(item.stage),
        canonical(item.whys),
        canonical([asdict(claim) for claim in item.claims]),
    )


def finding_from_row(row: Mapping[str, Any]) -> Finding:
    """The reverse of `finding_to_row`."""
    return finding_from_values([row[name] for name in FINDING_READ])


def finding_from_values(values: Sequence[Any]) -> Finding:
    """The same of `FINDING_READ`."""
    found, _, state, cause, symptom, signature, title, impact, tests, first_iteration, last_iteration = values[:11]
    root_cause, stage, whys, claims = values[11:]
    return Finding(
        id=found,
        state=FindingState(state),
        cause=Cause(cause),
        symptom=Symptom(symptom),
        signature=signature,
        title=title,
        impact=impact,
        tests=_tuple(tests),
        first_iteration=first_iteration,
        last_iteration=last_iteration,
        root_cause=RootCause(**json.loads(root_cause)) if root_cause is not None else None,
        stage=stage,
        whys=_tuple(whys),
        claims=tuple(Claim(**claim) for claim in json.loads(claims)),
    )


def sighting_from_values(values: Sequence[Any]) -> Sighting:
    """Where a finding was seen, of the columns that `Sighting` has."""
    signature, session, at, first, last, fixed = values
    return Sighting(signature, session, read_at(at), first, last, fixed)
