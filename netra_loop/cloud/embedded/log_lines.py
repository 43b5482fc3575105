"""What a container prints -> the parts of a log entry, by Cloud Run's rules for structured logging.

One line is one entry. A line that is a JSON object becomes `jsonPayload`, its special keys moved to where they belong;
if only `message` is left, and for any other line, `textPayload`. Whatever a container prints gives an entry that can
be stored and sent: bytes that are no UTF-8 are replaced, numbers that no double holds and too deep objects stay text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from netra_loop.cloud.embedded.fields import SEVERITIES
from netra_loop.cloud.embedded.log_limits import MOST_PIECES, PIECE
from netra_loop.cloud.embedded.times import instant_ns, rfc3339_ns

LONGEST = MOST_PIECES * PIECE  # bytes of one line
_DEEPEST = 30  # a protobuf Struct of more levels is refused by its own parser
_SPECIAL = "logging.googleapis.com/"
_LATEST_NS = 253_402_300_799 * 10**9  # the end of the year 9999
_REQUEST_FIELDS = {
    "requestMethod": str,
    "requestUrl": str,
    "requestSize": int,
    "status": int,
    "responseSize": int,
    "userAgent": str,
    "remoteIp": str,
    "serverIp": str,
    "referer": str,
    "protocol": str,
}


class LineSplitter:
    """Bytes in, lines out. Holds at most `longest` bytes of a line; what is beyond is counted and dropped."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._held = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, without their ends; a cut one says how long it was."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._hold(part)
            yield self._line()
        self._hold(rest)

    def end(self) -> Iterator[bytes]:
        """The last line, where it had no end."""
        if self._size:
            yield self._line()

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        self._held += part[: self._longest - len(self._held)]

    def _line(self) -> bytes:
        line, size = bytes(self._held), self._size
        self._held.clear()
        self._size = 0
        if size > self._longest:
            note = b" ... [cut: the line has %d bytes]" % size
            return line[: self._longest - len(note)] + note
        return line.removesuffix(b"\r")


def entry_of(line: bytes) -> dict[str, Any]:
    """The parts of the entry that `line` itself gives, in LogEntry's JSON form."""
    text = line.decode("utf-8", "replace")
    payload = _object(text) if text.lstrip().startswith("{") else None
    if payload is None:
        return {"textPayload": text}
    entry = _lift(payload)
    if set(payload) == {"message"} and isinstance(payload["message"], str):
        entry["textPayload"] = payload["message"]
    else:
        entry["jsonPayload"] = payload
    return entry


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_int=_double, parse_float=_double, parse_constant=_double)
    except (ValueError, OverflowError, RecursionError):
        return None
    if not isinstance(value, dict) or not _fits(value, _DEEPEST):
        return None
    cleaned: dict[str, Any] = _clean(value)
    return cleaned


def _double(text: str) -> float:
    number = float(text)
    if number - number != 0:  # infinite or not a number
        raise ValueError(text)
    return number


def _fits(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    members = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_fits(member, levels - 1) for member in members)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {_clean(key): _clean(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_clean(member) for member in value]
    # half of a surrogate pair is legal JSON and no legal text
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


# ------------------------------------------------------------------------------------------- special keys


def _lift(payload: dict[str, Any]) -> dict[str, Any]:
    """Takes the special keys out of `payload`; one whose value is of the wrong shape stays."""
    entry: dict[str, Any] = {}
    severity = payload.get("severity")
    if isinstance(severity, str):
        entry["severity"] = severity.upper() if severity.upper() in SEVERITIES else "DEFAULT"
        del payload["severity"]
    _lift_time(payload, entry)
    for key, target, shape in (
        ("insertId", "insertId", str),
        ("trace", "trace", str),
        ("spanId", "spanId", str),
        ("trace_sampled", "traceSampled", bool),
    ):
        if isinstance(payload.get(_SPECIAL + key), shape):
            entry[target] = payload.pop(_SPECIAL + key)
    for key, target in (("labels", "labels"), ("operation", "operation"), ("sourceLocation", "sourceLocation")):
        parts = payload.get(_SPECIAL + key)
        if isinstance(parts, dict):
            entry[target] = _SHAPES[key](parts)
            del payload[_SPECIAL + key]
    request = payload.get("httpRequest")
    if isinstance(request, dict):
        entry["httpRequest"] = _request(request)
        del payload["httpRequest"]
    return entry


def _lift_time(payload: dict[str, Any], entry: dict[str, Any]) -> None:
    for key in ("time", "timestamp"):
        nanoseconds = _instant(payload.get(key))
        if nanoseconds is not None:
            entry["timestamp"] = rfc3339_ns(nanoseconds)
            del payload[key]
            return
    split = {"seconds": payload.get("timestampSeconds"), "nanos": payload.get("timestampNanos", 0.0)}
    nanoseconds = _instant(split)
    if nanoseconds is not None:
        entry["timestamp"] = rfc3339_ns(nanoseconds)
        del payload["timestampSeconds"]
        payload.pop("timestampNanos", None)


def _instant(value: Any) -> int | None:
    try:
        if isinstance(value, dict):
            nanoseconds = int(float(value["seconds"])) * 10**9 + int(float(value.get("nanos", 0)))
        elif isinstance(value, str):
            nanoseconds = instant_ns(value)
        else:
            return None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return nanoseconds if 0 <= nanoseconds <= _LATEST_NS else None


def _labels(parts: dict[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in parts.items()}


def _operation(parts: dict[str, Any]) -> dict[str, Any]:
    texts = {key: value for key, value in parts.items() if key in {"id", "producer"} and isinstance(value, str)}
    flags = {key: value for key, value in parts.items() if key in {"first", "last"} and isinstance(value, bool)}
    return texts | flags


def _source_location(parts: dict[str, Any]) -> dict[str, Any]:
    place = {key: value for key, value in parts.items() if key in {"file", "function"} and isinstance(value, str)}
    line = _whole(parts.get("line"))
    return place if line is None else place | {"line": str(line)}


def _request(parts: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    for key, shape in _REQUEST_FIELDS.items():
        value = parts.get(key)
        if shape is str and isinstance(value, str):
            request[key] = value
        elif shape is int and (number := _whole(value)) is not None:
            request[key] = number if key == "status" else str(number)
    latency = parts.get("latency")
    if isinstance(latency, str) and latency.endswith("s") and _is_number(latency[:-1]):
        request["latency"] = f"{float(latency[:-1]):.9f}s"
    return request


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, float | int | str) or not _is_number(value):
        return None
    number = int(float(value))
    return number if 0 <= number < 2**31 else None


def _is_number(value: Any) -> bool:
    try:
        return abs(float(value)) < 2**53
    except ValueError:
        return False


_SHAPES = {"labels": _labels, "operation": _operation, "sourceLocation": _source_location}
