"""`dataclass` as in `dataclasses`, except that a class is completed when it is first used.

Completing one takes half a millisecond, and there are hundreds, of which a command uses a few: together they would be a
fifth of what it takes to start. A type checker sees the library's own; only classes with slots, which are another class
once complete, cannot wait. What is made before a run's tests' interpreter starts is a `NamedTuple`: the library itself,
with `inspect`, takes longer to import than all that is done until then.
"""

from __future__ import annotations

from _thread import RLock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = ["complete_those_of", "dataclass", "drafted"]

T = TypeVar("T")
_LOCK = RLock()
_waiting: dict[type[Any], _Late] = {}
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
        _waiting[kind] = self

    def _first_call(self, name: str) -> Any:
        def first_call(value: Any, *args: Any, **named: Any) -> Any:
            self.complete()
            return getattr(self._kind, name)(value, *args, **named)

        return first_call

    def complete(self) -> None:
        """On a twin, whose parts then take the place of what stands in: at no moment is there a class without them, of
        which another thread would make a value.
        """
        with _LOCK:
            kind = self._kind
            if vars(kind).get(_FIELDS) is not self:
                return
            make: Any = type(kind)
            twin = make(kind.__name__, kind.__bases__, self._said() | {"__qualname__": kind.__qualname__})
            bare = dict(vars(twin))
            import dataclasses

            dataclasses.dataclass(**self._options)(twin)
            made = {name: part for name, part in vars(twin).items() if bare.get(name, self) is not part}
            fields = made.pop(_FIELDS)
            for name, part in made.items():
                for cell in getattr(part, "__closure__", None) or ():
                    if cell.cell_contents is twin:
                        cell.cell_contents = kind
                setattr(kind, name, part)
            for name in {*self._standing_in, *(bare.keys() - vars(twin).keys())} - made.keys():
                delattr(kind, name)
            setattr(kind, _FIELDS, fields)  # from here on it is complete
            _waiting.pop(kind, None)

    def _said(self) -> dict[str, Any]:
        """What the class itself says."""
        not_said = {*self._standing_in, _FIELDS, "__dict__", "__weakref__"}
        return {name: part for name, part in vars(self._kind).items() if name not in not_said}

    def __get__(self, value: object, kind: type[Any]) -> Any:
        self.complete()
        return getattr(kind, _FIELDS)


def _dataclass(kind: type[Any] | None = None, /, **options: Any) -> Any:
    if kind is None:
        return lambda kind: _dataclass(kind, **options)
    if options.get("slots"):
        import dataclasses

        return dataclasses.dataclass(**options)(kind)
    _Late(kind, options)
    return kind


def drafted(kind: type[T]) -> type[T]:
    """Has a frozen dataclass with slots made in a sixth of the time, for rows that come by the hundred thousand: what
    the library makes sets each field through `object.__setattr__`; here they are set on a draft, which has the same
    slots and is not frozen, and becomes the value once they are. `kind.Draft` is its class, for who sets them one by
    one. Defaults are values, not factories.
    """
    import dataclasses

    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # the next decorator has made it one
    names = tuple(one.name for one in fields)
    draft = type(f"{kind.__name__}Draft", (), {"__slots__": names, "__module__": kind.__module__})
    known = {"become": object.__setattr__, "Draft": draft, "kind": kind}
    known |= {f"default_{one.name}": one.default for one in fields if one.default is not dataclasses.MISSING}
    given = [f"{name}=default_{name}" if f"default_{name}" in known else name for name in names]
    steps = [
        "become(draft, '__class__', Draft)",
        *(f"draft.{name} = {name}" for name in names),
        "draft.__class__ = kind",
    ]
    source = "\n    ".join((f"def __init__(draft, {', '.join(given)}):", *steps))
    exec(source, known)  # noqa: S102 - as the library does, from the names of fields alone
    made: Any = kind
    made.__init__, made.Draft = known["__init__"], draft
    return kind


def complete_those_of(*names: str) -> None:
    """Completes classes of these names that are still to be, or of these modules and those below them: for a moment in
    which there is nothing else to do. Safe in any thread.
    """
    for kind, late in list(_waiting.items()):
        own = f"{kind.__module__}.{kind.__qualname__}"
        if any(own == name or own.startswith(name + ".") for name in names):
            late.complete()


if not TYPE_CHECKING:
    dataclass = _dataclass
