"""Redacting many values of which few hold a secret: what each of them says is looked at together, and only where
something is found among them each by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from netra_loop.core.redact import MAX_DEPTH, Redactor, speaks_of_secrets

_TOGETHER = 32  # values that are looked at together
_LONG = 4_000  # characters; a text that is longer is looked at by itself


def redact_many(redactor: Redactor, values: Sequence[Any]) -> list[Any]:
    """`redactor.deep` of each value; the very same object where there is nothing to hide."""
    done: list[Any] = []
    for begin in range(0, len(values), _TOGETHER):
        some = values[begin : begin + _TOGETHER]
        said: list[str] = []
        if all(_said(value, said, 0) for value in some) and _is_clean(redactor, said):
            done += some
        else:
            done += map(redactor.deep, some)
    return done


def _is_clean(redactor: Redactor, said: Sequence[str]) -> bool:
    """A secret goes over the end of a line only where a line of its own begins it, so texts can stand below each
    other; what is hidden among them may not be one in the end, which is seen when each is looked at by itself.
    """
    together = "\n".join(said)
    return redactor.text(together) == together


def _said(value: Any, said: list[str], depth: int) -> bool:
    """Adds the texts of a plain value; False where it has to be looked at by itself."""
    if value is None or value is True or value is False:
        return True
    kind = type(value)
    if kind is str:
        if len(value) > _LONG:
            return False
        said.append(value)
        return True
    if kind is int or kind is float:
        return True
    if depth >= MAX_DEPTH:
        return False
    if isinstance(value, Mapping):
        if not all(map(_is_plain, value)):
            return False
        said += value  # the keys
        return all(_said(item, said, depth + 1) for item in value.values())
    return kind in {list, tuple} and all(_said(item, said, depth + 1) for item in value)


@lru_cache(maxsize=4096)
def _is_plain(key: Any) -> bool:
    """Whether a key is a text that does not make a secret of what stands under it."""
    return type(key) is str and not speaks_of_secrets(key)
