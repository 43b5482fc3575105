"""The parts a parsed Logging query is made of, and how each is held against an entry (LogEntry in its JSON form).

A comparison with a field that is absent is false, `!=` included; its negation is true. Absent fields of LogEntry itself
compare as their defaults. Strings compare without regard to case, regular expressions with.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

from netra_loop.cloud.embedded.times import duration_ns, instant_ns

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
_FIELDS = (
    "logName",
    "resource",
    "timestamp",
    "receiveTimestamp",
    "severity",
    "protoPayload",
    "textPayload",
    "jsonPayload",
    "insertId",
    "httpRequest",
    "labels",
    "metadata",
    "operation",
    "trace",
    "spanId",
    "traceSampled",
    "sourceLocation",
    "split",
    "errorGroups",
)
_NESTED = ("resource", "httpRequest", "operation", "sourceLocation", "split")
_DEFAULTS: dict[tuple[str, ...], Any] = {
    ("logName",): "",
    ("severity",): "DEFAULT",
    ("insertId",): "",
    ("trace",): "",
    ("spanId",): "",
    ("traceSampled",): False,
}
_TIMES = {("timestamp",), ("receiveTimestamp",)}


class FilterError(ValueError):
    """The text is no query of the Logging language; says where and what was expected."""


class Node(Protocol):
    """A part of a query."""

    def matches(self, entry: dict[str, Any]) -> bool:
        """Whether `entry` is wanted."""
        ...


@dataclass(frozen=True)
class And:
    """All of them; an empty one matches everything."""

    parts: tuple[Node, ...]

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return all(part.matches(entry) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """Any of them."""

    parts: tuple[Node, ...]

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return any(part.matches(entry) for part in self.parts)


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Node

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return not self.part.matches(entry)


@dataclass(frozen=True)
class Has:
    """`text` anywhere in the entry."""

    text: str

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        wanted = _fold(self.text)
        return any(wanted in _fold(_text(leaf)) for leaf in _leaves(entry))


@dataclass(frozen=True)
class Search:
    """All words of `text` in the field (in the whole entry where `path` is empty), as words."""

    path: tuple[str, ...]
    text: str

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        found = list(_lookup(entry, _canonical(self.path))) if self.path else [entry]
        words = {word for value in found for leaf in _leaves(value) for word in _words(_text(leaf))}
        return _words(self.text) <= words


@dataclass(frozen=True)
class LogId:
    """The log of that id, written without escapes: `run.googleapis.com/stdout`."""

    name: str

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return unquote(entry.get("logName", "")).partition("/logs/")[2] == self.name


@dataclass(frozen=True)
class Compare:
    """`path op value`. Raises FilterError when made, for a field or a value that cannot be."""

    path: tuple[str, ...]
    op: str
    value: str
    _test: Callable[[Any], bool] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        path = _canonical(self.path)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "_test", _test(path, self.op, self.value))

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return any(self._test(value) for value in _lookup(entry, self.path))


def time_bounds(node: Node) -> tuple[int | None, int | None]:
    """Nanoseconds since 1970 that every match lies between (inclusive), as far as the query says so at its top."""
    low: int | None = None
    high: int | None = None
    for part in node.parts if isinstance(node, And) else (node,):
        if isinstance(part, Compare) and part.path == ("timestamp",):
            instant = instant_ns(part.value)
            if part.op in {">", ">=", "="}:
                low = instant if low is None else max(low, instant)
            if part.op in {"<", "<=", "="}:
                high = instant if high is None else min(high, instant)
    return low, high


# ------------------------------------------------------------------------------------------- one comparison


def _test(path: tuple[str, ...], op: str, wanted: str) -> Callable[[Any], bool]:
    if op in {"=~", "!~"}:
        return _regex(op, wanted)
    if path in _TIMES and op != ":":
        return _ordered(op, wanted, instant_ns)
    if path == ("severity",) and op != ":":
        return _ordered(op, wanted, _severity)
    if path == ("httpRequest", "latency") and op != ":":
        return _ordered(op, wanted, duration_ns)
    if op == ":":
        return _contains(wanted)
    return _plain(op, wanted)


def _regex(op: str, wanted: str) -> Callable[[Any], bool]:
    try:
        pattern = re.compile(wanted)
    except re.error as error:
        raise FilterError(f"{wanted!r} is no regular expression: {error}") from error
    return lambda value: (pattern.search(_text(value)) is not None) == (op == "=~")


def _ordered(op: str, wanted: str, key: Callable[[str], int]) -> Callable[[Any], bool]:
    try:
        right = key(wanted)
    except ValueError as error:
        raise FilterError(str(error)) from error
    return lambda value: _holds(op, key(_text(value)), right)


def _contains(wanted: str) -> Callable[[Any], bool]:
    folded = _fold(wanted)

    def test(value: Any) -> bool:
        if wanted == "*":
            return value not in ("", None, {}, [])
        if isinstance(value, dict) and wanted in value:
            return True
        return any(folded in _fold(_text(leaf)) for leaf in _leaves(value))

    return test


def _plain(op: str, wanted: str) -> Callable[[Any], bool]:
    number = _number(wanted)
    folded = _fold(wanted)

    def test(value: Any) -> bool:
        if wanted == "NULL_VALUE" or value is None:
            return _holds(op, value is None, wanted == "NULL_VALUE") if op in {"=", "!="} else False
        if isinstance(value, dict):
            return False
        left = None if isinstance(value, bool) else _number(value)
        if left is not None and number is not None:
            return _holds(op, left, number)
        return _holds(op, _fold(_text(value)), folded)

    return test


def _holds(op: str, left: Any, right: Any) -> bool:
    match op:
        case "=":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)


def _severity(text: str) -> int:
    level = SEVERITIES.get(text.upper())
    if level is None:
        if text.isdigit():
            return int(text)
        raise ValueError(f"{text!r} is no severity, expected one of {', '.join(SEVERITIES)}")
    return level


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


# ------------------------------------------------------------------------------------------- what an entry holds


def _canonical(path: tuple[str, ...]) -> tuple[str, ...]:
    head = _camel(path[0])
    if head not in _FIELDS:
        raise FilterError(f"{path[0]!r} is no field of a log entry, expected one of {', '.join(_FIELDS)}")
    if head in _NESTED and len(path) > 1:
        return (head, _camel(path[1]), *path[2:])
    return (head, *path[1:])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _lookup(entry: dict[str, Any], path: tuple[str, ...]) -> Iterator[Any]:
    found = list(_walk(entry, path))
    if not found and path in _DEFAULTS:
        found = [_DEFAULTS[path]]
    yield from found


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for member in value:
            yield from _walk(member, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member)
    else:
        yield value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", _fold(text)))
