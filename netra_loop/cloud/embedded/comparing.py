"""One comparison of the query language: what is asked of a field's value, worked out once for all entries.

Strings compare without regard to case, regular expressions with. Numbers, instants, durations and severities compare
by their size.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from netra_loop.cloud.embedded.fields import SEVERITIES, Field, Kind, fold, leaves, text_of
from netra_loop.cloud.embedded.patterns import searcher
from netra_loop.cloud.embedded.times import duration_ns, instant_ns

Test = Callable[[Any], bool]
_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def test_of(field: Field, op: str, wanted: str) -> Test:
    """What a value of `field` must pass. Raises ValueError where `wanted` cannot be compared with it."""
    if op in {"=~", "!~"}:
        found = searcher(wanted)
        return lambda value: not isinstance(value, dict) and found(text_of(value)) == (op == "=~")
    if op == ":":
        return _contains(wanted)
    if field.kind == "message":
        raise ValueError(f"{'.'.join(field.path)!r} is a message, expected one of its fields, or `:`")
    if field.kind == "open":
        return _free(op, wanted)
    if wanted == "NULL_VALUE":
        return lambda _: op == "!="
    key = _KEYS[field.kind]
    right, holds = key(wanted), _HOLDS[op]
    return lambda value: holds(key(text_of(value)), right)


def is_present(field: Field, value: Any) -> bool:
    """Whether `:*` finds it: a field of LogEntry itself that has its default counts as absent."""
    if value is None or value in ("", {}, []):
        return False
    if field.kind in {"open", "message"}:
        return True
    key = _KEYS[field.kind]
    return bool(key(text_of(value)) != key(text_of(field.default)))


def severity_of(text: str) -> int:
    """The number of a severity's name. Raises ValueError."""
    level = SEVERITIES.get(text.upper())
    if level is None:
        if text.isdigit():
            return int(text)
        raise ValueError(f"{text!r} is no severity, expected one of {', '.join(SEVERITIES)}")
    return level


def _contains(wanted: str) -> Test:
    folded = fold(wanted)

    def test(value: Any) -> bool:
        if isinstance(value, dict) and wanted in value:
            return True
        return any(folded in fold(text_of(leaf)) for leaf in leaves(value))

    return test


def _free(op: str, wanted: str) -> Test:
    """A value whose type is what the user made it decides how it is compared."""
    holds = _HOLDS[op]
    number = _number(wanted)
    folded = fold(wanted)

    def test(value: Any) -> bool:
        match value:
            case None:
                return op in {"=", "!="} and holds("NULL_VALUE", wanted)
            case dict():
                return False
            case str():
                return holds(fold(value), folded)
            case bool():
                return folded in {"true", "false"} and holds(value, folded == "true")
            case _:
                return number is not None and holds(value, number)

    return test


def _number(text: str) -> float | None:
    try:
        return float(text)
    except (ValueError, OverflowError):
        return None


def _strict_number(text: str) -> float:
    number = _number(text)
    if number is None:
        raise ValueError(f"{text!r} is no number, and this field holds one")
    return number


def _strict_flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false, and this field is one of them")
    return text.lower() == "true"


_KEYS: dict[Kind, Callable[[str], Any]] = {
    "text": fold,
    "number": _strict_number,
    "flag": _strict_flag,
    "time": instant_ns,
    "duration": duration_ns,
    "severity": severity_of,
}
