"""Redacting many values of which few hold a secret: what several of them say is looked at together, and only where
something is found among them each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from netra_loop.core.redact import Redactor

T = TypeVar("T")

_TOGETHER = 32  # values that are looked at together
_LONG = 8_000  # characters; what says more is looked at by itself
_WHOLE = ("uthorization", "ookie", "AUTHORIZATION", "COOKIE")  # keys whose value may begin with anything


def redact_many(redactor: Redactor, values: Sequence[T]) -> list[T]:
    """`redactor.deep` of each of these plain values; the very same object where there is nothing to hide."""
    said = list(map(repr, values))
    done = list(values)
    _look(redactor, said, done, [place for place, one in enumerate(said) if _is_plain(one)])
    for place, one in enumerate(said):
        if not _is_plain(one):
            done[place] = redactor.deep(done[place])
    return done


def _look(redactor: Redactor, said: Sequence[str], done: list[T], places: Sequence[int]) -> None:
    """Redacts what stands at `places`: by halves, where there is anything to hide."""
    for begin in range(0, len(places), _TOGETHER):
        some = places[begin : begin + _TOGETHER]
        together = "\n".join([said[place] for place in some])
        if redactor.text(together) == together:
            continue
        if len(some) == 1:
            done[some[0]] = redactor.deep(done[some[0]])
            continue
        half = len(some) // 2
        _look(redactor, said, done, some[:half])
        _look(redactor, said, done, some[half:])


def _is_plain(said: str) -> bool:
    """Whether all texts of a value stand in its `repr` as they are, so that a secret in them is one there as well.

    A secret goes over the end of a line only where a line that begins it says so, and the quotes around a text end
    what its end would. What is found over the borders of texts is looked at again, text by text.
    """
    return "\\" not in said and len(said) < _LONG and not any(word in said for word in _WHOLE)
