"""Shapes of single values: texts, words of a list, numbers, durations, percentages, and values that are JSON."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Any

from netra_loop.core import durations
from netra_loop.core.loopfile.nodes import Mapping, Node, Scalar, Sequence
from netra_loop.core.loopfile.problems import clip
from netra_loop.core.loopfile.shape import BAD, At, found
from netra_loop.values import dataclass

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_JSON_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_PERCENT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?%")
_TAKEN_FOR = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "merge": "a merge key",
    "value": "a default key",
}


class Fill(Enum):
    """What `${…}` in a text means."""

    YES = "filled in when its time has come"
    NO = "an error: nothing fills it in here"
    PROSE = "text like any other"


@dataclass(frozen=True)
class Text:
    """A text. `numbers`: whole numbers need no quotes, as in environment variables. `pattern` bounds the whole of it,
    and `what` says it in words. `for_shell`: it runs under `sh -c`.
    """

    fill: Fill = Fill.NO
    what: str = "text"
    pattern: str | None = None
    numbers: bool = False
    for_shell: bool = False

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if not isinstance(node, Scalar) or node.is_null:
            return at.expected(self.what, node)
        kind = node.looks_like
        if kind != "str" and not (self.numbers and _WHOLE_NUMBER.fullmatch(node.text)):
            taken = _TAKEN_FOR.get(kind, "something else")
            return at.wrong(
                node.place,
                f"expected {self.what}, found {clip(node.text)}, which YAML readers take for {taken}: "
                f'write "{node.text[:60]}"',
            )
        if self.pattern is not None and not re.fullmatch(self.pattern, node.text):
            return at.expected(self.what, node)
        if self.fill is Fill.YES:
            return at.fill(node, shell=self.for_shell)
        if self.fill is Fill.NO and "${" in node.text:
            return at.wrong(node.place_of(node.text.index("${")), "'${' is not filled in here: write the text itself")
        return node.text

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        drawn: dict[str, Any] = {"type": ["string", "integer"] if self.numbers else "string"}
        return drawn | ({"pattern": f"^{self.pattern}$"} if self.pattern else {})


@dataclass(frozen=True)
class Word:
    """One of a few words, quoted or not."""

    words: tuple[str, ...]

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if isinstance(node, Scalar):
            if node.text in self.words:
                return node.text
            if node.text:
                message = f"expected {' or '.join(self.words)}, found {clip(node.text)}"
                return at.wrong(node.place, message, word=node.text, known=self.words)
        return at.expected(" or ".join(self.words), node)

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        # A reader of YAML 1.1 hands a bare `off` to the validator as false.
        return {"enum": [*self.words, *([False] if "off" in self.words else [])]}


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if isinstance(node, Scalar) and node.plain and _WHOLE_NUMBER.fullmatch(node.text):
            number = int(node.text)
            if self.least <= number <= self.most:
                return number
        quoted = " in quotes" if isinstance(node, Scalar) and not node.plain else ""
        return at.wrong(node.place, f"expected {self._what}, found {found(node)}{quoted}")

    @property
    def _what(self) -> str:
        return str(self.least) if self.least == self.most else f"a whole number from {self.least} to {self.most}"

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        if self.least == self.most:
            return {"const": self.least}
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Truth:
    """`true` or `false`, unquoted."""

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if isinstance(node, Scalar) and node.plain and node.text in {"true", "false"}:
            return node.text == "true"
        return at.expected("true or false", node)

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Duration:
    """`250ms 30s 5m 2h 1d`, composed as `5h30m`; float seconds from it. `most_s` bounds it; zero only where `zero`."""

    most_s: float = durations.LONGEST_S
    zero: bool = False

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if not isinstance(node, Scalar) or node.is_null:
            return at.expected("a duration such as 30s", node)
        try:
            seconds = durations.parse(node.text)
        except ValueError as error:
            bare = _WHOLE_NUMBER.fullmatch(node.text)
            return at.wrong(node.place, f"{error}: a unit is missing, as in {node.text}s" if bare else str(error))
        if seconds > self.most_s:
            return at.wrong(node.place, f"expected at most {durations.show(self.most_s)}, found {clip(node.text)}")
        if seconds == 0 and not self.zero:
            return at.wrong(node.place, f"expected a duration longer than nothing, found {clip(node.text)}")
        return seconds

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "string", "pattern": f"^{durations.PATTERN}$", "examples": ["30s", "5m", "1h30m"]}


@dataclass(frozen=True)
class Percent:
    """`0%` to `100%`; a fraction from it."""

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if isinstance(node, Scalar) and _PERCENT.fullmatch(node.text):
            number = float(node.text[:-1])
            if number <= 100:
                return number / 100
        return at.expected("a percentage from 0% to 100%, such as 5%", node)

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "string", "pattern": r"^(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)%$", "examples": ["0%", "5%"]}


@dataclass(frozen=True)
class Json:
    """Any JSON value, `${…}` in its texts filled in. What readers of YAML disagree about (`no`, `012`, `12:30`, dates)
    needs quotes, or `true`, `false`, or a plain number.
    """

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        match node:
            case Sequence():
                items = [self.read(item, at.down(str(index), item.place)) for index, item in enumerate(node.items)]
                return BAD if any(item is BAD for item in items) else items
            case Mapping():
                pairs = {
                    name: self.read(value, at.down(name, key.place)) for name, (key, value) in node.entries.items()
                }
                return BAD if any(value is BAD for value in pairs.values()) else pairs
            case Scalar():
                return self._scalar(node, at)

    def _scalar(self, node: Scalar, at: At) -> Any:
        if node.is_null:
            return None
        if node.plain and node.text in _JSON_WORDS:
            return _JSON_WORDS[node.text]
        if node.plain and _JSON_NUMBER.fullmatch(node.text):
            number = int(node.text) if _WHOLE_NUMBER.fullmatch(node.text) else float(node.text)
            return number if math.isfinite(number) else at.wrong(node.place, f"{node.text} is no number JSON can hold")
        if node.looks_like == "str":
            return at.fill(node)
        return at.wrong(
            node.place,
            f"readers of YAML disagree about {clip(node.text)}: "
            f'write "{node.text[:60]}" for the text, or true, false or a plain number',
        )

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {}
