"""Frozen values with named fields, held against their types when they are made: what a loop file's meaning is made of.

The methods are called as pydantic's, of which this is the small part that is needed here. That library is not used,
since importing it takes a tenth of a second, and making its models half as much again: of every command, and before
the first test of a run.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")
_REQUIRED: Any = object()


class _Made:
    """A default that is made anew for each model."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """A field whose default is what `default_factory` returns, for those that can be changed."""
    made: Any = _Made(default_factory)
    return made  # type: ignore[no-any-return]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Model:
    """Made from keyword arguments, or by `model_validate` from a mapping of plain values.

    A value is taken as its field's type has it: an int where a float is meant, a list where a tuple is, a mapping where
    a model is. Any other is a TypeError, and so is a name that is no field.
    """

    _defaults: ClassVar[dict[str, Any]] = {}
    _types: ClassVar[dict[str, Any] | None] = None
    _given: frozenset[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: cls.__dict__.get(name, _REQUIRED) for name in inspect.get_annotations(cls)}
        cls._defaults = {**cls._defaults, **own}
        cls._types = None

    def __init__(self, **given: Any) -> None:
        unknown = given.keys() - self._defaults.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        types = self._hints()
        values = self.__dict__
        for name, default in self._defaults.items():
            if name in given:
                values[name] = _fit(given[name], types[name], f"{type(self).__name__}.{name}")
            elif default is _REQUIRED:
                raise TypeError(f"{type(self).__name__} needs {name}")
            else:
                values[name] = default.make() if type(default) is _Made else default
        values["_given"] = frozenset(given)

    @classmethod
    def _hints(cls) -> dict[str, Any]:
        if cls._types is None:
            cls._types = get_type_hints(cls)
        return cls._types

    @property
    def model_fields_set(self) -> frozenset[str]:
        """The fields that were given, whatever their value: all others have their default."""
        return self._given

    @classmethod
    def model_validate(cls, values: Mapping[str, Any]) -> Self:
        """The model that `values` describe."""
        return cls(**values)

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same with other values in some fields; these are taken as they are."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied.__dict__.update(update)
        copied.__dict__["_given"] = self._given | update.keys()
        return copied

    def model_dump(
        self, *, include: frozenset[str] | set[str] | None = None, exclude: frozenset[str] | set[str] = frozenset()
    ) -> dict[str, Any]:
        """Plain values by field, models below it likewise; `include` and `exclude` name fields of this one alone."""
        names = [name for name in self._defaults if name not in exclude and (include is None or name in include)]
        return {name: _plain(self.__dict__[name]) for name in names}

    def model_dump_json(self) -> str:
        """The same as JSON, always in the same letters: it may be hashed."""
        return to_json(self.model_dump())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values()))

    def _values(self) -> list[Any]:
        return [self.__dict__[name] for name in self._defaults]

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._defaults)
        return f"{type(self).__name__}({told})"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")


def to_json(plain: Any) -> str:
    """Plain values as JSON without spaces; a path is its text."""
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value


def _fit(value: Any, hint: Any, where: str) -> Any:
    """`value` as `hint` has it. Raises TypeError."""
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin is UnionType or origin is Union:
        return _fit_any(value, get_args(hint), where)
    if origin is Literal:
        if any(value == one and type(value) is type(one) for one in get_args(hint)):
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_fit(one, get_args(hint)[0], where) for one in value)
    elif origin is dict:
        if isinstance(value, Mapping):
            of_key, of_value = get_args(hint)
            return {_fit(key, of_key, where): _fit(one, of_value, f"{where}.{key}") for key, one in value.items()}
    elif isinstance(value, hint):
        if not isinstance(value, bool) or hint is bool:
            return value
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif issubclass(hint, Model) and isinstance(value, Mapping):
        return hint.model_validate(value)
    raise TypeError(f"{where} is {value!r}, expected {getattr(hint, '__name__', hint)}")


def _fit_any(value: Any, hints: tuple[Any, ...], where: str) -> Any:
    if value is None and NoneType in hints:
        return None
    *others, last = [hint for hint in hints if hint is not NoneType]
    for hint in others:
        try:
            return _fit(value, hint, where)
        except TypeError:
            pass  # it may be one of the others
    return _fit(value, last, where)
