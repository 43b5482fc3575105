r"""Secrets out of anything that is stored or shown: those we were told of, and those that look like one.

A literal secret is found plain, URL- and JSON-escaped (also twice), HTML-escaped, as hex, and inside base64 at any
alignment, also where that is broken into lines. Of a private key that was cut, what is left is hidden, too.

One compiled expression says what a secret is. It is slow, so it is only ever tried where one may begin: plain searches
find the places of literals, `secret_shapes` those of what looks like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from netra_loop.core.secret_shapes import IS_SET, KEPT, LONG, SHAPES, may_be_header, places, speaks_of_secrets
from netra_loop.core.secret_spellings import MIN_LENGTH, in_base64, spellings, variants

MARK = "[redacted]"
MAX_DEPTH = 100
KEY_LINE_LENGTH = 64  # of a line of a private key, which is told by itself where that came line by line
_MOST_SHAPES = 4096  # keys of mappings that are remembered at one time

_KEY_LINE = re.compile(r"(?=.{0,63}[a-z])(?=.{0,63}[A-Z])(?=.{0,63}[0-9+/])[A-Za-z0-9+/]{64}")  # of a key told by lines
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY")
_KEY_PART = re.compile(r"[A-Za-z0-9+/=]{1,100}")
_IN_LINES = re.compile(
    r"^[ \t]{0,8}[A-Za-z0-9+/_-]{60,80}\r?$(?:\n[ \t]{0,8}[A-Za-z0-9+/_-]{1,80}={0,2}\r?$)+", re.MULTILINE
)
_JOINT = re.compile(r"\n(?<=[A-Za-z0-9+/_-]{59}[A-Za-z0-9+/_\r-]\n)[ \t]{0,8}[A-Za-z0-9+/_-]")  # between two such lines
_RARE = ("%", "\\")
_PIECE = 16_384  # a text is gone through in pieces of about this size: what one of them needs costs the others nothing


class Redactor:
    """Hides secrets. `secrets` are literal values, hidden wherever they stand; those shorter than `MIN_LENGTH` are not
    looked for. `named` are pairs of a name and a value that is hidden only where it is assigned to that name. `kept`
    are texts that stay whole, whatever stands in them. Redacting what was redacted changes nothing."""

    def __init__(
        self, secrets: Iterable[str] = (), named: Iterable[tuple[str, str]] = (), kept: Iterable[str] = ()
    ) -> None:
        secrets = tuple(secrets)
        literals = {variant for secret in secrets if len(secret) >= MIN_LENGTH for variant in variants(secret)}
        self._literals = tuple(sorted(literals, key=lambda literal: (-len(literal), literal)))
        self._by_char = _by_char(self._literals)
        shapes = [f"(?P<{name}>{keep}){hide}" for name, (keep, hide) in KEPT.items()]
        self._named = {(name, value) for name, value in named if name and value}
        self._names = tuple(
            (name, re.compile(f"{re.escape(name)}(?={IS_SET})")) for name in sorted({name for name, _ in self._named})
        )
        whole = {text for text in kept if text and not any(text in literal for literal in self._literals)}
        self._whole = tuple(sorted({MARK, *whole}, key=lambda text: (-len(text), text)))
        self._in_base64 = tuple({part for secret in secrets if len(secret) >= MIN_LENGTH for part in in_base64(secret)})
        self._many_lines = tuple(literal for literal in self._literals if "\n" in literal)
        mark = f"(?P<mark>{'|'.join(map(re.escape, self._whole))})"
        either = [mark, *map(re.escape, self._literals), *SHAPES, *_assigned(self._named), *shapes]
        self._pattern = re.compile("|".join(either))
        self._shapes: dict[tuple[Any, ...], bool] = {}

    def __repr__(self) -> str:
        return f"Redactor({len(self._literals)} literals)"

    def text(self, text: str) -> str:
        """`text` with each secret replaced by `MARK`; the very same object where there is none."""
        if len(text) == KEY_LINE_LENGTH and _KEY_LINE.fullmatch(text):
            return MARK
        if len(text) > 64 and self._in_base64 and _JOINT.search(text):
            text = _replaced(_IN_LINES, self._in_lines, text)
        if len(text) <= 2 * _PIECE or LONG in text or any(one in text for one in self._many_lines):
            return self._hidden(text)
        pieces = list(_pieces(text))  # nothing else that is looked for goes over the end of a line
        hidden = [self._hidden(piece) for piece in pieces]
        same = all(new is old for new, old in zip(hidden, pieces, strict=True))
        return text if same else "".join(hidden)

    def _in_lines(self, found: re.Match[str]) -> str:
        """Base64 that was broken into lines: hidden whole where a secret is in it."""
        whole = "".join(found[0].split())
        return MARK if any(part in whole for part in self._in_base64) else found[0]

    def _hidden(self, text: str) -> str:
        """What stands beside a mark may have a shape that it had not before, so: until nothing changes. Each round but
        the last hides at least one more character, so there is a last."""
        while (hidden := self._once(text)) != text:
            text = hidden
        return _without_ends(text) if LONG in text else text

    def _once(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for start in self._starts(text):
            if start < done:
                continue
            found = self._pattern.match(text, start)
            if found is not None:
                parts += (text[done:start], _hide(found))
                done = found.end()
        return "".join((*parts, text[done:])) if done else text

    def _starts(self, text: str) -> list[int]:
        """Every place where a secret may begin, in order."""
        starts = [
            place
            for char, some in self._by_char
            if char in text
            for literal in some
            if literal in text
            for place in _places(literal, text)
        ]
        starts += [at.start() for name, finder in self._names if name in text for at in finder.finditer(text)]
        starts += places(text)
        if not starts:
            return starts
        return sorted((*starts, *(place for whole in self._whole for place in _places(whole, text))))  # passed over

    def deep(self, value: Any) -> Any:
        """`value` with every text in it redacted: in mappings (keys too), lists, tuples, sets and dataclasses.

        A text whose key speaks of a secret is hidden whole. Enums, numbers, instants and other objects are returned as
        they are; what is nested deeper than `MAX_DEPTH` is hidden.
        """
        return self._deep(value, 0)

    def are_plain(self, keys: tuple[Any, ...]) -> bool:
        """Whether `deep` leaves these keys of a mapping as they are, and looks at what stands under them as it would
        anywhere else.
        """
        known = self._shapes.get(keys)
        if known is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            known = self._shapes[keys] = all(map(self._is_plain, keys))
        return known

    def _is_plain(self, key: Any) -> bool:
        return (
            type(key) is str
            and key not in {"name", "key"}
            and not speaks_of_secrets(key)
            and all(key != name for name, _ in self._named)
            and self.text(key) == key
        )

    def _deep(self, value: Any, depth: int) -> Any:
        if type(value) is str:
            return self.text(value)
        if depth > MAX_DEPTH:
            return MARK
        if isinstance(value, Mapping):
            named = value.get("name", value.get("key"))  # {"name": "X-Api-Key", "value": "…"}
            entry = {"value": named} if isinstance(named, str) else {}
            return {
                self._deep(key, depth + 1): self._item(entry.get(key, key), item, depth) for key, item in value.items()
            }
        if type(value) in {list, tuple} and len(value) == 2:  # a header, perhaps
            first, second = value
            header = first if may_be_header(first) else None
            return type(value)((self._deep(first, depth + 1), self._item(header, second, depth)))
        if isinstance(value, list | set | frozenset) or type(value) is tuple:
            return type(value)(self._deep(item, depth + 1) for item in value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if is_dataclass(value) and not isinstance(value, type):
            old = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
            new = {name: self._deep(item, depth + 1) for name, item in old.items()}
            changed = {name: item for name, item in new.items() if item is not old[name] and item != old[name]}
            return replace(value, **changed) if changed else value
        return value

    def _item(self, key: Any, item: Any, depth: int) -> Any:
        both = type(key) is str and type(item) is str and item
        if both and (speaks_of_secrets(key) or (key, item) in self._named):
            return MARK
        return self._deep(item, depth + 1)


def _by_char(literals: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`literals` by a character that each of them has and few texts do; those without one under nothing."""
    found: dict[str, list[str]] = {}
    for literal in literals:
        found.setdefault(next((char for char in _RARE if char in literal), ""), []).append(literal)
    return tuple((char, tuple(some)) for char, some in found.items())


def _assigned(named: Iterable[tuple[str, str]]) -> list[str]:
    """The expression for values that are secrets after their name alone; none where there are none."""
    by_name: dict[str, set[str]] = {}
    for name, value in named:
        by_name.setdefault(name, set()).update(spellings(value))
    if not by_name:
        return []
    some = [f"{re.escape(name)}{IS_SET}(?={_either(values)})" for name, values in sorted(by_name.items())]
    return [f"(?P<assigned>{'|'.join(some)}){_either(set().union(*by_name.values()))}"]


def _either(values: Iterable[str]) -> str:
    longest_first = sorted(values, key=lambda value: (-len(value), value))
    return f"(?:{'|'.join(map(re.escape, longest_first))})(?![A-Za-z0-9_])"


def _replaced(pattern: re.Pattern[str], by: Callable[[re.Match[str]], str], text: str) -> str:
    """`text` with what matches replaced; the very same object where nothing changes."""
    new = pattern.sub(by, text)
    return text if new == text else new


def _without_ends(text: str) -> str:
    """`text` without what is left of private keys whose beginning was cut off."""
    parts: list[str] = []
    done = 0
    for found in _KEY_END.finditer(text):
        before = text[done : found.start()].splitlines(keepends=True)
        kept = len(before)
        while kept and _KEY_PART.fullmatch(before[kept - 1].strip()):
            kept -= 1
        parts += before[:kept]
        if kept < len(before):
            parts.append(MARK + "\n")
        done = found.start()
    new = "".join((*parts, text[done:]))
    return text if new == text else new


def _pieces(text: str) -> Iterator[str]:
    """`text` in pieces of whole lines, each about `_PIECE` long, more where a line is."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin + _PIECE) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _places(literal: str, text: str) -> Iterator[int]:
    """Where `literal` begins in `text`, also within itself."""
    place = text.find(literal)
    while place >= 0:
        yield place
        place = text.find(literal, place + 1)


def _hide(found: re.Match[str]) -> str:
    kept = found.lastgroup
    if kept is None:
        return MARK
    return found[0] if kept == "mark" else found[kept] + MARK
