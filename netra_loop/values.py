"""`dataclass` as in `dataclasses`, except that a class is completed when it is first used.

Completing one takes half a millisecond, and there are hundreds, of which a command uses a few: together they would be a
fifth of what it takes to start. A type checker sees the library's own; only classes with slots, which are another class
once complete, cannot wait.
"""

from __future__ import annotations

import dataclasses
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = ["dataclass"]

_LOCK = RLock()
_STANDING_IN = ("__init__", "__repr__", "__eq__", "__hash__")
_FIELDS = "__dataclass_fields__"


class _Late:
    """Stands where the library keeps a class's fields, and by which it knows its own: asked for, they are made."""

    def __init__(self, kind: type[Any], options: dict[str, Any]) -> None:
        self._kind = kind
        self._options = options
        self._standing_in = [name for name in _STANDING_IN if name not in vars(kind)]
        for name in self._standing_in:
            setattr(kind, name, self._first_call(name))
        setattr(kind, _FIELDS, self)

    def _first_call(self, name: str) -> Any:
        def first_call(value: Any, *args: Any, **named: Any) -> Any:
            self.complete()
            return getattr(self._kind, name)(value, *args, **named)

        return first_call

    def complete(self) -> None:
        with _LOCK:
            if vars(self._kind).get(_FIELDS) is self:
                for name in (*self._standing_in, _FIELDS):
                    delattr(self._kind, name)
                dataclasses.dataclass(**self._options)(self._kind)

    def __get__(self, value: object, kind: type[Any]) -> Any:
        self.complete()
        return getattr(kind, _FIELDS)


def _dataclass(kind: type[Any] | None = None, /, **options: Any) -> Any:
    if kind is None:
        return lambda kind: _dataclass(kind, **options)
    if options.get("slots"):
        return dataclasses.dataclass(**options)(kind)
    _Late(kind, options)
    return kind


if not TYPE_CHECKING:
    dataclass = _dataclass
