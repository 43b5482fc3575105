"""Redacting many values of which few hold a secret: what several of them say is looked at together, and only where
something is found among them each by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from netra_loop.core.redact import KEY_LINE_LENGTH, Redactor, may_be_header

T = TypeVar("T")
_Said = tuple[int, list[str]]  # which value, and the texts in it

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
        said: list[_Said] = []
        for place in range(begin, min(begin + _TOGETHER, len(done))):
            texts: list[str] = []
            if _gather(redactor, done[place], texts, 0):
                said.append((place, texts))
            else:
                done[place] = redactor.deep(done[place])
        _look(redactor, said, done, clean)
    return done


def holds_none(redactor: Redactor, said: str) -> bool:
    """Whether there is surely nothing to hide in the values that were written as `said`, as JSON or by `repr`."""
    return _is_plain(said) and redactor.text(said) == said


def _gather(redactor: Redactor, value: Any, texts: list[str], depth: int) -> bool:
    """Adds the texts in `value`; whether nothing else matters to what is hidden of it, such as keys."""
    kind = type(value)
    if kind is str:
        texts.append(value)
        return True
    if kind is dict:
        if depth > _DEEPEST or not redactor.are_plain(tuple(value)):
            return False
        items: Iterable[Any] = value.values()
    elif kind is list or kind is tuple:
        if depth > _DEEPEST or (len(value) == 2 and may_be_header(value[0])):
            return False
        items = value
    else:
        return kind in _MUTE
    for item in items:
        kind = type(item)
        if kind is str:
            texts.append(item)
        elif kind not in _MUTE and not _gather(redactor, item, texts, depth + 1):
            return False
    return True


def _look(redactor: Redactor, said: Sequence[_Said], done: list[Any], clean: set[str]) -> None:
    """Redacts those of `done` that `said` is of: by halves, where there is anything to hide."""
    new = dict.fromkeys([text for _, texts in said for text in texts if text not in clean])
    if not new or _none_in(redactor, new):
        clean.update(new)
    elif len(said) == 1:
        place = said[0][0]
        done[place] = redactor.deep(done[place])
    else:
        half = len(said) // 2
        _look(redactor, said[:half], done, clean)
        _look(redactor, said[half:], done, clean)


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
