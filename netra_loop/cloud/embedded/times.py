"""Instants and durations of log entries, in whole nanoseconds: a float cannot hold them apart."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?(Z|z|[+-]\d\d:?\d\d)?)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def instant_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 instant or a date (its midnight in UTC). Raises ValueError."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no instant, expected RFC 3339 such as 2025-01-31T12:00:00Z")
    day, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone in {None, "Z", "z"} else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        whole = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}{offset}") - _EPOCH
    except OverflowError as error:
        raise ValueError(f"{text!r} lies outside the years 1 to 9999") from error
    return (whole.days * 86_400 + whole.seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))


def rfc3339_ns(nanoseconds: int) -> str:
    """The reverse: RFC 3339 in UTC with nine digits."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{_whole(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=256)
def _whole(seconds: int) -> str:
    """What the many entries of one second share."""
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def duration_ns(text: str) -> int:
    """Nanoseconds of `1.5s`, `200ms`, … Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration, expected a number and a unit such as 1.5s or 200ms")
    return round(float(match[1]) * _UNITS[match[2]])
