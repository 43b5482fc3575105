"""The parts a parsed Logging query is made of, and how each is held against an entry (LogEntry in its JSON form).

`matches` answers for a whole entry. `known_of` answers for what many entries share, their origin (log name, resource
and severity): yes, no, or what is still to be asked of each.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any, Protocol
from urllib.parse import unquote

from netra_loop.cloud.embedded.comparing import Test, is_present, test_of
from netra_loop.cloud.embedded.fields import Field, field_of, fold, leaves, text_of
from netra_loop.cloud.embedded.times import instant_ns
from netra_loop.values import dataclass

_OF_ORIGIN = ("logName", "resource", "severity")
_TIMESTAMP = ("timestamp",)


class FilterError(ValueError):
    """The text is no query of the Logging language; says where and what was expected."""


class Node(Protocol):
    """A part of a query."""

    def matches(self, entry: dict[str, Any]) -> bool:
        """Whether `entry` is wanted."""
        ...

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """What it comes to for an entry of which only `origin` is known."""
        ...


@dataclass(frozen=True)
class And:
    """All of them; an empty one matches everything."""

    parts: tuple[Node, ...]

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return all(part.matches(entry) for part in self.parts)

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        known = [part.known_of(origin) for part in self.parts]
        if any(one is False for one in known):
            return False
        left = tuple(one for one in known if not isinstance(one, bool))
        return And(left) if left else True


@dataclass(frozen=True)
class Or:
    """Any of them."""

    parts: tuple[Node, ...]

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return any(part.matches(entry) for part in self.parts)

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        known = [part.known_of(origin) for part in self.parts]
        if any(one is True for one in known):
            return True
        left = tuple(one for one in known if not isinstance(one, bool))
        return Or(left) if left else False


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Node

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return not self.part.matches(entry)

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        known = self.part.known_of(origin)
        return not known if isinstance(known, bool) else Not(known)


@dataclass(frozen=True)
class Has:
    """`text` anywhere in the entry."""

    text: str

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        wanted = fold(self.text)
        return any(wanted in fold(text_of(leaf)) for leaf in leaves(entry))

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        return self.matches(origin) or self


@dataclass(frozen=True)
class Search:
    """All words of `text` in the field (in the whole entry where `path` is empty); those in backticks side by side."""

    path: tuple[str, ...]
    text: str
    _field: Field | None = field(init=False, compare=False, repr=False)
    _phrases: tuple[tuple[str, ...], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_field", field_of(self.path) if self.path else None)
        phrases = [tuple(_words(part)) for part in re.findall(r"`([^`]*)`", self.text)]
        loose = [(word,) for word in _words(re.sub(r"`[^`]*`", " ", self.text))]
        object.__setattr__(self, "_phrases", tuple(phrase for phrase in (*phrases, *loose) if phrase))

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        values = [entry] if self._field is None else self._field.values(entry)
        texts = [_words(text_of(leaf)) for value in values for leaf in leaves(value)]
        return all(any(_holds_phrase(words, phrase) for words in texts) for phrase in self._phrases)

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        del origin
        return self


@dataclass(frozen=True)
class LogId:
    """The log of that id, written without escapes: `run.googleapis.com/stdout`."""

    name: str

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return unquote(entry.get("logName", "")).partition("/logs/")[2] == self.name

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        return self.matches(origin)


@dataclass(frozen=True)
class InProjects:
    """Entries of these projects (`projects/P`)."""

    names: tuple[str, ...]

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        return entry["logName"].partition("/logs/")[0] in self.names

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        return self.matches(origin)


@dataclass(frozen=True)
class Compare:
    """`path op value`. Raises ValueError when made, for a field or a value that cannot be. `literal`: the value was
    quoted, so a star is a star.
    """

    path: tuple[str, ...]
    op: str
    value: str
    literal: bool = False
    place: Field = field(init=False, compare=False, repr=False)
    _test: Test = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found = field_of(self.path)
        present = self.op == ":" and self.value == "*" and not self.literal
        object.__setattr__(self, "place", found)
        object.__setattr__(self, "path", found.path)
        test = (lambda value: is_present(found, value)) if present else test_of(found, self.op, self.value)
        object.__setattr__(self, "_test", test)

    def matches(self, entry: dict[str, Any]) -> bool:
        """See `Node.matches`."""
        values = self.place.values(entry)
        if not values:
            default = self.place.default
            return default is not None and self._test(default)
        return any(self._test(value) for value in values)

    def known_of(self, origin: dict[str, Any]) -> bool | Node:
        """See `Node.known_of`."""
        return self.matches(origin) if self.path[0] in _OF_ORIGIN else self


def time_bounds(node: Node) -> tuple[int | None, int | None, Node]:
    """Nanoseconds since 1970 that every match lies between (inclusive), as far as the query says so at its top, and
    what of the query is left to ask.
    """
    low: int | None = None
    high: int | None = None
    left = []
    for part in node.parts if isinstance(node, And) else (node,):
        if not isinstance(part, Compare) or part.path != _TIMESTAMP or part.op not in {"<", "<=", "=", ">=", ">"}:
            left.append(part)
            continue
        instant = instant_ns(part.value)
        if part.op in {">", ">=", "="}:
            first = instant + (part.op == ">")
            low = first if low is None else max(low, first)
        if part.op in {"<", "<=", "="}:
            last = instant - (part.op == "<")
            high = last if high is None else min(high, last)
    return low, high, left[0] if len(left) == 1 else And(tuple(left))


def traces_of(node: Node) -> tuple[str, ...] | None:
    """The traces that every match has one of, folded, as far as the query says so at its top; None: any."""
    for part in node.parts if isinstance(node, And) else (node,):
        choices = part.parts if isinstance(part, Or) else (part,)
        if all(isinstance(one, Compare) and one.path == ("trace",) and one.op == "=" for one in choices):
            return tuple(fold(one.value) for one in choices if isinstance(one, Compare))
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", fold(text))


def _holds_phrase(words: list[str], phrase: tuple[str, ...]) -> bool:
    size = len(phrase)
    return any(tuple(words[at : at + size]) == phrase for at in range(len(words) - size + 1))
