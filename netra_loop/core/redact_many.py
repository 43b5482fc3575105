"""Redacting many values of which few hold a secret: what several of them say is looked at together, and only where
something is found among them each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import filterfalse
from typing import Any, TypeVar

from netra_loop.core.redact import KEY_LINE_LENGTH, Redactor
from netra_loop.core.secret_shapes import may_be_header

T = TypeVar("T")
_ArePlain = Callable[[tuple[Any, ...]], bool]  # of a mapping's keys

_TOGETHER = 32  # values that are looked at together
_DEEPEST = 20  # of a value that is looked at so
_MUTE = frozenset({type(None), bool, int, float})
_WHOLE = ("uthorization", "ookie", "AUTHORIZATION", "COOKIE")  # keys whose value may begin with anything
_KEY_CHARACTERS = bytes(65 if chr(code) in "+/" or chr(code).isalnum() else 32 for code in range(128)).ljust(256)
_KEY_LINE = b"A" * KEY_LINE_LENGTH


def redact_many(redactor: Redactor, values: Sequence[T]) -> list[T]:
    """`redactor.deep` of each of these plain values; the very same object where there is nothing to hide."""
    done = list(values)
    clean: set[str] = set()  # texts without a secret: many values say the same
    for begin in range(0, len(done), _TOGETHER):
        _look(redactor, done, range(begin, min(begin + _TOGETHER, len(done))), clean)
    return done


def holds_none(redactor: Redactor, said: str) -> bool:
    """Whether there is surely nothing to hide in the values that were written as `said`, as JSON or by `repr`."""
    return _is_plain(said) and redactor.text(said) == said


def _look(redactor: Redactor, done: list[Any], some: range, clean: set[str]) -> None:
    """Redacts those of `done` that `some` are: by halves, where there may be anything to hide."""
    texts: list[str] = []
    told = _gather(redactor.are_plain, [done[place] for place in some], texts, 0)
    new = dict.fromkeys(filterfalse(clean.__contains__, texts)) if told else None
    if new is not None and (not new or _none_in(redactor, new)):
        clean.update(new)
    elif len(some) == 1:
        done[some[0]] = redactor.deep(done[some[0]])
    else:
        half = len(some) // 2
        _look(redactor, done, some[:half], clean)
        _look(redactor, done, some[half:], clean)


def _gather(are_plain: _ArePlain, items: Iterable[Any], texts: list[str], depth: int) -> bool:
    """Adds the texts in `items`; whether nothing else matters to what is hidden of each, such as keys."""
    for item in items:
        kind = type(item)
        if kind is str:
            texts.append(item)
        elif kind is dict:
            if (
                depth > _DEEPEST
                or not are_plain(tuple(item))
                or not _gather(are_plain, item.values(), texts, depth + 1)
            ):
                return False
        elif kind is list or kind is tuple:
            if depth > _DEEPEST or (len(item) == 2 and may_be_header(item[0])):
                return False
            if not _gather(are_plain, item, texts, depth + 1):
                return False
        elif kind not in _MUTE:
            return False
    return True


def _none_in(redactor: Redactor, texts: Iterable[str]) -> bool:
    """Whether there is nothing to hide in any of `texts`.

    Between them stands the end of a line, which ends what the end of a text would. What goes over it, as literals with
    several lines do and private keys, is found in their texts all the more; what is found over the borders of texts is
    looked at again, text by text. Only a key's line, told by its length alone, is none among others.
    """
    together = "\n".join(texts)
    if redactor.text(together) != together:
        return False
    return all(redactor.text(text) == text for text in texts if len(text) == KEY_LINE_LENGTH)


def _is_plain(said: str) -> bool:
    """Whether all texts of values stand in their `repr` as they are, so that a secret in them is one there as well.

    A secret goes over the end of a line only where a line that begins it says so, and the quotes around a text end
    what its end would. What is found over the borders of texts is looked at again, value by value.
    """
    if "\\" in said or any(word in said for word in _WHOLE):
        return False
    return _KEY_LINE not in said.encode("utf-8", "surrogatepass").translate(_KEY_CHARACTERS)
