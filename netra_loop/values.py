"""`dataclass` as in `dataclasses`, except that a class is completed when it is first used.

Completing one takes half a millisecond, and there are hundreds, of which a command uses a few: together they would be a
fifth of what it takes to start. A type checker sees the library's own. What is made before a run's tests' interpreter
starts is a `NamedTuple`: the library itself, with `inspect`, takes longer to import than all that is done until then.
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
    """Stands where the library keeps a class's fields, and by which it knows its own: asked for, they are made.

    `defaults` are what stands in the class's own words where it has slots by now.
    """

    def __init__(self, kind: type[Any], options: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
        self._kind = kind
        self._options = options
        self._defaults = defaults or {}
        self._slots = frozenset() if defaults is None else _named(kind)
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
            for name in made.keys() & self._slots:
                del made[name]
            for name, part in made.items():
                for cell in getattr(part, "__closure__", None) or ():
                    if cell.cell_contents is twin:
                        cell.cell_contents = kind
                setattr(kind, name, part)
            for name in {*self._standing_in, *(bare.keys() - vars(twin).keys())} - made.keys() - self._slots:
                delattr(kind, name)
            setattr(kind, _FIELDS, fields)  # from here on it is complete
            _waiting.pop(kind, None)

    def _said(self) -> dict[str, Any]:
        """What the class itself says."""
        not_said = {*self._standing_in, *self._slots, _FIELDS, "__dict__", "__weakref__", "__slots__"}
        return {name: part for name, part in vars(self._kind).items() if name not in not_said} | self._defaults

    def __get__(self, value: object, kind: type[Any]) -> Any:
        self.complete()
        return getattr(kind, _FIELDS)


def _dataclass(kind: type[Any] | None = None, /, **options: Any) -> Any:
    if kind is None:
        return lambda kind: _dataclass(kind, **options)
    if not options.pop("slots", False):
        _Late(kind, options)
        return kind
    slotted, defaults = _slotted(kind, frozen=options.get("frozen", False))
    _Late(slotted, options, defaults)
    return slotted


def _named(kind: type[Any]) -> frozenset[str]:
    """What the class's own words name as its fields."""
    told = vars(kind).get("__annotations__", {})
    return frozenset(name for name, meant in told.items() if "ClassVar" not in str(meant))


def _slotted(kind: type[Any], *, frozen: bool) -> tuple[type[Any], dict[str, Any]]:
    """The same class with slots for its fields, as the library makes it, and the defaults that it no longer holds."""
    named, said = _named(kind), vars(kind)
    held = {name for base in kind.__mro__[1:] for name in vars(base).get("__slots__", ())}
    rest = {name: part for name, part in said.items() if name not in {*named, "__dict__", "__weakref__"}}
    rest["__slots__"] = tuple(name for name in said.get("__annotations__", ()) if name in named - held)
    rest["__qualname__"] = kind.__qualname__
    if frozen:  # else nothing could be set on what is unpickled or copied
        rest = {"__getstate__": _state, "__setstate__": _set_state} | rest
    make: Any = type(kind)
    return make(kind.__name__, kind.__bases__, rest), {name: said[name] for name in named if name in said}


def _state(value: Any) -> list[Any]:
    return [getattr(value, name) for name in getattr(value, _FIELDS)]


def _set_state(value: Any, state: list[Any]) -> None:
    for name, part in zip(getattr(value, _FIELDS), state, strict=True):
        object.__setattr__(value, name, part)


def drafted(kind: type[T]) -> type[T]:
    """Has a frozen dataclass with slots made in a sixth of the time, for rows that come by the hundred thousand: what
    the library makes sets each field through `object.__setattr__`; here they are set on a draft, which has the same
    slots and is not frozen, and becomes the value once they are. `kind.Draft` is its class, for who sets them one by
    one. TypeError for what that leaves out: factories, fields that `__init__` does not take or takes by name alone,
    `__post_init__`; and for who inherits from it.
    """
    import dataclasses

    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # the next decorator has made it one
    if hasattr(kind, "__post_init__") or any(
        one.default_factory is not missing or one.kw_only or not one.init for one in fields
    ):
        raise TypeError(
            f"{kind.__qualname__} cannot be drafted: fields with plain defaults, and no more, were expected"
        )
    names = tuple(one.name for one in fields)
    draft = type(f"{kind.__name__}Draft", (), {"__slots__": names, "__module__": kind.__module__})
    known: dict[str, Any] = {"_become_": object.__setattr__, "_Draft_": draft, "_kind_": kind}
    known |= {f"_default_{one.name}_": one.default for one in fields if one.default is not missing}
    given = [f"{one.name}=_default_{one.name}_" if one.default is not missing else one.name for one in fields]
    steps = [
        "_become_(_self_, '__class__', _Draft_)",
        *(f"_self_.{name} = {name}" for name in names),
        "_self_.__class__ = _kind_",
    ]
    source = "\n    ".join((f"def __init__(_self_, {', '.join(given)}):", *steps))
    exec(source, known)  # noqa: S102 - as the library does, from the names of fields alone
    made: Any = kind
    made.__init__, made.Draft = known["__init__"], draft
    made.__init__.__module__, made.__init__.__qualname__ = kind.__module__, f"{kind.__qualname__}.__init__"
    made.__init__.__annotations__ = {**{one.name: one.type for one in fields}, "return": None}
    made.__init_subclass__ = classmethod(_not_inherited)
    return kind


def _not_inherited(kind: type[Any]) -> None:
    raise TypeError(f"{kind.__qualname__} would be made as what it inherits from, which is drafted")


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
