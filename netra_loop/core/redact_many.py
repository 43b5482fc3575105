"""Redacting many values of which few hold a secret: what several of them say is looked at together, and only where
something is found among them each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from netra_loop.core.redact import Redactor

T = TypeVar("T")

_TOGETHER = 32  # values that are looked at together
_WHOLE = ("uthorization", "ookie", "AUTHORIZATION", "COOKIE")  # keys whose value may begin with anything


def redact_many(redactor: Redactor, values: Sequence[T]) -> list[T]:
    """`redactor.deep` of each of these plain values; the very same object where there is nothing to hide."""
    done = list(values)
    said = list(map(repr, values))
    for begin in range(0, len(done), _TOGETHER):
        _look(redactor, said, done, begin, min(begin + _TOGETHER, len(done)))
    return done


def holds_none(redactor: Redactor, said: str) -> bool:
    """Whether there is surely nothing to hide in the values that were written as `said`, as JSON or by `repr`."""
    return _is_plain(said) and redactor.text(said) == said


def _look(redactor: Redactor, said: Sequence[str], done: list[T], begin: int, end: int) -> None:
    """Redacts what stands from `begin` to `end`: by halves, where there is anything to hide."""
    together = "\n".join(said[begin:end])
    if holds_none(redactor, together):
        return
    if end - begin == 1:
        done[begin] = redactor.deep(done[begin])
        return
    half = (begin + end) // 2
    _look(redactor, said, done, begin, half)
    _look(redactor, said, done, half, end)


def _is_plain(said: str) -> bool:
    """Whether all texts of values stand in their `repr` as they are, so that a secret in them is one there as well.

    A secret goes over the end of a line only where a line that begins it says so, and the quotes around a text end
    what its end would. What is found over the borders of texts is looked at again, value by value.
    """
    return "\\" not in said and not any(word in said for word in _WHOLE)
