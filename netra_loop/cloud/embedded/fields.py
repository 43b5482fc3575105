"""The fields of a log entry as the query language sees them: which there are, of what kind, what an absent one is.

A field of LogEntry itself that an entry lacks is compared as its default. A label or a part of a payload that it lacks
is missing, and every comparison with it is false. Any other name is an error.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, Literal

from netra_loop.values import dataclass

SEVERITIES = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
Kind = Literal["text", "number", "flag", "time", "duration", "severity", "open", "message"]
_DEFAULTS: dict[Kind, Any] = {
    "text": "",
    "number": 0,
    "flag": False,
    "time": "1970-01-01T00:00:00Z",
    "duration": "0s",
    "severity": "DEFAULT",
}
# "open" holds whatever a user put there; a nested table is a message of fields
_ENTRY: dict[str, Any] = {
    "logName": "text",
    "resource": {"type": "text", "labels": "open"},
    "timestamp": "time",
    "receiveTimestamp": "time",
    "severity": "severity",
    "protoPayload": "open",
    "textPayload": "text",
    "jsonPayload": "open",
    "insertId": "text",
    "httpRequest": {
        "requestMethod": "text",
        "requestUrl": "text",
        "requestSize": "number",
        "status": "number",
        "responseSize": "number",
        "userAgent": "text",
        "remoteIp": "text",
        "serverIp": "text",
        "referer": "text",
        "latency": "duration",
        "cacheLookup": "flag",
        "cacheHit": "flag",
        "cacheValidatedWithOriginServer": "flag",
        "cacheFillBytes": "number",
        "protocol": "text",
    },
    "labels": "open",
    "metadata": {"systemLabels": "open", "userLabels": "open"},
    "operation": {"id": "text", "producer": "text", "first": "flag", "last": "flag"},
    "trace": "text",
    "spanId": "text",
    "traceSampled": "flag",
    "sourceLocation": {"file": "text", "line": "number", "function": "text"},
    "split": {"uid": "text", "index": "number", "totalSplits": "number"},
    "errorGroups": {"id": "text"},
}


class UnknownField(ValueError):
    """No log entry has such a field; says which there are."""


@dataclass(frozen=True)
class Field:
    """A place in an entry. `path` is in the JSON form; `default` None where an absent one is missing."""

    path: tuple[str, ...]
    kind: Kind

    @property
    def default(self) -> Any:
        """What an entry without it is compared as."""
        return _DEFAULTS.get(self.kind)

    def values(self, entry: dict[str, Any]) -> list[Any]:
        """What the entry holds there: several where a part of the path is a list, none where nothing is there."""
        value: Any = entry
        for at, name in enumerate(self.path):
            if isinstance(value, list):
                return list(_walk(value, self.path[at:]))
            if not isinstance(value, dict) or name not in value:
                return []
            value = value[name]
        return list(_walk(value, ())) if isinstance(value, list) else [value]


def field_of(path: tuple[str, ...]) -> Field:
    """The field that `path` names, in camelCase or with underscores. Raises UnknownField."""
    here: Any = _ENTRY
    canonical: list[str] = []
    for at, name in enumerate(path):
        if here == "open":
            return Field((*canonical, *path[at:]), "open")
        known = _camel(name)
        if not isinstance(here, dict) or known not in here:
            owner = ".".join(canonical) or "a log entry"
            expected = f", expected one of {', '.join(here)}" if isinstance(here, dict) else ", it has none"
            raise UnknownField(f"{'.'.join(path[: at + 1])!r} is no field of {owner}{expected}")
        canonical.append(known)
        here = here[known]
    return Field(tuple(canonical), "message" if isinstance(here, dict) else here)


def leaves(value: Any) -> Iterator[Any]:
    """All single values inside."""
    if isinstance(value, dict):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member)
    else:
        yield value


def text_of(value: Any) -> str:
    """A single value as it is searched."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def fold(text: str) -> str:
    """What makes texts equal that differ by case or by compatible forms alone."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for member in value:
            yield from _walk(member, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])
