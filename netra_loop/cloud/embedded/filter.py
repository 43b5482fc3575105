"""The Logging query language: text -> something that says whether an entry matches.

    query      = [expression]                          nothing matches everything
    expression = either { ["AND"] either }             a newline or mere juxtaposition is AND
    either     = term { "OR" term }                    OR binds tighter than AND
    term       = ("NOT" | "-") term | "(" expression ")" | function | path op values | value

Entries are LogEntry in its JSON form (camelCase keys, RFC 3339 times, severity names). Pure: no clock, no store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from netra_loop.cloud.embedded.matching import (
    And,
    Compare,
    FilterError,
    Has,
    LogId,
    Node,
    Not,
    Or,
    Search,
)

LONGEST = 20_000
_DEEPEST = 64
_SPACE = re.compile(r"(?:\s+|--[^\n]*)+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_/*-]*")
_OPERATOR = re.compile(r"<=|>=|!=|=~|!~|=|<|>|:")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^\s()\",]+")
_LONE = re.compile(r"[^\s()\",=<>!:~]+")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_UNAVAILABLE = ("sample", "ip_in_net", "source", "cast", "regexp_extract")

__all__ = ["FilterError", "Node", "parse"]


@lru_cache(maxsize=64)
def parse(text: str) -> Node:
    """What `text` asks for. Raises FilterError, which names the place, for anything that is no query."""
    if len(text) > LONGEST:
        raise FilterError(f"the filter has {len(text)} characters, expected at most {LONGEST}")
    return _Parser(text).query()


class _Parser:
    """Recursive descent over characters: what a value may hold depends on where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def query(self) -> Node:
        self._skip()
        if self._at == len(self._text):
            return And(())
        node = self._expression(self._term)
        if self._at < len(self._text):
            raise self._error("expected the end of the filter")
        return node

    def _expression(self, term: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"expected at most {_DEEPEST} levels of brackets")
        parts = [self._either(term)]
        while self._at < len(self._text) and self._peek() != ")":
            self._keyword("AND")
            parts.append(self._either(term))
        self._depth -= 1
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _either(self, term: Callable[[], Node]) -> Node:
        parts = [self._negated(term)]
        while self._keyword("OR"):
            parts.append(self._negated(term))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _negated(self, term: Callable[[], Node]) -> Node:
        negations = 0
        while self._keyword("NOT") or self._take("-"):
            negations += 1
        node = self._bracketed(term) if self._peek() == "(" else term()
        return Not(node) if negations % 2 else node

    def _bracketed(self, term: Callable[[], Node]) -> Node:
        self._take("(")
        node = self._expression(term)
        if not self._take(")"):
            raise self._error("expected `)`")
        return node

    def _term(self) -> Node:
        start = self._at
        path = self._path()
        if path is not None:
            if len(path) == 1 and self._peek() == "(" and self._text[start] != '"':
                return self._function(path[0])
            operator = self._operator()
            if operator is not None:
                return self._values(path, operator)
        self._at = start
        return Has(self._value(_LONE))

    def _values(self, path: tuple[str, ...], operator: str) -> Node:
        def compare() -> Node:
            literal = self._peek() == '"'
            place = self._at
            value = self._value(_BARE)
            if not literal and self._text.startswith("(", place + len(value)):
                self._at = place
                raise self._unavailable(value, "as a value")
            try:
                return Compare(path, operator, value, literal)
            except ValueError as error:
                raise FilterError(str(error)) from error

        return self._bracketed(compare) if self._peek() == "(" else compare()

    def _function(self, name: str) -> Node:
        if name.lower() in _UNAVAILABLE:
            raise self._unavailable(name, "")
        self._take("(")
        arguments: list[str] = []
        while not self._take(")"):
            if arguments and not self._take(","):
                raise self._error("expected `,` or `)`")
            arguments.append(self._value(_BARE))
        lower = name.lower()
        if lower == "log_id" and len(arguments) == 1:
            return LogId(arguments[0])
        if lower == "search" and len(arguments) in {1, 2}:
            try:
                return Search(tuple(arguments[0].split(".")) if len(arguments) == 2 else (), arguments[-1])
            except ValueError as error:
                raise FilterError(str(error)) from error
        raise self._unavailable(name, f"with {len(arguments)} arguments")

    def _unavailable(self, name: str, how: str) -> FilterError:
        if name.lower() in _UNAVAILABLE:
            return self._error(f"the function {name!r} is not available in the embedded cloud")
        return self._error(f"the function {name!r} {how} is not known, expected log_id(…) or SEARCH(…)")

    def _path(self) -> tuple[str, ...] | None:
        segments = []
        while True:
            quoted = self._peek() == '"'
            match = (_STRING if quoted else _WORD).match(self._text, self._at)
            if match is None:
                return None
            self._at = match.end()
            segments.append(_unescape(match[1]) if quoted else match[0])
            if not self._text.startswith(".", self._at):
                self._skip()
                return tuple(segments)
            self._at += 1

    def _value(self, bare: re.Pattern[str]) -> str:
        if self._peek() == '"':
            match = _STRING.match(self._text, self._at)
            if match is None:
                raise self._error("a string without its closing quote")
            text = _unescape(match[1])
        else:
            match = bare.match(self._text, self._at)
            if match is None or match[0] in {"AND", "OR", "NOT"}:
                raise self._error("expected a value")
            text = match[0]
        self._at = match.end()
        self._skip()
        return text

    def _operator(self) -> str | None:
        match = _OPERATOR.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        self._skip()
        return match[0]

    def _keyword(self, word: str) -> bool:
        end = self._at + len(word)
        following = self._text[end : end + 1]
        if not self._text.startswith(word, self._at) or (following and following not in ' \t\r\n("-'):
            return False
        self._at = end
        self._skip()
        return True

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        self._skip()
        return True

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _error(self, what: str) -> FilterError:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        found = self._text[self._at : self._at + 20] or "the end"
        return FilterError(f"unparseable filter at line {line}, column {column}: {what}, found {found!r}")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)
