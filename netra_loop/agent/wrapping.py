"""Puts an observer around a function or method of a library, under the original's own name and signature."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from . import evidence

_MARK = "_netra_loop_observers"


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replaces `owner.name` by `make(original)`, unless `owner` has that observer already. AttributeError where the
    library has no such thing.

    The observer is pickled as the original is, by its place. It should set `__tracebackhide__`, so that pytest ends the
    traceback of a failing test at the test's own line.
    """
    maker = getattr(make, "func", make)
    key = (maker.__module__, maker.__qualname__)
    there = getattr(vars(owner).get(name), _MARK, ())
    if key in there:
        return
    original = getattr(owner, name)
    observer = functools.wraps(original)(make(original))
    setattr(observer, _MARK, (*there, key))
    if isinstance(owner, type):
        observer.__module__, observer.__qualname__ = owner.__module__, f"{owner.__qualname__}.{name}"
    else:
        observer.__module__, observer.__qualname__ = owner.__name__, name
    setattr(owner, name, observer)


def quietly(function: Callable[..., Any], *args: Any) -> Any:
    """Calls an observer's own code; None where it fails, which is told with the evidence and never to the test."""
    try:
        return function(*args)
    except Exception as error:
        evidence.blind(error)
        return None


class _Ref(weakref.ref):  # type: ignore[type-arg] # not generic where Python is old
    __slots__ = ("key",)
    key: int


class Kept:
    """What is known of objects for as long as they live: of these very ones, whether or not they can be hashed or are
    equal to others. `in`, `len` and truth as in a mapping.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[_Ref, Any]] = {}
        known = self._known

        def gone(ref: Any) -> None:
            found = known.get(ref.key)
            if found is not None and found[0] is ref:
                del known[ref.key]

        self._gone = gone

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, one: Any) -> bool:
        found = self._known.get(id(one))
        return found is not None and found[0]() is one

    def get(self, one: Any, otherwise: Any = None) -> Any:
        """What is known of `one`."""
        found = self._known.get(id(one))
        return otherwise if found is None or found[0]() is not one else found[1]

    def put(self, one: Any, known: Any = True) -> None:
        """Keeps `known` of `one`, in place of what was. TypeError where no weak reference to it can be made."""
        ref = _Ref(one, self._gone)
        ref.key = id(one)
        self._known[ref.key] = (ref, known)

    def pop(self, one: Any, otherwise: Any = None) -> Any:
        """What was known of `one`, which is forgotten."""
        found = self._known.pop(id(one), None)
        return otherwise if found is None or found[0]() is not one else found[1]

    def living(self) -> list[Any]:
        """The objects themselves, the first kept first."""
        return [one for one in (ref() for ref, _ in list(self._known.values())) if one is not None]
