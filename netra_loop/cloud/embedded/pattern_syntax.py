"""RE2's syntax -> a program of single steps, for `patterns`.

Step 0 is the first. `OneOf` takes one character and goes on to the next step, `Jump` goes on at any of its targets,
`Assertion` goes on where it holds, and `MATCH` is the end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from netra_loop.values import dataclass

MATCH = None
_LONGEST_PROGRAM = 5000
_MOST_REPETITIONS = 1000
_DEEPEST = 100
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|([imsU]*)(-[imsU]+)?([:)]))")
_POSIX = re.compile(r"\[:(\^?)(\w+):\]")
_UNICODE = re.compile(r"\\([pP])(?:\{(\^?)(\w+)\}|(\w))")
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_Test = Callable[[str], bool]
_NAMED: dict[str, str] = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7f",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_PERL = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}


class PatternError(ValueError):
    """The pattern is none of RE2's; says what is wrong with it."""


@dataclass(frozen=True)
class OneOf:
    """One character for which `holds` is true."""

    holds: _Test


@dataclass(frozen=True)
class Jump:
    """Goes on at each of these."""

    targets: tuple[int, ...]


@dataclass(frozen=True)
class Assertion:
    """begin, end, line begin, line end, word edge, no word edge."""

    kind: str


Step = OneOf | Jump | Assertion | None


@dataclass(frozen=True)
class _Flags:
    fold: bool = False  # i
    lines: bool = False  # m
    dot_all: bool = False  # s


def program_of(pattern: str) -> list[Step]:
    """The program. Raises PatternError."""
    program = _Reader(pattern).whole()
    return [*program, MATCH]


class _Reader:
    """Recursive descent. Each part gives its steps with targets relative to its own first one."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> list[Step]:
        steps, _ = self._either(_Flags())
        if self._at < len(self._text):
            raise self._error("a `)` too many")
        return steps

    def _either(self, flags: _Flags) -> tuple[list[Step], _Flags]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} levels of brackets")
        branch, flags = self._sequence(flags)
        branches = [branch]
        while self._text.startswith("|", self._at):
            self._at += 1
            branch, flags = self._sequence(flags)
            branches.append(branch)
        self._depth -= 1
        steps = branches.pop()
        while branches:
            steps = self._bounded(_alternative(branches.pop(), steps))
        return steps, flags

    def _sequence(self, flags: _Flags) -> tuple[list[Step], _Flags]:
        steps: list[Step] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            part, flags = self._part(flags)
            steps = self._bounded(_joined(steps, part))
        return steps, flags

    def _part(self, flags: _Flags) -> tuple[list[Step], _Flags]:
        if self._text[self._at] in "*+?":
            raise self._error("nothing to repeat")
        changed = self._flags_alone(flags)
        if changed is not None:
            return [], changed
        return self._repeated(self._atom(flags)), flags

    def _repeated(self, atom: list[Step]) -> list[Step]:
        counted = _REPEAT.match(self._text, self._at)
        mark = self._text[self._at : self._at + 1]
        if counted:
            least = int(counted[1])
            most = least if counted[2] is None else int(counted[3]) if counted[3] else None
            self._at = counted.end()
        elif mark and mark in "*+?":
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[mark]
            self._at += 1
        else:
            return atom
        if max(least, most or 0) > _MOST_REPETITIONS or (most is not None and most < least):
            raise self._error("a bad number of repetitions")
        if self._text.startswith("?", self._at):  # lazy: the same matches
            self._at += 1
        if self._text[self._at : self._at + 1] in {"*", "+", "?"} or _REPEAT.match(self._text, self._at):
            raise self._error("a repetition of a repetition")
        return self._copies(atom, least, most)

    def _copies(self, atom: list[Step], least: int, most: int | None) -> list[Step]:
        if (least + 1 if most is None else most) * (len(atom) + 2) > _LONGEST_PROGRAM:
            raise self._error("a pattern that is too large")
        steps: list[Step] = []
        for _ in range(least):
            steps = _joined(steps, atom)
        if most is None:
            return _joined(steps, [Jump((1, len(atom) + 2)), *_shifted(atom, 1), Jump((0,))])
        optional: list[Step] = []
        for _ in range(most - least):
            inner = _joined(atom, optional)
            optional = [Jump((1, len(inner) + 1)), *_shifted(inner, 1)]
        return _joined(steps, optional)

    def _flags_alone(self, flags: _Flags) -> _Flags | None:
        group = _GROUP.match(self._text, self._at)
        if group is None or group[3] != ")":
            return None
        self._at = group.end()
        return _changed(flags, group)

    def _atom(self, flags: _Flags) -> list[Step]:
        character = self._text[self._at]
        if character == "(":
            return self._group(flags)
        if character == "[":
            return [OneOf(self._class(flags))]
        if character == "\\":
            return self._escape(flags)
        self._at += 1
        match character:
            case ".":
                return [OneOf(_anything if flags.dot_all else _no_newline)]
            case "^":
                return [Assertion("line begin" if flags.lines else "begin")]
            case "$":
                return [Assertion("line end" if flags.lines else "end")]
            case _:
                return [OneOf(_literal(character, flags))]

    def _group(self, flags: _Flags) -> list[Step]:
        inner = flags
        if self._text.startswith("(?", self._at):
            group = _GROUP.match(self._text, self._at)
            if group is None:
                raise self._error("a group that RE2 does not have, such as one that looks ahead")
            inner = _changed(flags, group) if group[3] is not None else flags
            self._at = group.end()
        else:
            self._at += 1
        steps, _ = self._either(inner)
        if not self._text.startswith(")", self._at):
            raise self._error("a `(` without its `)`")
        self._at += 1
        return steps

    def _escape(self, flags: _Flags) -> list[Step]:
        letter = self._text[self._at + 1 : self._at + 2]
        kind = {"A": "begin", "z": "end", "b": "word edge", "B": "no word edge"}.get(letter)
        if kind is not None:
            self._at += 2
            return [Assertion(kind)]
        if letter == "Q":
            literal, _, _ = self._text[self._at + 2 :].partition("\\E")
            self._at = min(len(self._text), self._at + 2 + len(literal) + 2)
            return [OneOf(_literal(character, flags)) for character in literal]
        if letter == "C":
            self._at += 2
            return [OneOf(_anything)]
        named = self._named_class()
        return [OneOf(named if named is not None else _literal(self._escaped(), flags))]

    def _named_class(self) -> _Test | None:
        r"""`\d`, `\W`, `\pL`, `\p{Greek}` …; None where there is none here."""
        letter = self._text[self._at + 1 : self._at + 2]
        if letter and letter.lower() in _PERL:
            self._at += 2
            return _ranges(_PERL[letter.lower()], negated=letter.isupper())
        found = _UNICODE.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return self._category(found[3] or found[4], negated=(found[1] == "P") != (found[2] == "^"))

    def _category(self, name: str, *, negated: bool) -> _Test:
        if name == "Any":
            return lambda _: not negated
        if len(name) > 2:  # a script
            prefix = f"{name.upper()} "
            return lambda character: unicodedata.name(character, "").startswith(prefix) != negated
        if name[0] not in "LMNPSZC" or (len(name) > 1 and not name[1].islower()):
            raise self._error(f"a class {name!r} that Unicode does not have")
        return lambda character: unicodedata.category(character).startswith(name) != negated

    def _escaped(self) -> str:
        """The character that a backslash here stands for."""
        numbered = _HEX.match(self._text, self._at) or _OCTAL.match(self._text, self._at)
        if numbered is not None:
            self._at = numbered.end()
            octal = numbered.re is _OCTAL
            code = int(numbered[1], 8) if octal else int(numbered[1] or numbered[2], 16)
            if code > 0x10FFFF:
                raise self._error("a character beyond Unicode")
            return chr(code)
        letter = self._text[self._at + 1 : self._at + 2]
        if not letter or (letter not in _CONTROLS and (letter.isalnum())):
            raise self._error(f"an escape that RE2 does not have, `\\{letter}`")
        self._at += 2
        return _CONTROLS.get(letter, letter)

    def _class(self, flags: _Flags) -> _Test:
        self._at += 1
        negated = self._text.startswith("^", self._at)
        self._at += negated
        tests: list[_Test] = []
        first = True
        while first or not self._text.startswith("]", self._at):
            if self._at >= len(self._text):
                raise self._error("a `[` without its `]`")
            tests.append(self._class_member(flags))
            first = False
        self._at += 1
        return lambda character: any(test(character) for test in tests) != negated

    def _class_member(self, flags: _Flags) -> _Test:
        posix = _POSIX.match(self._text, self._at)
        if posix is not None:
            if posix[2] not in _NAMED:
                raise self._error(f"a class {posix[2]!r} that there is not")
            self._at = posix.end()
            return _ranges(_NAMED[posix[2]], negated=bool(posix[1]), fold=flags.fold)
        if self._text.startswith("\\", self._at):
            named = self._named_class()
            if named is not None:
                return named
        low = self._class_character()
        if not self._text.startswith("-", self._at) or self._text[self._at + 1 : self._at + 2] in {"", "]"}:
            return _literal(low, flags)
        self._at += 1
        high = self._class_character()
        if high < low:
            raise self._error("a range that ends before it begins")
        return _between(low, high, fold=flags.fold)

    def _class_character(self) -> str:
        if self._text.startswith("\\", self._at):
            return self._escaped()
        self._at += 1
        return self._text[self._at - 1]

    def _bounded(self, steps: list[Step]) -> list[Step]:
        if len(steps) > _LONGEST_PROGRAM:
            raise self._error("a pattern that is too large")
        return steps

    def _error(self, what: str) -> PatternError:
        return PatternError(f"{self._text[:80]!r} is no regular expression of RE2's: {what}, at character {self._at}")


# ------------------------------------------------------------------------------------------- steps


def _shifted(steps: list[Step], by: int) -> list[Step]:
    return [
        Jump(tuple(target + by for target in step.targets)) if by and isinstance(step, Jump) else step for step in steps
    ]


def _joined(one: list[Step], other: list[Step]) -> list[Step]:
    return [*one, *_shifted(other, len(one))]


def _alternative(one: list[Step], other: list[Step]) -> list[Step]:
    behind = len(one) + 2
    return [Jump((1, behind)), *_shifted(one, 1), Jump((behind + len(other),)), *_shifted(other, behind)]


def _changed(flags: _Flags, group: re.Match[str]) -> _Flags:
    on, off = group[1] or "", group[2] or ""
    return _Flags(
        fold="i" in on or (flags.fold and "i" not in off),
        lines="m" in on or (flags.lines and "m" not in off),
        dot_all="s" in on or (flags.dot_all and "s" not in off),
    )


# ------------------------------------------------------------------------------------------- characters


def _anything(_: str) -> bool:
    return True


def _no_newline(character: str) -> bool:
    return character != "\n"


def _literal(wanted: str, flags: _Flags) -> _Test:
    if flags.fold:
        same = {wanted, wanted.lower(), wanted.upper()}
        return lambda character: character in same or character.lower() == wanted.lower()
    return wanted.__eq__


def _between(low: str, high: str, *, fold: bool) -> _Test:
    if fold:
        return lambda character: any(low <= one <= high for one in (character, character.lower(), character.upper()))
    return lambda character: low <= character <= high


def _ranges(members: str, *, negated: bool = False, fold: bool = False) -> _Test:
    """Of ASCII, in the syntax of Python's own character classes."""
    found = re.compile(f"[{members}]", re.ASCII | (re.IGNORECASE if fold else 0)).match
    return lambda character: (found(character) is not None) != negated
